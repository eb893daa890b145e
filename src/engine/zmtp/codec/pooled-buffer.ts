/**
 * Memory that the kernel fills, reused when everything received in it has been relayed.
 *
 *   acquire(size) --filled, run in an in-stream--+--takeBatch, by reference--> segments, each counted
 *                                                |                                | the last has left
 *                                                |                                +--> free, for the next
 *                                                +--take--> the program's: pinned, and never used again
 *
 * Reuse saves a proxy a third of its time. A missed release costs only reuse; an extra one sends another
 * message's bytes.
 */

import { allocate } from "../../../core/memory.js";
import type { Pooled } from "../../frame-batch.js";

export type RefCounted = Omit<Pooled, "pin">;

/** Bytes. */
const MAX_FREE = 16_777_216;
/** Calls of `acquire` after which half of the free memory is given up. */
const SHRINK_INTERVAL = 4_096;
/** Free buffers of a class that `acquire` tries, since their sizes differ. */
const MAX_PROBES = 4;
const PINNED = 2 ** 29;

/** By the power of two of their size. */
const free: Buffer[][] = Array.from({ length: 1 + Math.log2(MAX_FREE) }, () => []);
let freeBytes = 0;
let acquired = 0;

export class PooledBuffer implements Pooled {
  readonly bytes: Buffer;
  refs = 1;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  release(): void {
    this.refs -= 1;
    if (this.refs !== 0) return;
    const { length } = this.bytes;
    const ofSize = free[classOf(length)];
    if (ofSize === undefined) return;
    // Other sizes keep theirs.
    while (freeBytes + length > MAX_FREE && ofSize.length > 0) drop(ofSize, 1);
    if (freeBytes + length > MAX_FREE) return;
    ofSize.push(this.bytes);
    freeBytes += length;
  }

  /** The program may reference the memory forever. */
  pin(): void {
    if (this.refs < PINNED) this.refs += PINNED;
  }
}

/** @returns uncleared memory, at most twice as large as `size` */
export function acquire(size: number): PooledBuffer {
  acquired += 1;
  if (acquired % SHRINK_INTERVAL === 0) for (const each of free) drop(each, Math.ceil(each.length / 2));
  return new PooledBuffer(fitting(free[classOf(size)], size) ?? allocate(size));
}

/** The last freed buffer is still in the processor's cache. */
function fitting(ofSize: Buffer[] | undefined, size: number): Buffer | undefined {
  if (ofSize === undefined) return undefined;
  const least = Math.max(0, ofSize.length - MAX_PROBES);
  for (let i = ofSize.length - 1; i >= least; i--) {
    const bytes = ofSize[i] as Buffer;
    if (bytes.length < size) continue;
    ofSize.splice(i, 1);
    freeBytes -= bytes.length;
    return bytes;
  }
  return undefined;
}

function classOf(size: number): number {
  return 32 - Math.clz32(size - 1);
}

function drop(ofSize: Buffer[], count: number): void {
  for (const { length } of ofSize.splice(0, count)) freeBytes -= length;
}
