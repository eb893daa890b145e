/**
 * Reads messages from a native socket, in batches under load.
 *
 * A read of an empty socket costs a rejected promise (5 µs). So a batch starts only when `readable` is true; it
 * grows by one after a full batch and halves otherwise. When idle, a single read waits in native code for at
 * most `SLICE` ms, since it keeps the process alive and cannot be cancelled.
 *
 *            want()                       a message
 *   idle ------------> single read  --------------------> idle, batch 2
 *     ^                  ^     | slice over, still wanted
 *     |                  +-----+
 *     |   want(), readable
 *     +<--------------------- batch of reads
 */
import { RingBuffer } from "../../core/collections/queues.js";
import { costOf } from "../../core/memory.js";
import type { NativeSocket } from "./native.js";

const SLICE = 500;
export const MAX_BATCH = 64;
/** Cost (core/memory.ts) of a batch that stays within the processor's cache. */
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
  #timeout = 0;

  /** @param mostBatch 1 for REQ and REP @param highWaterMark of the messages read ahead; 0: no bound */
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

  /** A waiting native read is woken by an edge, which other reads of the state would consume. */
  get busy(): boolean {
    return this.#busy;
  }

  take(): Buffer[] | undefined {
    return this.#messages.shift();
  }

  /** Drops read messages: those of a REQ, which reads one at a time. @returns their number */
  discard(): number {
    const count = this.#messages.length;
    this.#messages.clear();
    return count;
  }

  want(on: boolean): void {
    this.#wanted = on;
    if (on && !this.#busy && !this.#closed) this.#read();
  }

  poll(): void {
    if (!this.#busy && !this.#closed && this.#native.readable) this.#read();
  }

  /** Read messages remain and are counted. */
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
    let received = 0;
    let cost = 0;
    for (let i = 0; i < pending.length; i++) {
      try {
        const message = (await pending[i]) as Buffer[];
        received += 1;
        cost += costOf(message);
        this.#messages.push(message);
      } catch {
        // EAGAIN: fewer messages than the batch.
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
