/**
 * Makes of messages what a pipe takes: encoded frames, or the program's own if it gives them away (framesOf).
 *
 * Headers and small bodies are copied into a slab; large bodies go by reference, or are copied to pooled memory. The
 * fields of an Encoder keep the result until the next `encode`, so a publisher can add one to many queues:
 *
 *   slab.bytes[start, end)               a message of small frames
 *   parts: (memory, bytes, start, end)…  a message with a large frame, in order
 */
import { isBytes } from "../../../core/bytes.js";
import { allocate, slice } from "../../../core/memory.js";
import type { OutgoingFrame, OutgoingMessage } from "../../engine.js";
import { LONG_HEADER, MAX_SHORT, MORE, SHORT_HEADER, skipMessages, writeHeader } from "../../frame.js";
import { acquire, type PooledBuffer, type RefCounted } from "./pooled-buffer.js";

/** Bodies of at least this size go by reference. */
export const BY_REFERENCE = 16_384;

/** Bytes. An idle pipe's first slab is small unless the previous one grew past it. */
export const SLAB_SIZE = 131_072;
export const FIRST_SLAB_SIZE = 2_048;
const MAX_POOLED = 32;
const MAX_POOLED_FIRST = 1_024;

/**
 * Memory for small frames, never rewritten while `refs` counts segments in it (out-queue.ts). The small size
 * serves fan-out: a hundred large slabs exceed the pool and the processor's cache.
 */
export class Slab implements RefCounted {
  readonly bytes: Buffer;
  readonly size: number;
  used = 0;
  refs = 0;
  retired = false;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.size = bytes.length;
  }

  release(): void {
    this.refs -= 1;
    if (this.refs === 0 && this.retired) pool(this);
  }
}

export const FULL = new Slab(Buffer.alloc(0));
FULL.used = SLAB_SIZE;
FULL.refs = 1;
FULL.retired = true;

const pooled: Slab[] = [];
const pooledFirst: Slab[] = [];

function pool(slab: Slab): void {
  if (slab.size === SLAB_SIZE) {
    if (pooled.length < MAX_POOLED) pooled.push(slab);
  } else if (pooledFirst.length < MAX_POOLED_FIRST) pooledFirst.push(slab);
}

export function takeSlab(size: number): Slab {
  const slab = (size === SLAB_SIZE ? pooled : pooledFirst).pop();
  if (slab === undefined) return new Slab(allocate(size));
  slab.used = 0;
  slab.retired = false;
  return slab;
}

/** The slab's last segment returns it to the pool. */
export function retireSlab(slab: Slab): void {
  if (slab.retired) return;
  slab.retired = true;
  if (slab.refs === 0) pool(slab);
}

const copiedHeader = Buffer.alloc(LONG_HEADER);
let copies: PooledBuffer[] | undefined;

/** Large bodies are copied to memory that is reused once every queue has sent them. */
export function copying<T>(offer: () => T): T {
  const before = copies;
  const made: PooledBuffer[] = [];
  copies = made;
  try {
    return offer();
  } finally {
    copies = before;
    for (const memory of made) memory.release();
  }
}

export interface Part {
  readonly memory: RefCounted | undefined;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export function letGo(parts: readonly Part[] | undefined): void {
  if (parts !== undefined) for (const { memory } of parts) memory?.release();
}

export class Encoder {
  slab: Slab = FULL;
  start = 0;
  end = 0;
  /** Bytes on the wire. */
  length = 0;
  /** 0 for a command or raw bytes. */
  frames = 0;
  parts: Part[] | undefined = undefined;
  #firstSize = FIRST_SLAB_SIZE;

  /** @param from index of the first frame @param prefix frames in front */
  encode(message: OutgoingMessage, from: number, prefix: readonly OutgoingFrame[] | undefined): void {
    this.parts = undefined;
    // Fast path: a lone short frame.
    if (isBytes(message) && prefix === undefined) {
      const { slab } = this;
      const size = message.length; // V8 inlines `length`, but calls `byteLength`.
      const start = slab.refs === 0 ? 0 : slab.used;
      const end = start + SHORT_HEADER + size;
      if (size <= MAX_SHORT && end <= slab.size) {
        const { bytes } = slab;
        bytes[start] = 0;
        bytes[start + 1] = size;
        bytes.set(message, start + SHORT_HEADER);
        slab.used = end;
        this.start = start;
        this.end = end;
        this.length = end - start;
        this.frames = 1;
        return;
      }
    }
    this.length = 0;
    if (this.slab.refs === 0) this.slab.used = 0;
    this.start = this.slab.used;
    this.frames = (Array.isArray(message) ? message.length - from : 1) + (prefix?.length ?? 0);
    if (prefix !== undefined)
      for (let i = 0; i < prefix.length; i++) this.#frame(prefix[i] as OutgoingFrame, MORE);
    if (Array.isArray(message)) {
      const last = message.length - 1;
      for (let i = from; i < last; i++) this.#frame(message[i] as OutgoingFrame, MORE);
      this.#frame(message[last] as OutgoingFrame, 0);
    } else this.#frame(message as OutgoingFrame, 0);
    this.#close();
  }

  encodeRaw(bytes: Uint8Array | string): void {
    this.parts = undefined;
    this.length = 0;
    this.frames = 0;
    if (this.slab.refs === 0) this.slab.used = 0;
    this.start = this.slab.used;
    this.#body(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
    this.#close();
  }

  /**
   * @param frames without `first` @param first in front of a single message @param memory owner of pooled
   * bytes
   */
  encodeRange(
    bytes: Uint8Array,
    start: number,
    end: number,
    frames: number,
    first: Uint8Array | undefined,
    memory: RefCounted | undefined,
  ): void {
    this.parts = undefined;
    this.length = 0;
    this.frames = first === undefined ? frames : frames + 1;
    if (this.slab.refs === 0) this.slab.used = 0;
    this.start = this.slab.used;
    if (first !== undefined) this.#frame(first, MORE);
    this.#body(bytes.subarray(start, end), memory);
    this.#close();
  }

  /**
   * Appends small messages, each behind a copy of `first`; all must fit one slab. They are copied to the end
   * of their target, then moved one by one: `copyWithin` makes no view.
   */
  encodeEach(
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    frames: number,
    first: Uint8Array,
  ): void {
    this.parts = undefined;
    this.length = 0;
    this.frames = frames + messages;
    if (this.slab.refs === 0) this.slab.used = 0;
    this.start = this.slab.used;
    const before = SHORT_HEADER + first.length;
    const size = end - start + messages * before;
    const slab = this.#room(size);
    const target = slab.bytes;
    let at = slab.used;
    let position = at + messages * before;
    target.set(bytes.subarray(start, end), position);
    slab.used += size;
    for (let i = 0; i < messages; i++) {
      target[at++] = MORE;
      target[at++] = first.length;
      for (let k = 0; k < first.length; k++) target[at++] = first[k] as number;
      const next = skipMessages(target, position, 1);
      target.copyWithin(at, position, next);
      at += next - position;
      position = next;
    }
    this.#close();
  }

  /** Retains the message's parts until `letGo`: a queue could send and free them too early. */
  hold(): readonly Part[] | undefined {
    const { parts } = this;
    if (parts !== undefined) for (const { memory } of parts) if (memory !== undefined) memory.refs += 1;
    return parts;
  }

  releaseSlab(): void {
    const { slab } = this;
    if (slab.refs > 0) return;
    this.#firstSize = slab.used > FIRST_SLAB_SIZE ? SLAB_SIZE : FIRST_SLAB_SIZE;
    retireSlab(slab);
    this.slab = FULL;
  }

  close(): void {
    retireSlab(this.slab);
    this.slab = FULL;
  }

  #close(): void {
    this.end = this.slab.used;
    if (this.parts !== undefined) this.#cut();
    else this.length += this.end - this.start;
  }

  #frame(frame: OutgoingFrame, flags: number): void {
    if (typeof frame === "string") {
      this.#text(frame, flags);
      return;
    }
    const size = frame.length;
    let slab = this.slab;
    if (size < BY_REFERENCE && slab.used + size + LONG_HEADER <= slab.size) {
      const at = writeHeader(slab.bytes, slab.used, flags, size);
      if (size > 0) slab.bytes.set(frame, at);
      slab.used = at + size;
      return;
    }
    if (copies !== undefined && size >= BY_REFERENCE) {
      this.#copy(frame, writeHeader(copiedHeader, 0, flags, size), copies);
      return;
    }
    slab = this.#room(size < BY_REFERENCE ? size + LONG_HEADER : LONG_HEADER);
    slab.used = writeHeader(slab.bytes, slab.used, flags, size);
    this.#body(frame);
  }

  #text(text: string, flags: number): void {
    // At most three bytes per UTF-16 unit: a short text is measured after writing.
    const slab = this.slab;
    const most = text.length * 3;
    if (most <= 255 && slab.used + most + 2 <= slab.size) {
      const size = slab.bytes.write(text, slab.used + 2);
      slab.bytes[slab.used] = flags;
      slab.bytes[slab.used + 1] = size;
      slab.used += size + 2;
      return;
    }
    this.#frame(Buffer.from(text), flags);
  }

  #body(bytes: Uint8Array, memory?: RefCounted): void {
    const size = bytes.length;
    if (size < BY_REFERENCE) {
      const slab = this.#room(size);
      slab.bytes.set(bytes, slab.used);
      slab.used += size;
      return;
    }
    if (copies !== undefined && memory === undefined) {
      this.#copy(bytes, 0, copies);
      return;
    }
    this.#cut();
    this.parts?.push({ memory, bytes, start: 0, end: size });
    this.length += size;
  }

  #copy(bytes: Uint8Array, header: number, made: PooledBuffer[]): void {
    this.#cut();
    const size = header + bytes.length;
    const memory = acquire(size);
    made.push(memory);
    for (let i = 0; i < header; i++) memory.bytes[i] = copiedHeader[i] as number;
    memory.bytes.set(bytes, header);
    this.parts?.push({ memory, bytes: memory.bytes, start: 0, end: size });
    this.length += size;
  }

  #room(size: number): Slab {
    if (this.slab.used + size <= this.slab.size) return this.slab;
    const isFirst = this.slab === FULL && size <= FIRST_SLAB_SIZE;
    this.#cut();
    if (this.parts?.length === 0) this.parts = undefined;
    // No queue refers to this message's parts yet.
    this.slab.retired = true;
    this.slab = takeSlab(isFirst ? this.#firstSize : SLAB_SIZE);
    this.start = 0;
    return this.slab;
  }

  #cut(): void {
    this.parts ??= [];
    const { slab } = this;
    if (slab.used > this.start) {
      this.parts.push({ memory: slab, bytes: slab.bytes, start: this.start, end: slab.used });
      this.length += slab.used - this.start;
    }
    this.start = slab.used;
  }
}

// --- Given away ------------------------------------------------------------------------------------------------------

/** Node.js's global `Buffer` is a getter, which costs 6 ns per message. */
const Bytes = Buffer;

/**
 * Frames given away with `transfer`, which pass to sockets of the same thread without framing or copying. Frames in front
 * of them are copied. A message of 64 KiB takes 0.8 µs of processor time instead of 52, one of 64 bytes 0.4 instead of
 * 0.7.
 *
 * @returns the frames from index `from` on, after copies of `prefix`
 */
export function framesOf(
  message: OutgoingMessage,
  from: number,
  prefix: readonly OutgoingFrame[] | undefined,
): Buffer[] {
  if (prefix === undefined && !Array.isArray(message)) return [frameOf(message as OutgoingFrame)];
  const frames: Buffer[] = [];
  if (prefix !== undefined)
    for (let i = 0; i < prefix.length; i++) frames.push(Bytes.from(prefix[i] as Uint8Array));
  if (Array.isArray(message)) {
    for (let i = from; i < message.length; i++) frames.push(frameOf(message[i] as OutgoingFrame));
  } else frames.push(frameOf(message as OutgoingFrame));
  return frames;
}

function frameOf(frame: OutgoingFrame): Buffer {
  if (typeof frame === "string") return Bytes.from(frame);
  // Empty frames may share one object, which must not be transferred to a thread.
  if (frame.length === 0) return Bytes.alloc(0);
  return frame instanceof Bytes ? frame : slice(frame.buffer, frame.byteOffset, frame.length);
}
