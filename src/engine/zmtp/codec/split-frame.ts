/**
 * Assembles a frame that spans chunks.
 *
 *   begin       --> header --whole, checked--> body --whole--> the reader has it
 *   beginBehind ------------------------------> body    with the earlier frames of its message
 *
 * The kernel reads the rest of a large frame directly into place (`memory`, `filled`), with the next frame's
 * header.
 *
 * A peer obtains memory by declaring lengths: a frame over 1 MiB gets the rest of its memory once its first
 * MiB has arrived. Unfilled pages are usually not resident.
 */

import { allocate } from "../../../core/memory.js";
import { LONG, LONG_HEADER, readLongSize, SHORT_HEADER } from "../../frame.js";
import { acquire, type PooledBuffer } from "./pooled-buffer.js";

/** Bytes that a frame gets at once: 1 MiB and a header. */
export const MAX_EAGER = 1_048_585;
/** Least missing bytes for a read directly into place. */
export const DIRECT = 16_384;
const LARGE = 32_768;

/** Bytes of room behind a large frame for the next header or envelope. */
const BEHIND = 256;

/** Shared by all streams: consumed before the next read. */
let behindFrame: Buffer | undefined;

export type StreamFault = "reserved-bits" | "too-long" | "too-many-frames" | "command-too-long" | "no-memory";

export interface SplitFrameEffects {
  splitOnHeader(flags: number, size: number): StreamFault | undefined;
  /** @param at position in `bytes`, behind earlier frames of the message */
  splitOnWhole(bytes: Buffer, at: number, end: number, pooled: PooledBuffer | undefined): void;
}

export class SplitFrame {
  readonly #effects: SplitFrameEffects;
  /** Undefined once the body has begun. */
  #header: Buffer | undefined = undefined;
  #body: Buffer | undefined = undefined;
  #pooled: PooledBuffer | undefined = undefined;
  #at = 0;
  #have = 0;
  #need = 0;

  constructor(effects: SplitFrameEffects) {
    this.#effects = effects;
  }

  get active(): boolean {
    return this.#need > 0;
  }

  get bytes(): number {
    return this.#have - this.#at;
  }

  get isLarge(): boolean {
    return this.#body !== undefined && this.#need >= LARGE;
  }

  memory(): Uint8Array | undefined {
    if (this.#body === undefined || this.#need - this.#have < DIRECT) return undefined;
    // On failure the next chunk is refused.
    return this.#bodyOf(this.#have + DIRECT)?.subarray(this.#have);
  }

  /** @returns the bytes behind a completed frame, valid until the next call */
  filled(length: number): Uint8Array | undefined {
    this.#have += length;
    const [have, need] = [this.#have, this.#need];
    if (have < need) return undefined;
    const count = have - need;
    if (count > 0) {
      const body = this.#body as Buffer;
      behindFrame ??= allocate(BEHIND);
      body.copy(behindFrame, 0, need, have);
      // The frame's owner gets this memory, too.
      body.fill(0, need, have);
    }
    this.#whole();
    return count === 0 ? undefined : behindFrame?.subarray(0, count);
  }

  begin(chunk: Uint8Array, position: number, to: number): StreamFault | undefined {
    this.#header = Buffer.allocUnsafe(LONG_HEADER);
    this.#have = 0;
    this.#need = SHORT_HEADER;
    for (let at = position; at < to; ) {
      const next = this.continue(chunk, at, to);
      if (typeof next === "string") return next;
      at = next;
    }
    return undefined;
  }

  /**
   * Keeps the first part of a frame with a checked header, behind earlier frames. @param need bytes of all
   */
  beginBehind(
    chunk: Uint8Array,
    first: number,
    position: number,
    to: number,
    need: number,
  ): StreamFault | undefined {
    this.#need = need;
    const body = this.#memoryOf(Math.min(need, MAX_EAGER));
    if (body === undefined) return "no-memory";
    body.set(chunk.subarray(first, to));
    this.#at = position - first;
    this.#have = to - first;
    return undefined;
  }

  /** @returns the position behind the frame's bytes, or the fault */
  continue(chunk: Uint8Array, from: number, to: number): number | StreamFault {
    const count = Math.min(to - from, this.#need - this.#have);
    const header = this.#header;
    if (header !== undefined) {
      for (let i = 0; i < count; i++) header[this.#have + i] = chunk[from + i] as number;
      this.#have += count;
      const fault = this.#have === this.#need ? this.#headerIsWhole(header) : undefined;
      return fault ?? from + count;
    }
    const body = this.#bodyOf(this.#have + count);
    if (body === undefined) return "no-memory";
    body.set(chunk.subarray(from, from + count), this.#have);
    this.#have += count;
    if (this.#have === this.#need) this.#whole();
    return from + count;
  }

  drop(): void {
    this.#header = undefined;
    this.#body = undefined;
    this.#pooled = undefined;
    this.#at = 0;
    this.#have = 0;
    this.#need = 0;
  }

  #headerIsWhole(header: Buffer): StreamFault | undefined {
    const flags = header[0] as number;
    if ((flags & LONG) !== 0 && this.#need === SHORT_HEADER) {
      this.#need = LONG_HEADER;
      return undefined;
    }
    const size = (flags & LONG) === 0 ? (header[1] as number) : readLongSize(header, 1);
    const fault = this.#effects.splitOnHeader(flags, size);
    if (fault !== undefined) return fault;
    const headerSize = this.#need;
    const total = headerSize + size;
    this.#header = undefined;
    this.#need = total;
    const body = this.#memoryOf(Math.min(total, MAX_EAGER));
    if (body === undefined) return "no-memory";
    body.set(header.subarray(0, headerSize));
    if (size === 0) this.#whole();
    return undefined;
  }

  #bodyOf(size: number): Buffer | undefined {
    const body = this.#body as Buffer;
    if (size <= body.length) return body;
    const pooled = this.#pooled;
    const larger = this.#memoryOf(this.#need);
    if (larger === undefined) return undefined;
    larger.set(body.subarray(0, this.#have));
    pooled?.release();
    return larger;
  }

  /** Undefined: allocation failed. */
  #memoryOf(bytes: number): Buffer | undefined {
    const size = bytes === this.#need && bytes >= LARGE ? bytes + BEHIND : bytes;
    try {
      // A partial frame would retain the whole pool of Buffer.
      const pooled = size < DIRECT ? undefined : acquire(size);
      const body = pooled === undefined ? allocate(size) : pooled.bytes.subarray(0, size);
      this.#pooled = pooled;
      this.#body = body;
      return body;
    } catch {
      return undefined; // The caller closes the connection with an event.
    }
  }

  #whole(): void {
    const bytes = this.#body as Buffer;
    const pooled = this.#pooled;
    const [at, end] = [this.#at, this.#need];
    this.drop();
    this.#effects.splitOnWhole(bytes, at, end, pooled);
  }
}
