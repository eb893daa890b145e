/** Drains a proxy by its rules. */
import { systemClock } from "../core/driver-timer.js";
import { countersOf } from "../sockets/internal.js";
import { DrainRules, type DrainStep, type DrainView } from "./drain-rules.js";
import type { ProxySocket } from "./proxy-socket.js";
import type { Pumps } from "./pumps.js";
import type { ProxyDrainResult } from "./stats.js";

/** ms between checks. */
const CHECK_INTERVAL = 20;

export class Drain {
  readonly #pumps: Pumps;
  readonly #sides: readonly ProxySocket[];
  #cutShort = false;
  #wake: (() => void) | undefined;

  constructor(pumps: Pumps, sides: readonly ProxySocket[]) {
    this.#pumps = pumps;
    this.#sides = sides;
  }

  /** @param timeout ms @returns the remaining counts */
  async run(timeout: number): Promise<ProxyDrainResult> {
    const sources = this.#pumps.all.filter(({ carries }) => carries === "messages");
    const canAskToLeave = sources.every(({ oneWay, source }) => oneWay && source.canRetire);
    const rules = new DrainRules(systemClock.now(), timeout, canAskToLeave);
    let last: DrainStep = "take";
    while (!this.#cutShort) {
      const step = rules.step(this.#view(), systemClock.now());
      if (step !== "take" && last === "take") for (const { source } of sources) source.retire(canAskToLeave);
      if (step === "finish" && last !== "finish")
        for (const { pump, source } of sources) pump.finish(source.received);
      if (step === "done") break;
      last = step;
      await this.#wait();
    }
    const { received, queued, unanswered } = this.#view();
    return { drained: received + queued + unanswered === 0, received, queued, unanswered };
  }

  cut(): void {
    this.#cutShort = true;
    this.#wake?.();
  }

  #view(): DrainView {
    let peers = 0;
    let taken = 0;
    let received = 0;
    for (const { pump, source, carries } of this.#pumps.all) {
      if (carries === "messages") {
        peers += source.peers;
        taken += countersOf(source.socket).received;
      }
      received += Math.min(pump.quota, source.received) + pump.inFlight;
    }
    let queued = 0;
    for (const side of this.#sides) queued += side.queued;
    return { peers, taken, received, queued, unanswered: this.#pumps.unanswered };
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, CHECK_INTERVAL);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
