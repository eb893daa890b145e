/**
 * Windows of channels: unread bytes that the peer may send. Pure.
 *
 *   |<----------------------- size ---------------------->|
 *   | unread: received     | read, not granted | allowed |
 *
 * Credit is granted for half a window at once. A window smaller than the bytes read in three round trips doubles, up to
 * `maxWindow` and the rest of the link's budget; larger ones would queue in the system's buffers and delay all channels.
 * The shortest round trip counts, since others include such queues.
 */

/** Of a link: the sum of its windows, and the most that it may be. */
export interface WindowBudget {
  readonly limit: number;
  used: number;
}

/** The receiver's side. The budget has its first window already. */
export class ReceiveWindow {
  size: number;
  unread = 0;
  #ungranted = 0;
  #grantedAt: number;

  constructor(size: number, now: number) {
    this.size = size;
    this.#grantedAt = now;
  }

  get allowed(): number {
    return this.size - this.unread - this.#ungranted;
  }

  /** Bytes of a frame have come. @returns `false` for more than were allowed */
  receive(bytes: number): boolean {
    if (bytes > this.allowed) return false;
    this.unread += bytes;
    return true;
  }

  /**
   * @param bytes read by the program @param roundTrip shortest recent one, ms; infinite: unknown
   * @returns bytes to grant now
   */
  consume(bytes: number, now: number, roundTrip: number, maxWindow: number, budget: WindowBudget): number {
    this.unread -= bytes;
    this.#ungranted += bytes;
    if (2 * this.#ungranted < this.size) return 0;
    let granted = this.#ungranted;
    const elapsed = now - this.#grantedAt;
    // 0.25 ms are for scheduling two processes.
    const isFast = elapsed * this.size < 3 * granted * Math.max(roundTrip, 0.25);
    const more = Math.min(this.size, maxWindow - this.size);
    const hasRoom = more > 0 && budget.used + more <= budget.limit;
    if (isFast && Number.isFinite(roundTrip) && hasRoom) {
      budget.used += more;
      this.size += more;
      granted += more;
    }
    this.#ungranted = 0;
    this.#grantedAt = now;
    return granted;
  }
}
