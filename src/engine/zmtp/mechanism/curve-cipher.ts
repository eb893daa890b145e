/**
 * CURVE's MESSAGE, the form of every frame after the handshake (26/CURVEZMQ, The MESSAGE Command), and the conversion
 * between such frames and plain ones.
 *
 *   pipe.out --plain frames--> Sealer.seal() --> the kernel
 *   the kernel --> Sealer.open() --plain frames--> pipe.in
 *
 *   07 "MESSAGE" | counter 8 @8 | Box[flags 1, body] @16          33 bytes longer than body
 *   flags = 01 MORE, 02 COMMAND
 *   nonce of the box = "CurveZMQMESSAGE" | "C" from the client, "S" from the server | counter
 *
 * Differences from RFC 26, as libzmq expects: MESSAGE is the body of a message frame without MORE (libzmq
 * drops a command frame). PING, SUBSCRIBE and the like go inside with flag 02. The nonce's text is not
 * "CurveZMQMESSAGE-".
 */
import { readUint32, writeUint32 } from "../../../core/bytes.js";
import { allocate, slice } from "../../../core/memory.js";
import {
  bodyAt,
  COMMAND,
  frameEnd,
  headerSize,
  LONG,
  LONG_HEADER,
  MORE,
  SHORT_HEADER,
  writeHeader,
} from "../../frame.js";
import { InStream, MAX_COMMAND, type StreamFault } from "../codec/in-stream.js";
import type { Segment } from "../codec/out-queue.js";
import { type CurveBox, type FrameMemory, TAG_LENGTH } from "./curve-box.js";
import { type Fault, type FrameSealer, protocolFault } from "./mechanism.js";

const NAME = Buffer.from("\u0007MESSAGE", "latin1");
const COUNTER = 8;
const BOX = 16;
const FLAGS = BOX + TAG_LENGTH;
/** Bytes of a MESSAGE besides its plain body. */
export const OVERHEAD = FLAGS + 1;

const INNER_MORE = 1;
const INNER_COMMAND = 2;

const NONCE_COUNTER = 16;
const NAME_BEGIN = readUint32(NAME, 0);
const NAME_END = readUint32(NAME, 4);

function nonceOf(side: "C" | "S"): Buffer {
  return Buffer.concat([Buffer.from(`CurveZMQMESSAGE${side}`, "latin1"), Buffer.alloc(8)]);
}

/** One connection's cipher. */
export class Sealer implements FrameSealer {
  readonly #box: CurveBox;
  readonly #key: Uint8Array;
  readonly #sendNonce: Buffer;
  readonly #receiveNonce: Buffer;
  /** Each of 8 bytes as two words. */
  #sentHigh = 0;
  #sentLow: number;
  #receivedHigh: number;
  #receivedLow: number;
  #sealed: InStream | undefined;
  #opened = 0;

  /** @param sent this side's counter in its last handshake command @param received the peer's */
  constructor(box: CurveBox, key: Uint8Array, isServer: boolean, sent: number, received: Buffer) {
    this.#box = box;
    this.#key = key;
    this.#sendNonce = nonceOf(isServer ? "S" : "C");
    this.#receiveNonce = nonceOf(isServer ? "C" : "S");
    this.#sentLow = sent;
    this.#receivedHigh = received.readUInt32BE(0);
    this.#receivedLow = received.readUInt32BE(4);
  }

  /**
   * Seals the plain frame with its body at `from` to `to`.
   *
   * @param flags MORE 1, COMMAND 4
   * @param plain the byte before `from` is overwritten in the box's memory
   * @param target gets the body and `OVERHEAD` bytes at `at`; the box's memory if `plain` is
   */
  sealFrame(
    flags: number,
    plain: Uint8Array,
    from: number,
    to: number,
    target: Uint8Array,
    at: number,
  ): void {
    const low = (this.#sentLow + 1) >>> 0;
    if (low === 0) this.#sentHigh += 1;
    this.#sentLow = low;
    const high = this.#sentHigh;
    writeUint32(target, at, NAME_BEGIN);
    writeUint32(target, at + 4, NAME_END);
    writeUint32(target, at + COUNTER, high);
    writeUint32(target, at + COUNTER + 4, low);
    const inner = (flags & MORE ? INNER_MORE : 0) | (flags & COMMAND ? INNER_COMMAND : 0);
    const { frames } = this.#box;
    if (frames !== undefined && target === frames.bytes) {
      // The flags overwrite the last byte of the frame's own header.
      target[from - 1] = inner;
      frames.sealFrame(from - 1, 1 + to - from, at + BOX, high, low);
      return;
    }
    writeUint32(this.#sendNonce, NONCE_COUNTER, high);
    writeUint32(this.#sendNonce, NONCE_COUNTER + 4, low);
    target[at + FLAGS] = inner;
    const length = to - from;
    target.set(slice(plain.buffer, plain.byteOffset + from, length), at + OVERHEAD);
    const memory = target.buffer;
    const base = target.byteOffset + at;
    const text = slice(memory, base + FLAGS, 1 + length);
    const sealed = slice(memory, base + BOX, TAG_LENGTH + 1 + length);
    this.#box.seal(sealed, text, this.#sendNonce, this.#key);
  }

  /**
   * @param plain gets a garbage byte at `at`, then the body; the box's memory if `sealed` is
   * @returns the flags, or the connection's fault; then `plain` is garbage
   */
  openFrame(sealed: Uint8Array, from: number, to: number, plain: Uint8Array, at: number): number | Fault {
    const length = to - from;
    for (let i = 0; i < NAME.length; i++) {
      if (i >= length || sealed[from + i] !== NAME[i])
        return protocolFault("ERR_ZMTP_UNEXPECTED_COMMAND", "CURVE: a frame that is not a MESSAGE");
    }
    if (length < OVERHEAD) {
      return protocolFault("ERR_ZMTP_MALFORMED_COMMAND_MESSAGE", "CURVE: MESSAGE is too short");
    }
    const high = readUint32(sealed, from + COUNTER);
    const low = readUint32(sealed, from + COUNTER + 4);
    // Gaps are allowed; a repeated counter is a replay.
    if (high < this.#receivedHigh || (high === this.#receivedHigh && low <= this.#receivedLow)) {
      return protocolFault("ERR_ZMTP_INVALID_SEQUENCE", "CURVE: MESSAGE's counter did not grow");
    }
    if (!this.#opens(sealed, from, to, plain, at, high, low)) {
      return protocolFault("ERR_ZMTP_CRYPTOGRAPHIC", "CURVE: MESSAGE does not open");
    }
    this.#receivedHigh = high;
    this.#receivedLow = low;
    const flags = plain[at] as number;
    if ((flags & ~(INNER_MORE | INNER_COMMAND)) !== 0) {
      return protocolFault("ERR_ZMTP_MALFORMED_COMMAND_MESSAGE", "CURVE: MESSAGE has reserved flags");
    }
    return (flags & INNER_MORE ? MORE : 0) | (flags & INNER_COMMAND ? COMMAND : 0);
  }

  #opens(
    sealed: Uint8Array,
    from: number,
    to: number,
    plain: Uint8Array,
    at: number,
    high: number,
    low: number,
  ): boolean {
    const { frames } = this.#box;
    if (frames !== undefined && sealed === frames.bytes)
      return frames.openFrame(from + BOX, to - from - BOX, at, high, low);
    writeUint32(this.#receiveNonce, NONCE_COUNTER, high);
    writeUint32(this.#receiveNonce, NONCE_COUNTER + 4, low);
    const box = slice(sealed.buffer, sealed.byteOffset + from + BOX, to - from - BOX);
    const opened = slice(plain.buffer, plain.byteOffset + at, to - from - FLAGS);
    return this.#box.open(opened, box, this.#receiveNonce, this.#key);
  }

  /** All connections of the thread share the box's memory, where short frames are sealed many at a time. */
  seal(segments: readonly Segment[]): Buffer {
    const { frames } = this.#box;
    const size = this.#sizeOfShort(segments);
    return frames === undefined || size === 0
      ? this.#sealEach(segments)
      : this.#sealShort(segments, size, frames);
  }

  #sealEach(segments: readonly Segment[]): Buffer {
    const frames = framesOf(segments);
    let size = 0;
    for (const { body } of frames) size += sealedSize(body.length);
    const wire = Buffer.allocUnsafeSlow(size);
    let position = 0;
    for (const { flags, body } of frames) {
      const length = OVERHEAD + body.length;
      position = writeHeader(wire, position, 0, length);
      this.sealFrame(flags, body, 0, body.length, wire, position);
      position += length;
    }
    return wire;
  }

  /** 0 if a frame is long, or not whole in its segment. */
  #sizeOfShort(segments: readonly Segment[]): number {
    const most = this.#box.mostShort;
    let size = 0;
    for (const { bytes, start, end } of segments) {
      for (let position = start; position < end; ) {
        const next = frameEnd(bytes, position);
        const length = next - bodyAt(bytes, position);
        if (next > end || length > most) return 0;
        size += sealedSize(length);
        position = next;
      }
    }
    return size;
  }

  #sealShort(segments: readonly Segment[], size: number, memory: FrameMemory): Buffer {
    memory.use(this.#key, this.#sendNonce);
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
          const length = OVERHEAD + to - body;
          output = writeHeader(memory.bytes, output, 0, length);
          this.sealFrame(flags & ~LONG, memory.bytes, body, to, memory.bytes, output);
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
  #lastFitting(bytes: Uint8Array, start: number, end: number, memory: FrameMemory): number {
    let size = 0;
    let position = start;
    while (position < end) {
      const next = frameEnd(bytes, position);
      size += sealedSize(next - bodyAt(bytes, position));
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
        size += plainSize(frame.length);
      }
    }
    for (let position = start; position < end; ) {
      const next = frameEnd(bytes, position);
      size += plainSize(next - bodyAt(bytes, position));
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
    const { mostShort, frames: shared } = this.#box;
    let fault: Fault | undefined;
    for (const frame of frames) fault ??= this.#openInto(frame, 0, frame.length, plain);
    for (let position = start; position < end && fault === undefined; ) {
      const to = frameEnd(bytes, position);
      const isShort = to - bodyAt(bytes, position) <= OVERHEAD + mostShort;
      if (isShort && shared !== undefined) {
        const next = this.#shortEnd(bytes, position, end, shared);
        fault = this.#openShort(bytes, position, next, plain, shared);
        position = next;
      } else {
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
    memory: FrameMemory,
  ): Fault | undefined {
    // A long frame may have used the memory.
    memory.use(this.#key, this.#receiveNonce);
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

  #shortEnd(bytes: Uint8Array, start: number, end: number, memory: FrameMemory): number {
    const most = OVERHEAD + this.#box.mostShort;
    let position = start;
    while (position < end) {
      const next = frameEnd(bytes, position);
      if (next - bodyAt(bytes, position) > most || next - start > memory.inputSize) break;
      position = next;
    }
    return position;
  }

  #openOne(sealed: Uint8Array, from: number, to: number, plain: Uint8Array, at: number): number | Fault {
    const length = to - from - OVERHEAD;
    // The header's last byte is written after the flags are known.
    const opened = this.openFrame(sealed, from, to, plain, at + headerSize(length) - 1);
    if (typeof opened !== "number") return opened;
    return writeHeader(plain, at, (opened & COMMAND) !== 0 ? COMMAND : opened, length) + length;
  }
}

function sealedSize(length: number): number {
  return headerSize(OVERHEAD + length) + OVERHEAD + length;
}

function plainSize(length: number): number {
  const body = Math.max(0, length - OVERHEAD);
  return headerSize(body) + body;
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
