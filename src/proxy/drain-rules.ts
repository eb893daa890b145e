/**
 * When a proxy that drains has nothing left. Pure: it is shown the counts every now and then, and says what to do.
 *
 *   take --nothing comes any more--> tell --all peers have gone--> finish --all gone, or the time is over--> done
 *
 * At first what peers have sent is taken in as before, also from those whose handshake is not over yet. Peers that only
 * send are then told to go, where the engine can, and are heard to their end. Others cannot be told: what they send is
 * taken in as long as it comes, but no longer than half the time, since a peer that goes on sending must not keep the
 * rest from leaving.
 */

/** ms in which nothing came, after which nothing is expected. */
const QUIET = 200;

/** The counts of a proxy at one moment. */
export interface DrainView {
  /** Peers that hand messages in. */
  readonly peers: number;
  /** Messages that were taken in, in all, in the directions that peers hand messages in. */
  readonly taken: number;
  /** Messages that came in and were not passed on, in any direction. */
  readonly received: number;
  /** Messages that were passed on and have not left. */
  readonly queued: number;
  /** Requests that were passed on and have no reply yet. */
  readonly unanswered: number;
}

/** What is to be done. */
export type DrainStep = "take" | "tell" | "finish" | "done";

export class DrainRules {
  readonly #canTell: boolean;
  readonly #takeUntil: number;
  readonly #end: number;
  #step: DrainStep = "take";
  #taken = -1;
  #lastTaken: number;

  /** @param now ms @param time ms that it may take @param canTell whether peers that hand messages in can be told to go */
  constructor(now: number, time: number, canTell: boolean) {
    this.#canTell = canTell;
    this.#takeUntil = now + (canTell ? Math.min(QUIET, time / 2) : time / 2);
    this.#end = now + time;
    this.#lastTaken = now;
  }

  /**
   * @returns "take": go on as before; "tell": tell the peers to go, and go on; "finish": take what is there, and nothing
   *   that comes from now on; "done": nothing is left, or the time is over
   */
  step(view: DrainView, now: number): DrainStep {
    if (now >= this.#end) this.#step = "done";
    if (this.#step === "take" && this.#isQuiet(view, now)) this.#step = this.#canTell ? "tell" : "finish";
    else if (this.#step === "tell" && view.peers === 0 && view.received === 0) this.#step = "finish";
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
