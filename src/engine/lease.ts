/**
 * Memory of received messages that is lent to the program, and used again when the program is done with it:
 *
 *   take(lease) --frames are views of pooled memory, counted in the lease--+--release()--> used again by the next messages
 *                                                                          +--keep()-----> the program's, as without a lease
 *
 * From 64 KiB on half of what a message costs is the page faults of fresh memory. A lease that is forgotten
 * is garbage, and its memory with it: nothing is used again that was not released. An engine that lends nothing ignores leases.
 */
import type { Pooled } from "./frame-batch.js";

export class Lease {
  #lent: Pooled[] = [];
  #last: Pooled | undefined = undefined;

  /** Whether `received` gives the frames as they are. */
  get plain(): boolean {
    return true;
  }

  /** Frames that were taken are views of `memory`. */
  add(memory: Pooled): void {
    if (memory === this.#last) return;
    memory.refs += 1;
    this.#last = memory;
    this.#lent.push(memory);
  }

  /** What the program gets of a message that was just taken. */
  received(frames: Buffer[]): Buffer[] {
    return frames;
  }

  /** The program has no use for the frames any more, and must not read them. */
  release(): void {
    const lent = this.#lent;
    this.#forget();
    for (const memory of lent) memory.release();
  }

  /** The frames are the program's for good. */
  keep(): void {
    for (const memory of this.#lent) memory.pin();
    this.#forget();
  }

  #forget(): void {
    if (this.#last === undefined) return;
    this.#lent = [];
    this.#last = undefined;
  }
}
