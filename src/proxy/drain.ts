/**
 * Drains a proxy, and judges by counts at intervals when it is done.
 *
 *   take --no more arrivals--> ask --all peers have left--> finish --nothing left, or timeout--> done
 *
 * At first messages are taken as before, also from peers in their handshake. Then send-only peers are asked to leave,
 * if the engine can, and all they sent is received. Other peers' messages are taken as they arrive, for at most half
 * the timeout, to leave time for the rest.
 */
import { systemClock } from "../core/timers.js";
import { sleep } from "../core/waiter.js";
import { CORE } from "../sockets/socket.js";
import type { ProxySocket } from "./proxy-socket.js";
import type { Pumps } from "./pumps.js";
import type { ProxyDrainResult } from "./stats.js";

/** ms without an arrival that end the wait for more. */
const QUIET = 200;
/** ms between checks. */
const CHECK_INTERVAL = 20;

export interface DrainView {
  /** Peers that send to the proxy. */
  readonly peers: number;
  /** Messages from such peers so far. */
  readonly taken: number;
  /** Received but not passed on, both ways. */
  readonly received: number;
  /** Passed on but not sent. */
  readonly queued: number;
  /** Requests without a reply so far. */
  readonly unanswered: number;
}

type DrainStep = "take" | "ask" | "finish" | "done";

/** When a draining proxy is done. Pure. */
export class DrainRules {
  readonly #canAskToLeave: boolean;
  readonly #takeUntil: number;
  readonly #end: number;
  #step: DrainStep = "take";
  #taken = -1;
  #lastTaken: number;

  /** @param now ms @param time ms @param canAskToLeave whether the engine can ask senders */
  constructor(now: number, time: number, canAskToLeave: boolean) {
    this.#canAskToLeave = canAskToLeave;
    this.#takeUntil = now + (canAskToLeave ? Math.min(QUIET, time / 2) : time / 2);
    this.#end = now + time;
    this.#lastTaken = now;
  }

  /**
   * @returns "take": continue; "ask": ask peers to leave, and continue; "finish": take queued messages but no later
   *   ones; "done": nothing is left, or the timeout passed
   */
  step(view: DrainView, now: number): DrainStep {
    if (now >= this.#end) this.#step = "done";
    if (this.#step === "take" && this.#isQuiet(view, now))
      this.#step = this.#canAskToLeave ? "ask" : "finish";
    else if (this.#step === "ask" && view.peers === 0 && view.received === 0) this.#step = "finish";
    const left = view.received + view.queued + view.unanswered;
    if (this.#step === "finish" && left === 0) this.#step = "done";
    return this.#step;
  }

  #isQuiet(view: DrainView, now: number): boolean {
    if (view.taken !== this.#taken || view.received > 0) {
      this.#taken = view.taken;
      this.#lastTaken = now;
    }
    return now - this.#lastTaken >= QUIET || now >= this.#takeUntil;
  }
}

export class Drain {
  readonly #pumps: Pumps;
  readonly #sides: readonly ProxySocket[];
  readonly #stop = new AbortController();

  constructor(pumps: Pumps, sides: readonly ProxySocket[]) {
    this.#pumps = pumps;
    this.#sides = sides;
  }

  /** @param timeout ms @returns the remaining counts */
  async run(timeout: number): Promise<ProxyDrainResult> {
    const sources = this.#pumps.all.filter(({ carries }) => carries === "messages");
    const canAskToLeave = sources.every(
      ({ oneWay, source }) => oneWay && source.socket[CORE].engine.retire !== undefined,
    );
    const rules = new DrainRules(systemClock.now(), timeout, canAskToLeave);
    let last: DrainStep = "take";
    while (!this.#stop.signal.aborted) {
      const step = rules.step(this.#view(), systemClock.now());
      if (step !== "take" && last === "take")
        for (const { source } of sources) {
          const { endpoints, engine } = source.socket[CORE];
          endpoints.leaveSources();
          engine.retire?.(canAskToLeave);
        }
      if (step === "finish" && last !== "finish")
        for (const { pump, source } of sources) pump.finish(source.socket[CORE].engine.stats().queuedIn);
      if (step === "done") break;
      last = step;
      await sleep(CHECK_INTERVAL, this.#stop.signal);
    }
    const { received, queued, unanswered } = this.#view();
    return { drained: received + queued + unanswered === 0, received, queued, unanswered };
  }

  cut(): void {
    this.#stop.abort();
  }

  #view(): DrainView {
    let peers = 0;
    let taken = 0;
    let received = 0;
    // As far as the engine can count.
    for (const { pump, source, carries } of this.#pumps.all) {
      const engine = source.socket[CORE].engine.stats();
      if (carries === "messages") {
        peers += engine.peers ?? 0;
        taken += source.socket[CORE].counters.received;
      }
      received += Math.min(pump.quota, engine.queuedIn) + pump.inFlight;
    }
    let queued = 0;
    for (const { socket } of this.#sides) queued += socket[CORE].engine.stats().queuedOut ?? 0;
    return { peers, taken, received, queued, unanswered: this.#pumps.unanswered };
  }
}
