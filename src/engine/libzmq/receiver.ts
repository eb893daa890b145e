/**
 * Reads messages from a native socket, in batches where there are many.
 *
 * The package gives one promise a message. Called with `receiveTimeout` 0 it
 * skips a poll of the socket (a system call, about 0.5 µs), but an empty socket
 * then costs a rejected promise (about 5 µs). So a batch of such reads is begun
 * only when `readable` says that the first will not fail; it grows by one while
 * it comes back full, and halves when it does not. Otherwise one read is left to
 * wait in native code, for `SLICE` ms at most, since a pending read keeps the
 * process alive and cannot be withdrawn (bench/overhead.js).
 *
 *            want()                       a message
 *   idle ------------> single read  --------------------> idle, batch 2
 *     ^                  ^     | slice over, still wanted
 *     |                  +-----+
 *     |   want(), readable
 *     +<--------------------- batch of reads
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { costOf } from "../../core/frame-cost.js";
import type { NativeSocket } from "./native.js";

/** How long an armed read stays in native code before it looks whether it is still wanted, in ms. */
const SLICE = 500;
/** The most messages read ahead of the program. */
export const MAX_BATCH = 64;
/** Cost of a batch (core/frame-cost.ts) past which the next one is shorter: memory that leaves the processor's cache is slower. */
const MAX_BATCH_COST = 262_144;

export class Receiver {
  readonly #native: NativeSocket;
  readonly #mostBatch: number;
  #maxBatch = 1;
  readonly #notify: () => void;
  readonly #messages = new RingBuffer<Buffer[]>(MAX_BATCH);
  readonly #pending: Promise<Buffer[]>[] = [];
  #busy = false;
  #wanted = false;
  #closed = false;
  #batch = 1;
  /** What the native socket's `receiveTimeout` is. */
  #timeout = 0;
  /** Messages read before the last `discard` belong to an older epoch. */
  #epoch = 0;

  /**
   * @param mostBatch messages read ahead at most: 1 for socket types whose state forbids it (REQ, REP)
   * @param notify called when `take` has something, once for each `want`
   * @param highWaterMark no more are read ahead than may wait; 0: no mark
   */
  constructor(native: NativeSocket, mostBatch: number, notify: () => void, highWaterMark = 0) {
    this.#native = native;
    this.#mostBatch = mostBatch;
    this.#notify = notify;
    this.highWaterMark = highWaterMark;
  }

  set highWaterMark(highWaterMark: number) {
    this.#maxBatch = highWaterMark > 0 ? Math.min(this.#mostBatch, highWaterMark) : this.#mostBatch;
    this.#batch = Math.min(this.#batch, this.#maxBatch);
  }

  get length(): number {
    return this.#messages.length;
  }

  /**
   * Whether a read waits in native code. The package is woken by an edge: a caller that
   * asks the native socket for its state meanwhile takes the edge away from it.
   */
  get busy(): boolean {
    return this.#busy;
  }

  take(): Buffer[] | undefined {
    return this.#messages.shift();
  }

  /** Throws away what was read, and what a batch on its way brings. @returns how many were there */
  discard(): number {
    const count = this.#messages.length;
    this.#messages.clear();
    this.#epoch += 1;
    return count;
  }

  /** Asks for one `notify`; `false` takes the request back. */
  want(on: boolean): void {
    this.#wanted = on;
    if (on && !this.#busy && !this.#closed) this.#read();
  }

  /** Reads what is there now, without waiting. */
  poll(): void {
    if (!this.#busy && !this.#closed && this.#native.readable) this.#read();
  }

  /** Nothing is read any more; what was read stays to be counted. */
  close(): void {
    this.#closed = true;
    this.#wanted = false;
  }

  #read(): void {
    this.#busy = true;
    const native = this.#native;
    if (this.#batch > 1 && !native.readable) this.#batch = 1;
    if (this.#batch === 1) {
      this.#setTimeout(SLICE);
      native.receive().then(this.#nativeOnMessage, this.#nativeOnNothing);
      return;
    }
    this.#setTimeout(0);
    for (let i = 0; i < this.#batch; i++) this.#pending.push(native.receive());
    void this.#settle();
  }

  #setTimeout(timeout: number): void {
    if (this.#timeout === timeout) return;
    this.#timeout = timeout;
    this.#native.receiveTimeout = timeout;
  }

  async #settle(): Promise<void> {
    const pending = this.#pending;
    const epoch = this.#epoch;
    let received = 0;
    let cost = 0;
    for (let i = 0; i < pending.length; i++) {
      try {
        const message = (await pending[i]) as Buffer[];
        received += 1;
        cost += costOf(message);
        if (epoch === this.#epoch) this.#messages.push(message);
      } catch {
        // EAGAIN: fewer messages were there than in the last batches.
      }
    }
    if (received < pending.length) this.#batch = Math.max(1, received >> 1);
    else if (cost > MAX_BATCH_COST) this.#batch = Math.max(1, Math.floor((received * MAX_BATCH_COST) / cost));
    else if (this.#batch < this.#maxBatch) this.#batch += 1;
    pending.length = 0;
    this.#busy = false;
    this.#done(received);
  }

  #nativeOnMessage = (message: Buffer[]): void => {
    this.#messages.push(message);
    this.#busy = false;
    if (this.#maxBatch > 1) this.#batch = 2;
    this.#done(1);
  };

  #nativeOnNothing = (): void => {
    this.#busy = false;
    this.#done(0);
  };

  #done(received: number): void {
    if (this.#closed) return;
    if (received > 0) {
      this.#wanted = false;
      this.#notify();
    } else if (this.#wanted) {
      this.#read();
    }
  }
}
