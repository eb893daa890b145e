/**
 * Memory that is filled by the kernel, and used again once all that came in it has left undecoded.
 *
 *   borrow(size) --filled, run in an in-stream--+--takeEncoded, by reference--> segments, each counted
 *                                               |                                  | the last has left
 *                                               |                                  +--> free, for the next
 *                                               +--take--> the program's: kept, and never used again
 *
 * Without it each large message that passes a proxy is memory that the kernel has to find and clear page by page,
 * and that the collector has to find again: a third of the proxy's time (docs/performance.md).
 *
 * Who forgets to release makes nothing worse than garbage. Who releases what somebody still refers to has other
 * messages' bytes sent, so only those do who counted themselves.
 */

import { allocate } from "./memory.js";

/** Memory that counts who refers to it. */
export interface Counted {
  refs: number;
  /** One that referred to it no longer does. */
  release(): void;
}

/** Bytes that are free at most; what comes back past it is garbage. */
const MAX_FREE = 16_777_216;
/** Pieces that are looked at for one that fits. */
const LOOKED_AT = 4;
/** More than anybody releases. */
const FOR_GOOD = 2 ** 29;

const free: Buffer[] = [];
let freeBytes = 0;

export class Loan implements Counted {
  readonly bytes: Buffer;
  /** Whoever borrowed it is the first. */
  refs = 1;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  release(): void {
    this.refs -= 1;
    if (this.refs !== 0 || freeBytes + this.bytes.length > MAX_FREE) return;
    free.push(this.bytes);
    freeBytes += this.bytes.length;
  }

  /** Somebody has it who will not say when he is done. */
  keep(): void {
    if (this.refs < FOR_GOOD) this.refs += FOR_GOOD;
  }
}

/** Memory of `size` bytes, or up to a quarter more; what is in it is anything. */
export function borrow(size: number): Loan {
  return new Loan(fitting(size) ?? allocate(size));
}

/** The last that came back is the first to go: the processor still has it in its cache. */
function fitting(size: number): Buffer | undefined {
  const least = Math.max(0, free.length - LOOKED_AT);
  for (let i = free.length - 1; i >= least; i--) {
    const bytes = free[i] as Buffer;
    if (bytes.length < size || bytes.length > size * 1.25) continue;
    free.splice(i, 1);
    freeBytes -= bytes.length;
    return bytes;
  }
  // Of no use to this one: so that those of no use to anybody do not stay for ever.
  const unused = free.shift();
  if (unused !== undefined) freeBytes -= unused.length;
  return undefined;
}
