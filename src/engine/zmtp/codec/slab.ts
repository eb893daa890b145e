/**
 * Memory that many small frames are written into, so that a turn's messages
 * leave in one write.
 *
 * A slab is written front to back and never rewritten while anything refers to
 * it: `refs` counts the segments (out-queue.ts) that do. When the last one has
 * left, the slab starts again, or goes back to the pool.
 */

import { allocate } from "../../../core/memory.js";
import type { RefCounted } from "./pooled-buffer.js";

/** Bytes of a slab. */
export const SLAB_SIZE = 131_072;
/** Slabs kept for reuse. */
const MAX_POOLED = 32;

export class Slab implements RefCounted {
  readonly bytes: Buffer;
  used = 0;
  refs = 0;
  /** No encoder writes into it any more. */
  retired = false;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** A segment of it has left. */
  release(): void {
    this.refs -= 1;
    if (this.refs === 0 && this.retired && pool.length < MAX_POOLED) pool.push(this);
  }
}

/** Stands for no slab: there is never room in it. */
export const FULL = new Slab(Buffer.alloc(0));
FULL.used = SLAB_SIZE;
FULL.refs = 1;
FULL.retired = true;

const pool: Slab[] = [];

export function takeSlab(): Slab {
  const slab = pool.pop();
  if (slab === undefined) return new Slab(allocate(SLAB_SIZE));
  slab.used = 0;
  slab.retired = false;
  return slab;
}

/** The encoder has gone on to another slab. */
export function retireSlab(slab: Slab): void {
  if (slab.retired) return;
  slab.retired = true;
  if (slab.refs === 0 && pool.length < MAX_POOLED) pool.push(slab);
}
