/**
 * The frame that a chunk ends in the middle of: put together in memory of its own.
 *
 *   begin       --> header --whole, checked--> body --whole--> the reader has it
 *   beginBehind ------------------------------> body    with the frames of its message that came just before it
 *
 * A large one is filled by the kernel where it stays (`memory`, `filled`), as far as it has not come yet. The same read brings
 * the first of what follows, into room behind the frame: of the next frame its header is known then, and the kernel fills that
 * where it stays, too, without a read for the header alone. One of more than 1 MiB gets its whole memory when a share of it has
 * come, and that alone is copied (`grownSize`): memory that grows by doubling was copied as often as it doubled, and at the end
 * twice the frame was resident.
 *
 * What all frames have of memory beyond the bytes that came is bounded: the system counts it against the process, though it is
 * not resident, and a peer has it by declaring lengths. Past the bound a frame gets little at first, and twice what came of it;
 * one that is itself longer than the bound, which only a raised `maxMessageSize` lets in, 16 times.
 */

import { allocate } from "../../../core/memory.js";
import { LONG, LONG_HEADER, readLongSize, SHORT_HEADER } from "../../frame.js";
import { acquire, type PooledBuffer } from "./pooled-buffer.js";

/** A frame up to this size, 1 MiB and its header, gets its memory at once; a longer one when so much of it has come. */
export const MAX_EAGER = 1_048_585;
/**
 * Memory of a longer frame, in times of what has come of it: all of it when 1/128 is here. A peer that only declares a
 * length gets no more; what it never fills is not resident on any system that maps memory when it is written to.
 */
const AHEAD = 128;
/** The same where frames have `MAX_UNFILLED` bytes of memory that are not filled yet. */
const AHEAD_AT_BOUND = 2;
/** The same there of a frame of more than `MAX_UNFILLED` bytes, which never fits: the first sixteenth alone is copied. */
const AHEAD_PAST_BOUND = 16;
/** Bytes of memory of unfinished frames that are not filled, of all connections of a thread, past which a frame gets no more at once. */
export const MAX_UNFILLED = 1_073_741_824;
/** Bytes of a frame's rest from which on the kernel may put them where they belong. */
export const DIRECT = 16_384;
/** The same of a frame from which on each is read by itself; of shorter ones a read may bring several. */
const LARGE = 32_768;

/** Bytes of room behind a large frame, for what follows it: a header, an envelope. What comes there is copied, and zeroes are left. */
const BEHIND = 256;

/** They are read here, at once: a read of another stream comes after that. */
let behindFrame: Buffer | undefined;

/** Bytes of memory of unfinished frames that are not filled yet. */
let unfilled = 0;

/**
 * How much memory a frame gets that has outgrown its own.
 *
 * @param need bytes of the whole frame
 * @param have bytes of it that are here
 * @param size bytes that there must be room for
 * @param others bytes of memory of the other frames that are not filled yet
 */
export function grownSize(need: number, have: number, size: number, others: number): number {
  const next = ahead(need, have, AHEAD, size);
  if (others + next - have <= MAX_UNFILLED) return next;
  return ahead(need, have, need > MAX_UNFILLED ? AHEAD_PAST_BOUND : AHEAD_AT_BOUND, size);
}

/** All of it once its share is here; before that no more than the share, so that the last copy is a small one. */
function ahead(need: number, have: number, times: number, size: number): number {
  if (have * times >= need) return need;
  return Math.max(size, Math.min(have * times, Math.ceil(need / times)));
}

/** Decides about a split frame, and gets it. */
export interface SplitFrameEffects<F extends string> {
  /** Its header is whole. @returns what is wrong with it */
  splitOnHeader(flags: number, size: number): F | undefined;
  /** It is whole. @param at where it begins in `bytes`, behind other frames of its message @param end where it ends */
  splitOnWhole(bytes: Buffer, at: number, end: number, pooled: PooledBuffer | undefined): void;
  /** The process has no memory for it. @returns what is wrong with it */
  splitOnNoMemory(): F;
}

export class SplitFrame<F extends string> {
  readonly #effects: SplitFrameEffects<F>;
  /** What is known of its header, then its bytes. */
  #header: Buffer | undefined = undefined;
  #body: Buffer | undefined = undefined;
  /** Of the body's memory, where it is used again. */
  #pooled: PooledBuffer | undefined = undefined;
  /** Where it begins in its memory. */
  #at = 0;
  #have = 0;
  #need = 0;

  constructor(effects: SplitFrameEffects<F>) {
    this.#effects = effects;
  }

  /** Whether there is one. */
  get active(): boolean {
    return this.#need > 0;
  }

  /** Bytes of it that are here. */
  get bytes(): number {
    return this.#have - this.#at;
  }

  /** Bytes that it lacks: of its header, or of it all. */
  get lacks(): number {
    return this.#need - this.#have;
  }

  /** Whether it is a large one. */
  get isLarge(): boolean {
    return this.#body !== undefined && this.#need >= LARGE;
  }

  /** The memory that the next bytes belong in, where it is large; `filled` reports what came. */
  memory(): Uint8Array | undefined {
    if (this.#body === undefined || this.#need - this.#have < DIRECT) return undefined;
    // Without memory for it the next chunk is refused.
    return this.#bodyOf(this.#have + DIRECT)?.subarray(this.#have);
  }

  /** So many bytes are in what `memory` gave. @returns those behind the frame, which is whole then; for this call alone */
  filled(length: number): Uint8Array | undefined {
    this.#have += length;
    unfilled -= length;
    const [have, need] = [this.#have, this.#need];
    if (have < need) return undefined;
    const count = have - need;
    if (count > 0) {
      const body = this.#body as Buffer;
      behindFrame ??= allocate(BEHIND);
      body.copy(behindFrame, 0, need, have);
      // What gets the frame has its memory, and when that is released others write there.
      body.fill(0, need, have);
    }
    this.#whole();
    return count === 0 ? undefined : behindFrame?.subarray(0, count);
  }

  /** Keeps the beginning of a frame that goes on in the next chunk. */
  begin(chunk: Uint8Array, position: number, to: number): F | undefined {
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

  /** The same with the frames of its message from `first` on; `need` bytes together. Its header has been checked. */
  beginBehind(chunk: Uint8Array, first: number, position: number, to: number, need: number): F | undefined {
    this.#need = need;
    const body = this.#memoryOf(this.#firstSize(need, to - first));
    if (body === undefined) return this.#effects.splitOnNoMemory();
    body.set(chunk.subarray(first, to));
    this.#at = position - first;
    this.#have = to - first;
    unfilled -= this.#have;
    return undefined;
  }

  /** Adds what belongs to it. @returns the position behind that, or what is wrong */
  continue(chunk: Uint8Array, from: number, to: number): number | F {
    const count = Math.min(to - from, this.#need - this.#have);
    const header = this.#header;
    if (header !== undefined) {
      for (let i = 0; i < count; i++) header[this.#have + i] = chunk[from + i] as number;
      this.#have += count;
      const fault = this.#have === this.#need ? this.#headerIsWhole(header) : undefined;
      return fault ?? from + count;
    }
    const body = this.#bodyOf(this.#have + count);
    if (body === undefined) return this.#effects.splitOnNoMemory();
    body.set(chunk.subarray(from, from + count), this.#have);
    this.#have += count;
    unfilled -= count;
    if (this.#have === this.#need) this.#whole();
    return from + count;
  }

  /** Nothing more of it comes. */
  drop(): void {
    if (this.#body !== undefined) unfilled -= this.#body.length - this.#have;
    this.#header = undefined;
    this.#body = undefined;
    this.#pooled = undefined;
    this.#at = 0;
    this.#have = 0;
    this.#need = 0;
  }

  #headerIsWhole(header: Buffer): F | undefined {
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
    const body = this.#memoryOf(this.#firstSize(total, headerSize));
    if (body === undefined) return this.#effects.splitOnNoMemory();
    body.set(header.subarray(0, headerSize));
    unfilled -= headerSize;
    if (size === 0) this.#whole();
    return undefined;
  }

  /** Its memory, with room for the first `size` bytes; undefined: the process has none. */
  #bodyOf(size: number): Buffer | undefined {
    const body = this.#body as Buffer;
    if (size <= body.length) return body;
    const others = unfilled - (body.length - this.#have);
    const pooled = this.#pooled;
    const larger = this.#memoryOf(grownSize(this.#need, this.#have, size, others));
    if (larger === undefined) return undefined;
    larger.set(body.subarray(0, this.#have));
    unfilled -= body.length;
    pooled?.release();
    return larger;
  }

  /** How much memory it gets when its header has come. @param have bytes that are there */
  #firstSize(total: number, have: number): number {
    const eager = Math.min(total, MAX_EAGER);
    return unfilled + eager <= MAX_UNFILLED ? eager : Math.min(eager, Math.max(DIRECT, have));
  }

  /** Its new memory, none of which counts as filled; undefined: the process has none. */
  #memoryOf(bytes: number): Buffer | undefined {
    const size = bytes === this.#need && bytes >= LARGE ? bytes + BEHIND : bytes;
    try {
      // Memory of its own, since it may wait long: a pool's would be held whole by its smallest part.
      const pooled = size < DIRECT ? undefined : acquire(size);
      const body = pooled === undefined ? allocate(size) : pooled.bytes.subarray(0, size);
      this.#pooled = pooled;
      this.#body = body;
      unfilled += size;
      return body;
    } catch {
      return undefined; // No memory: the caller ends the connection, with an event.
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
