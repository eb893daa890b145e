/** A link of the program's streams (`ClusterNode.keepLinked`): dialled again when a dial fails, and when a stream ends. */
import type { Duplex } from "node:stream";
import { thrownText } from "../../core/arguments.js";
import { backOff } from "../../core/driver-timer.js";
import { ignore } from "../../core/waiter.js";

/** ms that a stream stands until its link counts as well: the next pause is short again. */
const STANDING = 10_000;

export interface KeptLinkEffects {
  dial(): Duplex | Promise<Duplex>;
  /** @param onEnd gets the reason, once the stream has ended */
  link(stream: Duplex, onEnd: (reason: Error) => void): Promise<string>;
  /** Whether the node is closed. */
  isOver(): boolean;
  /** Once for each reason while the link is not well. */
  onFailed(error: unknown): void;
}

export class KeptLink {
  readonly #effects: KeptLinkEffects;
  readonly #reported = new Set<string>();
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(effects: KeptLinkEffects) {
    this.#effects = effects;
    void this.#run(0);
  }

  /** Does not dial again: a stream stays until it ends. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  get #isOver(): boolean {
    return this.#isStopped || this.#effects.isOver();
  }

  async #run(attempts: number): Promise<void> {
    if (this.#isOver) return;
    let linkedAt = Number.POSITIVE_INFINITY;
    const onLinked = (): void => {
      linkedAt = performance.now();
    };
    let error: unknown;
    try {
      const stream = await this.#effects.dial();
      if (this.#isOver) stream.on("error", ignore).destroy();
      else
        error = await new Promise((ended, failed) =>
          this.#effects.link(stream, ended).then(onLinked, failed),
        );
    } catch (thrown) {
      error = thrown;
    }
    if (this.#isOver) return;
    const isWell = performance.now() - linkedAt >= STANDING;
    if (isWell) this.#reported.clear();
    const text = thrownText(error);
    if (!this.#reported.has(text)) this.#effects.onFailed(error);
    this.#reported.add(text);
    const failed = isWell ? 0 : attempts;
    const pause = backOff(failed, 200, 10_000, Math.random);
    this.#timer = setTimeout(() => void this.#run(failed + 1), pause);
    this.#timer.unref();
  }
}
