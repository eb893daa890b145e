/** A link of the program's streams (`ClusterNode.keepLinked`): dialled again when a dial fails, and when a stream ends. */
import type { Duplex } from "node:stream";
import { thrownText } from "../../core/arguments.js";
import { backOff } from "../../core/back-off.js";
import { IdleWaits } from "../../core/idle-waits.js";
import { withTimeout } from "../../core/waiter.js";

/** ms that a stream stands until its link counts as well: the next pause is short again. */
const STANDING = 10_000;

export interface KeptLinkEffects {
  dial(): Duplex | Promise<Duplex>;
  /** @param onEnd gets the reason, once the stream has ended */
  link(stream: Duplex, onEnd: (reason: Error) => void): Promise<string>;
  /** Once for each reason while the link is not well. */
  onFailed(error: unknown): void;
}

export class KeptLink {
  readonly #effects: KeptLinkEffects;
  readonly #stopping = new IdleWaits();
  #isStopped = false;

  constructor(effects: KeptLinkEffects) {
    this.#effects = effects;
    void this.#run();
  }

  /** Does not dial again: a stream stays until it ends. */
  stop(): void {
    this.#isStopped = true;
    this.#stopping.end();
  }

  async #run(): Promise<void> {
    let attempts = 0;
    let reported: string | undefined;
    while (!this.#isStopped) {
      let linkedAt = Number.POSITIVE_INFINITY;
      const onLinked = (): void => {
        linkedAt = performance.now();
      };
      let error: unknown;
      try {
        const stream = await this.#effects.dial();
        error = await new Promise((ended, failed) =>
          this.#effects.link(stream, ended).then(onLinked, failed),
        );
      } catch (thrown) {
        error = thrown;
      }
      if (this.#isStopped) return;
      if (performance.now() - linkedAt >= STANDING) {
        attempts = 0;
        reported = undefined;
      }
      const text = thrownText(error);
      if (text !== reported) this.#effects.onFailed(error);
      reported = text;
      await withTimeout(this.#stopping.wait(false), backOff(attempts, 200, 10_000, Math.random));
      attempts += 1;
    }
  }
}
