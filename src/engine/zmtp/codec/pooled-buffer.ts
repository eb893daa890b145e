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

export interface RefCounted {
  refs: number;
  release(): void;
}

/** Bytes. */
const MAX_FREE = 16_777_216;
const MAX_PROBES = 4;
const LOOK_INTERVAL = 4_096;
const PINNED = 2 ** 29;

interface SizeClass {
  free: Buffer[];
  unused: number;
}

/** By size: streams with different reads do not evict each other's memory. */
const classes: SizeClass[] = [];
let freeBytes = 0;
let wanted = 0;

export class PooledBuffer implements RefCounted {
  readonly bytes: Buffer;
  refs = 1;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  release(): void {
    this.refs -= 1;
    const { length } = this.bytes;
    if (this.refs !== 0 || length > MAX_FREE) return;
    const index = classOf(length);
    classes[index] ??= { free: [], unused: 0 };
    const ofSize = classes[index];
    if (!makeRoom(ofSize, length)) return;
    ofSize.free.push(this.bytes);
    freeBytes += length;
  }

  /** The program may reference the memory forever. */
  pin(): void {
    if (this.refs < PINNED) this.refs += PINNED;
  }
}

/** @returns uncleared memory, up to a quarter larger than `size` */
export function acquire(size: number): PooledBuffer {
  wanted += 1;
  if (wanted % LOOK_INTERVAL === 0) classes.forEach(giveUp);
  const index = classOf(size);
  return new PooledBuffer(
    fitting(classes[index], size) ?? fitting(classes[index + 1], size) ?? allocate(size),
  );
}

function classOf(size: number): number {
  const exponent = Math.floor(Math.log2(size));
  return 4 * exponent + Math.floor(4 * (size / 2 ** exponent - 1));
}

/** The last freed buffer is still in the processor's cache. */
function fitting(ofSize: SizeClass | undefined, size: number): Buffer | undefined {
  if (ofSize === undefined) return undefined;
  const { free } = ofSize;
  const least = Math.max(0, free.length - MAX_PROBES);
  for (let i = free.length - 1; i >= least; i--) {
    const bytes = free[i] as Buffer;
    if (bytes.length < size || bytes.length > size * 1.25) continue;
    free.splice(i, 1);
    freeBytes -= bytes.length;
    ofSize.unused = Math.min(ofSize.unused, free.length);
    return bytes;
  }
  return undefined;
}

function giveUp(ofSize: SizeClass): void {
  drop(ofSize, Math.ceil(ofSize.unused / 2));
  ofSize.unused = ofSize.free.length;
}

function drop({ free }: SizeClass, count: number): void {
  for (const { length } of free.splice(0, count)) freeBytes -= length;
}

/** Evicts buffers of larger classes. @returns whether `bytes` more may be free */
function makeRoom(ofSize: SizeClass, bytes: number): boolean {
  while (freeBytes + bytes > MAX_FREE) {
    const own = bytesOf(ofSize) + bytes;
    const larger = classes.filter((each) => each !== ofSize && bytesOf(each) > own);
    const largest = larger.reduce(
      (most, each) => (bytesOf(each) > bytesOf(most) ? each : most),
      larger[0] ?? ofSize,
    );
    if (largest === ofSize) return false;
    drop(largest, 1);
    largest.unused = Math.min(largest.unused, largest.free.length);
  }
  return true;
}

function bytesOf({ free }: SizeClass): number {
  return free.length * (free[0]?.length ?? 0);
}
