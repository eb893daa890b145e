/**
 * Memory that is filled by the kernel, and used again once all that was received in it has been relayed.
 *
 *   acquire(size) --filled, run in an in-stream--+--takeBatch, by reference--> segments, each counted
 *                                                |                                | the last has left
 *                                                |                                +--> free, for the next
 *                                                +--take--> the program's: pinned, and never used again
 *
 * Without it each large message that a proxy relays is memory that the kernel has to find and clear page by page, and that
 * the collector has to find again: a third of the proxy's time.
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
/** Free buffers of a class that are probed for one that fits. */
const MAX_PROBES = 4;
/** Times that memory is wanted between two looks at what nobody has wanted. */
const LOOK_INTERVAL = 4_096;
/** Added to the count of a pinned buffer: more than is ever released. */
const PINNED = 2 ** 29;

/** Buffers of nearly the same size. */
interface SizeClass {
  free: Buffer[];
  /** How many were free all the time since the last look. */
  unused: number;
}

/** Streams read into memory of several sizes at the same time: none of them takes the place of another. */
const classes: SizeClass[] = [];
let freeBytes = 0;
let wanted = 0;

export class PooledBuffer implements RefCounted {
  readonly bytes: Buffer;
  /** What acquired it is the first. */
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

  /** Something refers to it that will never release it: the program. */
  pin(): void {
    if (this.refs < PINNED) this.refs += PINNED;
  }
}

/** Memory of `size` bytes, or up to a quarter more; what is in it is anything. */
export function acquire(size: number): PooledBuffer {
  wanted += 1;
  if (wanted % LOOK_INTERVAL === 0) classes.forEach(giveUp);
  const index = classOf(size);
  return new PooledBuffer(
    fitting(classes[index], size) ?? fitting(classes[index + 1], size) ?? allocate(size),
  );
}

/** Four to each power of two. */
function classOf(size: number): number {
  const exponent = Math.floor(Math.log2(size));
  return 4 * exponent + Math.floor(4 * (size / 2 ** exponent - 1));
}

/** The last that came back is the first to go: the processor still has it in its cache. */
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

/** Half of what nobody wanted. */
function giveUp(ofSize: SizeClass): void {
  drop(ofSize, Math.ceil(ofSize.unused / 2));
  ofSize.unused = ofSize.free.length;
}

/** So many, the oldest first. */
function drop({ free }: SizeClass, count: number): void {
  for (const { length } of free.splice(0, count)) freeBytes -= length;
}

/** @returns whether so many bytes more of a class may be free: in the place of classes that have more, if need be */
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

/** About so many bytes of it are free. */
function bytesOf({ free }: SizeClass): number {
  return free.length * (free[0]?.length ?? 0);
}
