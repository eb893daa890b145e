/** How the channels of a link share it: which one sends the next frame, and how much the peer may send on each. Pure. */
import { RingBuffer } from "../core/collections/queues.js";
import { ReceiveWindow } from "../core/credit.js";
import { STARVATION_BYTES, URGENCIES } from "./frames.js";

export interface Scheduled {
  /** 0 goes first. */
  readonly urgency: number;
  isQueued: boolean;
}

/**
 * Chooses the next channel to send a frame.
 *
 * Channels of one urgency take turns, frame by frame. More urgent levels go first, but a less urgent one gets a turn
 * after every `STARVATION_BYTES`.
 */
export class FairScheduler<T extends Scheduled> {
  readonly #levels: RingBuffer<T>[] = [];
  /** Bytes of more urgent levels while the level waits. */
  readonly #waited: number[] = [];
  length = 0;

  constructor() {
    for (let i = 0; i < URGENCIES; i++) {
      this.#levels.push(new RingBuffer<T>(2));
      this.#waited.push(0);
    }
  }

  /** Repeated calls have no effect. */
  add(entry: T): void {
    if (entry.isQueued) return;
    entry.isQueued = true;
    (this.#levels[entry.urgency] as RingBuffer<T>).push(entry);
    this.length += 1;
  }

  take(): T | undefined {
    if (this.length === 0) return undefined;
    const entry = (this.#levels[this.#nextLevel()] as RingBuffer<T>).shift() as T;
    entry.isQueued = false;
    this.length -= 1;
    return entry;
  }

  charge(urgency: number, bytes: number): void {
    this.#waited[urgency] = 0;
    for (let level = urgency + 1; level < URGENCIES; level++) {
      const waits = (this.#levels[level] as RingBuffer<T>).length > 0;
      this.#waited[level] = waits ? (this.#waited[level] as number) + bytes : 0;
    }
  }

  #nextLevel(): number {
    let first = -1;
    for (let level = 0; level < URGENCIES; level++) {
      if ((this.#levels[level] as RingBuffer<T>).length === 0) continue;
      if (first < 0) first = level;
      else if ((this.#waited[level] as number) >= STARVATION_BYTES) return level;
    }
    return first;
  }
}

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
