/** Drains a proxy: looks at its counts every now and then, and does what the rules say. */
import { systemClock } from "../core/clock.js";
import { CORE } from "../sockets/socket.js";
import { DrainRules, type DrainStep, type DrainView } from "./drain-rules.js";
import type { Opened } from "./opened.js";
import type { DrainResult } from "./stats.js";
import type { Ways } from "./ways.js";

/** ms between two looks at what is left. */
const LOOK = 20;

export class Drain {
  readonly #ways: Ways;
  readonly #sides: readonly Opened[];
  #hurried = false;
  #hurry: (() => void) | undefined;

  constructor(ways: Ways, sides: readonly Opened[]) {
    this.#ways = ways;
    this.#sides = sides;
  }

  /** @param timeout ms that it may take @returns what was left */
  async run(timeout: number): Promise<DrainResult> {
    const sources = this.#ways.all.filter(({ carries }) => carries === "messages");
    const canTell = sources.every(({ oneWay, source }) => oneWay && source.canRetire);
    const rules = new DrainRules(systemClock.now(), timeout, canTell);
    let last: DrainStep = "take";
    while (!this.#hurried) {
      const step = rules.step(this.#view(), systemClock.now());
      if (step !== "take" && last === "take") for (const { source } of sources) source.retire(canTell);
      if (step === "finish" && last !== "finish")
        for (const { way, source } of sources) way.finish(source.received);
      if (step === "done") break;
      last = step;
      await this.#look();
    }
    const { received, queued, unanswered } = this.#view();
    return { drained: received + queued + unanswered === 0, received, queued, unanswered };
  }

  /** The proxy stops: it is over now. */
  hurry(): void {
    this.#hurried = true;
    this.#hurry?.();
  }

  #view(): DrainView {
    let peers = 0;
    let taken = 0;
    let received = 0;
    for (const { way, source, carries } of this.#ways.all) {
      if (carries === "messages") {
        peers += source.peers;
        taken += source.socket[CORE].counters.received;
      }
      received += Math.min(way.quota, source.received) + way.inHand;
    }
    let queued = 0;
    for (const side of this.#sides) queued += side.queued;
    return { peers, taken, received, queued, unanswered: this.#ways.unanswered };
  }

  #look(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
