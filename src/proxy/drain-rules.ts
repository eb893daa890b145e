/**
 * When a draining proxy is done. Pure: gets the counts at intervals and returns the next step.
 *
 *   take --no more arrivals--> ask --all peers have left--> finish --nothing left, or timeout--> done
 *
 * At first messages are taken as before, also from peers still in their handshake. Then send-only peers are asked to
 * leave, if the engine can, and everything they sent is received. Other peers cannot be asked: their messages are
 * taken while they arrive, for at most half the timeout, so that a busy peer does not keep the rest from leaving.
 */

/** ms without an arrival after which no more are expected. */
const QUIET = 200;

export interface DrainView {
  /** Peers that send messages to the proxy. */
  readonly peers: number;
  /** Total messages taken, in the directions in which peers send messages. */
  readonly taken: number;
  /** Messages received but not passed on, in any direction. */
  readonly received: number;
  /** Messages passed on but not sent yet. */
  readonly queued: number;
  /** Requests passed on without a reply so far. */
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

  /** @param now ms @param time timeout, ms @param canAskToLeave whether sending peers can be asked to leave */
  constructor(now: number, time: number, canAskToLeave: boolean) {
    this.#canAskToLeave = canAskToLeave;
    this.#takeUntil = now + (canAskToLeave ? Math.min(QUIET, time / 2) : time / 2);
    this.#end = now + time;
    this.#lastTaken = now;
  }

  /**
   * @returns "take": continue as before; "ask": ask the peers to leave, and continue; "finish": take queued messages
   *   but nothing that arrives later; "done": nothing is left, or the timeout has passed
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
