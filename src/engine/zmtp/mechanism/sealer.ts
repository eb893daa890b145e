/**
 * Converts between plain frames and MESSAGE bodies (26/CURVEZMQ; flags 00, as libzmq sends them).
 *
 *   pipe.out --plain frames--> seal() --> the kernel
 *   the kernel --> open() --plain frames--> pipe.in
 */

import { allocate, slice } from "../../../core/memory.js";
import {
  bodyAt,
  COMMAND,
  frameEnd,
  headerSize,
  LONG,
  LONG_HEADER,
  SHORT_HEADER,
  writeHeader,
} from "../../frame.js";
import { InStream, MAX_COMMAND, type StreamFault } from "../codec/in-stream.js";
import type { Segment } from "../codec/out-queue.js";
import type { CipherMemory, Fault, FrameCipher, FrameSealer } from "./mechanism.js";

/** Most bytes that a cipher adds to a body. */
const OVERHEAD = 64;

export class Sealer implements FrameSealer {
  readonly #cipher: FrameCipher;
  #sealed: InStream | undefined;
  #opened = 0;

  constructor(cipher: FrameCipher) {
    this.#cipher = cipher;
  }

  seal(segments: readonly Segment[]): Buffer {
    const size = this.#sizeOfShort(segments);
    const memory = size > 0 ? this.#cipher.memory("seal") : undefined;
    if (memory !== undefined) return this.#sealShort(segments, size, memory);
    return this.#sealEach(segments);
  }

  #sealEach(segments: readonly Segment[]): Buffer {
    const cipher = this.#cipher;
    const frames = framesOf(segments);
    let size = 0;
    for (const { body } of frames) size += this.#sealedSize(body.length);
    const wire = Buffer.allocUnsafeSlow(size);
    let position = 0;
    for (const { flags, body } of frames) {
      const length = cipher.sealedLength(body.length);
      position = writeHeader(wire, position, 0, length);
      cipher.seal(flags, body, 0, body.length, wire, position);
      position += length;
    }
    return wire;
  }

  #sealedSize(length: number): number {
    const sealed = this.#cipher.sealedLength(length);
    return headerSize(sealed) + sealed;
  }

  /** 0 if a frame is long, or not whole in its segment. */
  #sizeOfShort(segments: readonly Segment[]): number {
    const most = this.#cipher.mostShort;
    let size = 0;
    for (const { bytes, start, end } of segments) {
      for (let position = start; position < end; ) {
        const next = frameEnd(bytes, position);
        const length = next - bodyAt(bytes, position);
        if (next > end || length > most) return 0;
        size += this.#sealedSize(length);
        position = next;
      }
    }
    return size;
  }

  #sealShort(segments: readonly Segment[], size: number, memory: CipherMemory): Buffer {
    const cipher = this.#cipher;
    const wire = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const { bytes, start, end } of segments) {
      for (let position = start; position < end; ) {
        const next = this.#lastFitting(bytes, position, end, memory);
        memory.bytes.set(bytes.subarray(position, next), memory.input);
        const inputEnd = memory.input + next - position;
        let output = memory.output;
        for (let from = memory.input; from < inputEnd; ) {
          // Sealing overwrites the header's last byte.
          const flags = memory.bytes[from] as number;
          const to = frameEnd(memory.bytes, from);
          const body = bodyAt(memory.bytes, from);
          const length = cipher.sealedLength(to - body);
          output = writeHeader(memory.bytes, output, 0, length);
          cipher.seal(flags & ~LONG, memory.bytes, body, to, memory.bytes, output);
          output += length;
          from = to;
        }
        wire.set(memory.bytes.subarray(memory.output, output), at);
        at += output - memory.output;
        position = next;
      }
    }
    return wire;
  }

  /** At least one frame. */
  #lastFitting(bytes: Uint8Array, start: number, end: number, memory: CipherMemory): number {
    let size = 0;
    let position = start;
    while (position < end) {
      const next = frameEnd(bytes, position);
      size += this.#sealedSize(next - bodyAt(bytes, position));
      if (size > memory.outputSize || next - start > memory.inputSize) break;
      position = next;
    }
    return position;
  }

  open(bytes: Uint8Array, stream: InStream, length = bytes.length): StreamFault | Fault | undefined {
    this.#sealed ??= new InStream(-1, () => undefined);
    const sealed = this.#sealed;
    stream.outer = sealed;
    let position = 0;
    // A started frame is completed alone, so that later frames are opened in place.
    while (sealed.lacks > 0 && position < length) {
      const next = Math.min(length, position + sealed.lacks);
      const fault = sealed.push(bytes, position, next);
      if (fault !== undefined) return fault;
      position = next;
    }
    const whole = sealed.unfinished > 0 ? position : this.#wholeEnd(bytes, position, length);
    const broken = this.#openWhole(bytes, position, whole, stream);
    if (broken !== undefined) return broken;
    // A command may have ended the connection.
    if (whole === length || stream.outer !== sealed) return undefined;
    sealed.limit(Math.max(stream.room, MAX_COMMAND) + OVERHEAD);
    const fault = sealed.push(bytes, whole, length); // Not copied.
    return this.#openWhole(bytes, whole, whole, stream) ?? fault;
  }

  #wholeEnd(bytes: Uint8Array, start: number, length: number): number {
    let whole = start;
    while (isMessageAt(bytes, whole, length)) {
      const to = frameEnd(bytes, whole);
      if (to > length) break;
      whole = to;
    }
    return whole;
  }

  #openWhole(
    bytes: Uint8Array,
    start: number,
    end: number,
    stream: InStream,
  ): StreamFault | Fault | undefined {
    const sealed = this.#sealed as InStream;
    const frames: Buffer[] = [];
    let size = 0;
    while (sealed.messages > 0) {
      for (const frame of sealed.take()) {
        frames.push(frame);
        size += this.#plainSize(frame.length);
      }
    }
    for (let position = start; position < end; ) {
      const next = frameEnd(bytes, position);
      size += this.#plainSize(next - bodyAt(bytes, position));
      position = next;
    }
    if (size === 0) return undefined;
    let plain: Buffer;
    try {
      plain = allocate(size);
    } catch {
      return "no-memory"; // The caller closes the connection with an event.
    }
    this.#opened = 0;
    const mostShort = this.#cipher.sealedLength(this.#cipher.mostShort);
    let fault: Fault | undefined;
    for (const frame of frames) fault ??= this.#openInto(frame, 0, frame.length, plain);
    for (let position = start; position < end && fault === undefined; ) {
      const isShort = frameEnd(bytes, position) - bodyAt(bytes, position) <= mostShort;
      // A long frame may have used the memory.
      const memory = isShort ? this.#cipher.memory("open") : undefined;
      if (memory !== undefined) {
        const next = this.#shortEnd(bytes, position, end, mostShort, memory);
        fault = this.#openShort(bytes, position, next, plain, memory);
        position = next;
      } else {
        const to = frameEnd(bytes, position);
        fault = this.#openInto(bytes, bodyAt(bytes, position), to, plain);
        position = to;
      }
    }
    return (this.#opened > 0 ? stream.push(plain, 0, this.#opened) : undefined) ?? fault;
  }

  #openShort(
    bytes: Uint8Array,
    start: number,
    end: number,
    plain: Uint8Array,
    memory: CipherMemory,
  ): Fault | undefined {
    const inner = memory.bytes;
    inner.set(bytes.subarray(start, end), memory.input);
    const inputEnd = memory.input + end - start;
    let output = memory.output;
    let fault: Fault | undefined;
    for (let from = memory.input; from < inputEnd && fault === undefined; ) {
      const to = frameEnd(inner, from);
      const next = this.#openOne(inner, bodyAt(inner, from), to, inner, output);
      if (typeof next === "number") output = next;
      else fault = next;
      from = to;
    }
    plain.set(inner.subarray(memory.output, output), this.#opened);
    this.#opened += output - memory.output;
    return fault;
  }

  #openInto(bytes: Uint8Array, from: number, to: number, plain: Uint8Array): Fault | undefined {
    const next = this.#openOne(bytes, from, to, plain, this.#opened);
    if (typeof next !== "number") return next;
    this.#opened = next;
    return undefined;
  }

  #shortEnd(bytes: Uint8Array, start: number, end: number, most: number, memory: CipherMemory): number {
    let position = start;
    while (position < end) {
      const next = frameEnd(bytes, position);
      if (next - bodyAt(bytes, position) > most || next - start > memory.inputSize) break;
      position = next;
    }
    return position;
  }

  #plainSize(length: number): number {
    const body = Math.max(0, this.#cipher.plainLength(length));
    return headerSize(body) + body;
  }

  #openOne(sealed: Uint8Array, from: number, to: number, plain: Uint8Array, at: number): number | Fault {
    const cipher = this.#cipher;
    const length = cipher.plainLength(to - from);
    // The header's last byte is written after the flags are known.
    const opened = cipher.open(sealed, from, to, plain, at + headerSize(length) - 1);
    if (typeof opened !== "number") return opened;
    return writeHeader(plain, at, (opened & COMMAND) !== 0 ? COMMAND : opened, length) + length;
  }
}

/** Whether there is the whole header of a message. */
function isMessageAt(bytes: Uint8Array, position: number, end: number): boolean {
  const flags = bytes[position] as number;
  return (flags & ~LONG) === 0 && position + (flags === 0 ? SHORT_HEADER : LONG_HEADER) <= end;
}

interface Frame {
  /** MORE and COMMAND; never LONG. */
  readonly flags: number;
  readonly body: Uint8Array;
}

/** @param segments of whole messages; the body of a frame sent by reference is a segment (codec/encoder.ts) */
export function framesOf(segments: readonly Segment[]): Frame[] {
  const frames: Frame[] = [];
  /** The flags of a frame whose body is the next segment. */
  let begun: number | undefined;
  for (const { bytes, start, end } of segments) {
    const { buffer, byteOffset } = bytes;
    if (begun !== undefined) {
      frames.push({ flags: begun, body: slice(buffer, byteOffset + start, end - start) });
      begun = undefined;
      continue;
    }
    for (let position = start; position < end; ) {
      const flags = (bytes[position] as number) & ~LONG;
      const body = bodyAt(bytes, position);
      position = frameEnd(bytes, position);
      if (position > end) begun = flags;
      else frames.push({ flags, body: slice(buffer, byteOffset + body, position - body) });
    }
  }
  return frames;
}
