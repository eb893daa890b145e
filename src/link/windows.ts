/**
 * Windows of channels: bytes that the peer may send before the program has read some. Pure.
 *
 *   |<----------------------- size ---------------------->|
 *   | unread: received     | read, not granted | allowed |
 *
 * Credit is granted when half of the window was read: one small frame for many of data. A window smaller than the
 * bytes read in three round trips is doubled, up to `maxWindow` and the rest of the link's budget. Two would suffice,
 * since credit for one half travels while the other half is sent; the third is for slow ends. More would queue in the
 * system's buffers and delay all channels. The shortest round trip counts: the last one includes the queue of a large
 * window, which would make windows grow further.
 */

/** Minimum round trip, ms: scheduling of two processes. */
const SHORTEST_ROUND_TRIP = 0.25;
const WINDOW_ROUND_TRIPS = 3;

export class WindowBudget {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** @returns whether there was room; else nothing is reserved */
  reserve(bytes: number): boolean {
    if (this.#used + bytes > this.limit) return false;
    this.#used += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#used -= bytes;
  }
}

/** The receiver's side of a channel. Its creator has reserved the first window in the budget. */
export class ReceiveWindow {
  #size: number;
  #unread = 0;
  /** Read by the program, but not granted again. */
  #ungranted = 0;
  #grantedAt: number;

  constructor(size: number, now: number) {
    this.#size = size;
    this.#grantedAt = now;
  }

  get size(): number {
    return this.#size;
  }

  get unread(): number {
    return this.#unread;
  }

  get allowed(): number {
    return this.#size - this.#unread - this.#ungranted;
  }

  /** A frame's head announces bytes. @returns `false`: more than were allowed */
  receive(bytes: number): boolean {
    if (bytes > this.allowed) return false;
    this.#unread += bytes;
    return true;
  }

  /**
   * The program has read bytes.
   *
   * @param roundTrip shortest recent one, ms; infinite: unknown
   * @returns bytes to grant now; 0: too few for a frame
   */
  consume(bytes: number, now: number, roundTrip: number, maxWindow: number, budget: WindowBudget): number {
    this.#unread -= bytes;
    this.#ungranted += bytes;
    if (2 * this.#ungranted < this.#size) return 0;
    let granted = this.#ungranted;
    const elapsed = now - this.#grantedAt;
    const isFast =
      elapsed * this.#size < WINDOW_ROUND_TRIPS * granted * Math.max(roundTrip, SHORTEST_ROUND_TRIP);
    const more = Math.min(this.#size, maxWindow - this.#size);
    if (isFast && Number.isFinite(roundTrip) && more > 0 && budget.reserve(more)) {
      this.#size += more;
      granted += more;
    }
    this.#ungranted = 0;
    this.#grantedAt = now;
    return granted;
  }
}
