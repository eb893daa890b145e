/**
 * Memory that is filled by the kernel, and used again once all that was received in it has been relayed.
 *
 *   acquire(size) --filled, run in an in-stream--+--takeBatch, by reference--> segments, each counted
 *                                                |                                | the last has left
 *                                                |                                +--> free, for the next
 *                                                +--take--> the program's: pinned, and never used again
 *
 * Without it each large message that a proxy relays is memory that the kernel has to find and clear page by page, and that
 * the collector has to find again: a third of the proxy's time (docs/performance-log.md).
 *
 * A missed release leaks to the collector; an extra release corrupts data, since other messages' bytes would be sent.
 */

import { allocate } from "../../../core/memory.js";

/** Memory that counts its references. */
export interface RefCounted {
  refs: number;
  /** One that referred to it no longer does. */
  release(): void;
}

/** Bytes that are free at most; what comes back past it is garbage. */
const MAX_FREE = 16_777_216;
/** Free buffers that are probed for one that fits. */
const MAX_PROBES = 4;
/** Added to the count of a pinned buffer: more than is ever released. */
const PINNED = 2 ** 29;

const free: Buffer[] = [];
let freeBytes = 0;

export class PooledBuffer implements RefCounted {
  readonly bytes: Buffer;
  /** What acquired it is the first. */
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

  /** Something refers to it that will never release it: the program. */
  pin(): void {
    if (this.refs < PINNED) this.refs += PINNED;
  }
}

/** Memory of `size` bytes, or up to a quarter more; what is in it is anything. */
export function acquire(size: number): PooledBuffer {
  return new PooledBuffer(fitting(size) ?? allocate(size));
}

/** The last that came back is the first to go: the processor still has it in its cache. */
function fitting(size: number): Buffer | undefined {
  const least = Math.max(0, free.length - MAX_PROBES);
  for (let i = free.length - 1; i >= least; i--) {
    const bytes = free[i] as Buffer;
    if (bytes.length < size || bytes.length > size * 1.25) continue;
    free.splice(i, 1);
    freeBytes -= bytes.length;
    return bytes;
  }
  // Of no use to this one: so that those of no use to any do not stay forever.
  const unused = free.shift();
  if (unused !== undefined) freeBytes -= unused.length;
  return undefined;
}
