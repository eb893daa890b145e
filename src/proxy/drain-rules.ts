/**
 * When a draining proxy is done, judged by counts at intervals. Pure.
 *
 *   take --no more arrivals--> ask --all peers have left--> finish --nothing left, or timeout--> done
 *
 * At first messages are taken as before, also from peers in their handshake. Then send-only peers are asked to leave,
 * if the engine can, and all they sent is received. Other peers' messages are taken as they arrive, for at most half
 * the timeout, to leave time for the rest.
 */

/** ms without an arrival that end the wait for more. */
const QUIET = 200;

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

export type DrainStep = "take" | "ask" | "finish" | "done";

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
