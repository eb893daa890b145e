/** How much the peer may send on each channel of a link. Pure. */
import { ReceiveWindow } from "../core/credit.js";

/** Of a link: the sum of its windows, and the most that it may be. */
export interface WindowBudget {
  readonly limit: number;
  used: number;
}

/**
 * The receiver's side of a channel's window: unread bytes that the peer may send. The budget has its first window already.
 *
 *   |<----------------------- size ---------------------->|
 *   | unread: received     | read, not granted | allowed |
 *
 * A window smaller than the bytes read in three round trips doubles with its next credit, up to `maxWindow` and the rest
 * of the link's budget; larger ones would queue in the system's buffers and delay all channels. The shortest round trip
 * counts, since others include such queues.
 *
 * A fixed window of 262,144 bytes costs messages of 1 kB on one host 20 % more processor time, and one of 1 MiB leaves a
 * budget of 256 MiB 256 channels.
 */
export class ChannelWindow extends ReceiveWindow {
  #grantedAt: number;

  constructor(size: number, now: number) {
    super(size);
    this.#grantedAt = now;
  }

  /**
   * @param bytes read by the program @param roundTrip shortest recent one, ms; infinite: unknown
   * @returns bytes to grant now
   */
  consume(bytes: number, now: number, roundTrip: number, maxWindow: number, budget: WindowBudget): number {
    const granted = this.read(bytes);
    if (granted === 0) return 0;
    const elapsed = now - this.#grantedAt;
    this.#grantedAt = now;
    // 0.25 ms are for scheduling two processes.
    const isFast = elapsed * this.size < 3 * granted * Math.max(roundTrip, 0.25);
    const more = Math.min(this.size, maxWindow - this.size);
    const hasRoom = more > 0 && budget.used + more <= budget.limit;
    if (!isFast || !Number.isFinite(roundTrip) || !hasRoom) return granted;
    budget.used += more;
    this.size += more;
    return granted + more;
  }
}
