/**
 * Windows of channels: how many bytes the other end may send before the program has read some. Pure.
 *
 *   |<----------------------- size ---------------------->|
 *   | unread: came, not read | read, not granted | allowed |
 *
 * Credit is granted when half of the window was read: one small frame for many of data. A window that is smaller than what is read in
 * three round trips is doubled, up to `maxWindow` and what is left of the link's budget. Two never stop the sender: half of the window is
 * under way while the credit for the other half is; the third is for ends that are late. More would be a queue in the system's buffers,
 * which delays all channels. The shortest round trip counts, not the last one: otherwise the queue that a large window makes would ask
 * for a larger window.
 */

/** ms of a round trip, at least: what two processes need to be scheduled. */
const SHORTEST_ROUND_TRIP = 0.25;
/** Round trips whose bytes a window has, at least. */
const WINDOW_ROUND_TRIPS = 3;

/** Bytes that all windows of a link have together. */
export class WindowBudget {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** @returns whether there was room; nothing is taken otherwise */
  reserve(bytes: number): boolean {
    if (this.#used + bytes > this.limit) return false;
    this.#used += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#used -= bytes;
  }
}

/** The receiver's side of a channel. The first window was reserved in the budget by its maker. */
export class ReceiveWindow {
  #size: number;
  #unread = 0;
  /** Read by the program, and not granted. */
  #ungranted = 0;
  #grantedAt: number;

  constructor(size: number, now: number) {
    this.#size = size;
    this.#grantedAt = now;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes that came and that the program did not read. */
  get unread(): number {
    return this.#unread;
  }

  /** Bytes that the other end may send. */
  get allowed(): number {
    return this.#size - this.#unread - this.#ungranted;
  }

  /** Bytes are announced by a head. @returns `false`: more than were allowed */
  receive(bytes: number): boolean {
    if (bytes > this.allowed) return false;
    this.#unread += bytes;
    return true;
  }

  /**
   * The program has read some.
   *
   * @param roundTrip ms, the shortest one of late; infinite: not known yet
   * @returns bytes to grant now; 0: it is not worth a frame yet
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
