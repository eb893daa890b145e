/**
 * When a draining proxy has nothing left. Pure: it gets the counts at intervals, and returns what to do.
 *
 *   take --nothing arrives any more--> ask --all peers have left--> finish --nothing left, or the time is over--> done
 *
 * At first what peers have sent is taken in as before, also from those whose handshake is not over yet. Peers that only
 * send are then asked to leave, where the engine can, and everything they sent is received. Others cannot be asked: what
 * they send is taken in as long as it arrives, but no longer than half the time, since a peer that goes on sending must
 * not keep the rest from leaving.
 */

/** ms without an arrival after which nothing more is expected. */
const QUIET = 200;

/** The counts of a proxy at one moment. */
export interface DrainView {
  /** Peers that send messages to the proxy. */
  readonly peers: number;
  /** Messages taken in, in all, in the directions in which peers send messages. */
  readonly taken: number;
  /** Messages received and not passed on, in any direction. */
  readonly received: number;
  /** Messages that were passed on and have not left. */
  readonly queued: number;
  /** Requests that were passed on and have no reply yet. */
  readonly unanswered: number;
}

/** What is to be done. */
export type DrainStep = "take" | "ask" | "finish" | "done";

export class DrainRules {
  readonly #canAskToLeave: boolean;
  readonly #takeUntil: number;
  readonly #end: number;
  #step: DrainStep = "take";
  #taken = -1;
  #lastTaken: number;

  /** @param now ms @param time ms that it may take @param canAskToLeave whether the peers that send messages can be asked to leave */
  constructor(now: number, time: number, canAskToLeave: boolean) {
    this.#canAskToLeave = canAskToLeave;
    this.#takeUntil = now + (canAskToLeave ? Math.min(QUIET, time / 2) : time / 2);
    this.#end = now + time;
    this.#lastTaken = now;
  }

  /**
   * @returns "take": go on as before; "ask": ask the peers to leave, and go on; "finish": take what is there, and nothing
   *   that arrives from now on; "done": nothing is left, or the time is over
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
