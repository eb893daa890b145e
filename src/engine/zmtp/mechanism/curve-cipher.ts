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
  type FramePiece,
  frameEnd,
  headerSize,
  LONG,
  LONG_HEADER,
  MORE,
  RESERVED,
  SHORT_HEADER,
  writeHeader,
} from "../../frame.js";
import { type InStream, MAX_COMMAND } from "../codec/in-stream.js";
import type { PooledBuffer } from "../codec/pooled-buffer.js";
import { SplitFrame, type SplitFrameEffects, type StreamFault } from "../codec/split-frame.js";
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

/** Adjacent whole frames, all short and processed in the box's memory, or none of them. */
interface FrameGroup {
  readonly end: number;
  /** Bytes of the result. */
  readonly size: number;
  readonly memory: FrameMemory | undefined;
}

/**
 * One connection's cipher. All connections of the thread share the box's memory, where short frames are processed many at
 * a time.
 */
export class Sealer implements FrameSealer, SplitFrameEffects {
  readonly #box: CurveBox;
  readonly #key: Uint8Array;
  readonly #sendNonce: Buffer;
  readonly #receiveNonce: Buffer;
  /** Each of 8 bytes as two words. */
  #sentHigh = 0;
  #sentLow: number;
  #receivedHigh: number;
  #receivedLow: number;
  /** Gets the plain frames. */
  #stream: InStream | undefined = undefined;
  readonly #split = new SplitFrame(this);
  /** Of the frame that was opened last. */
  #fault: StreamFault | Fault | undefined = undefined;

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
    if (target === frames?.bytes) {
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
    if (sealed === frames?.bytes) return frames.openFrame(from + BOX, to - from - BOX, at, high, low);
    writeUint32(this.#receiveNonce, NONCE_COUNTER, high);
    writeUint32(this.#receiveNonce, NONCE_COUNTER + 4, low);
    const box = slice(sealed.buffer, sealed.byteOffset + from + BOX, to - from - BOX);
    const opened = slice(plain.buffer, plain.byteOffset + at, to - from - FLAGS);
    return this.#box.open(opened, box, this.#receiveNonce, this.#key);
  }

  /** @param pieces of whole messages; the body of a frame sent by reference is a piece (codec/encoder.ts) */
  seal(pieces: readonly FramePiece[]): FramePiece[] {
    const sealed: FramePiece[] = [];
    /** The flags of a frame whose body is the next piece. */
    let begun: number | undefined;
    for (const { bytes, start, end } of pieces) {
      let position = start;
      if (begun !== undefined) {
        sealed.push(this.#sealAlone(begun, bytes, start, end));
        begun = undefined;
        position = end;
      }
      while (position < end) {
        const group = this.#groupAt(bytes, position, end, OVERHEAD);
        if (group.end > position) sealed.push(this.#sealGroup(bytes, position, group));
        else begun = (bytes[position] as number) & ~LONG;
        position = group.end > position ? group.end : end;
      }
    }
    return sealed;
  }

  #sealAlone(flags: number, plain: Uint8Array, from: number, to: number): FramePiece {
    const length = OVERHEAD + to - from;
    const end = headerSize(length) + length;
    const bytes = Buffer.allocUnsafeSlow(end);
    this.sealFrame(flags, plain, from, to, bytes, writeHeader(bytes, 0, 0, length));
    return { bytes, start: 0, end };
  }

  #sealGroup(bytes: Uint8Array, start: number, { end, size, memory }: FrameGroup): FramePiece {
    const sealed = Buffer.allocUnsafeSlow(size);
    const plain = memory?.bytes ?? bytes;
    const target = memory?.bytes ?? sealed;
    const first = memory?.input ?? start;
    const begin = memory?.output ?? 0;
    memory?.use(this.#key, this.#sendNonce);
    memory?.bytes.set(bytes.subarray(start, end), memory.input);
    let at = begin;
    for (let from = first; from < first + end - start; ) {
      // Sealing overwrites the header's last byte.
      const flags = plain[from] as number;
      const to = frameEnd(plain, from);
      const body = bodyAt(plain, from);
      const length = OVERHEAD + to - body;
      at = writeHeader(target, at, 0, length);
      this.sealFrame(flags & ~LONG, plain, body, to, target, at);
      at += length;
      from = to;
    }
    if (memory !== undefined) sealed.set(target.subarray(begin, at));
    return { bytes: sealed, start: 0, end: size };
  }

  /** @param grows bytes by which a body becomes longer */
  #groupAt(bytes: Uint8Array, start: number, end: number, grows: number): FrameGroup {
    const { frames, mostShort } = this.#box;
    let memory: FrameMemory | undefined;
    let size = 0;
    let position = start;
    while (isHeaderAt(bytes, position, end)) {
      const next = frameEnd(bytes, position);
      if (next > end) break;
      const length = next - bodyAt(bytes, position);
      const after = Math.max(0, length + grows);
      const its = Math.min(length, after) <= mostShort ? frames : undefined;
      if (position === start) memory = its;
      if (its !== memory) break;
      const grown = size + headerSize(after) + after;
      if (its !== undefined && (grown > its.outputSize || next - start > its.inputSize)) break;
      size = grown;
      position = next;
    }
    return { end: position, size, memory };
  }

  open(bytes: Uint8Array, stream: InStream, length = bytes.length): StreamFault | Fault | undefined {
    const split = this.#split;
    this.#stream = stream;
    stream.outer = split;
    let position = 0;
    // A command may end the connection.
    while (position < length && stream.outer === split) {
      this.#fault = undefined;
      let next: number | StreamFault;
      if (split.active) next = split.continue(bytes, position, length);
      else next = this.#openAt(bytes, position, length);
      if (typeof next === "string") return next;
      if (this.#fault !== undefined) return this.#fault;
      if (next === position) return split.begin(bytes, position, length) ?? this.#fault;
      position = next;
    }
    return undefined;
  }

  splitOnHeader(flags: number, size: number): StreamFault | undefined {
    if ((flags & RESERVED) !== 0) return "reserved-bits";
    const { room } = this.#stream as InStream;
    return size > Math.max(room, MAX_COMMAND) + OVERHEAD ? "too-long" : undefined;
  }

  splitOnWhole(bytes: Buffer, at: number, end: number, pooled: PooledBuffer | undefined): void {
    this.#openAt(bytes, at, end);
    pooled?.release();
  }

  /** @returns the end of the frames that were opened; `start` if the first one is not whole */
  #openAt(bytes: Uint8Array, start: number, end: number): number {
    const group = this.#groupAt(bytes, start, end, -OVERHEAD);
    if (group.end > start) this.#fault = this.#openGroup(bytes, start, group);
    return group.end;
  }

  #openGroup(
    bytes: Uint8Array,
    start: number,
    { end, size, memory }: FrameGroup,
  ): StreamFault | Fault | undefined {
    let plain: Buffer;
    try {
      plain = allocate(size);
    } catch {
      return "no-memory"; // The caller closes the connection with an event.
    }
    const sealed = memory?.bytes ?? bytes;
    const target = memory?.bytes ?? plain;
    const first = memory?.input ?? start;
    const begin = memory?.output ?? 0;
    memory?.use(this.#key, this.#receiveNonce);
    memory?.bytes.set(bytes.subarray(start, end), memory.input);
    let at = begin;
    let fault: StreamFault | Fault | undefined;
    for (let from = first; from < first + end - start && fault === undefined; ) {
      const to = frameEnd(sealed, from);
      const next = this.#openOne(sealed, from, to, target, at);
      if (typeof next === "number") at = next;
      else fault = next;
      from = to;
    }
    if (at === begin) return fault;
    if (memory !== undefined) plain.set(target.subarray(begin, at));
    return this.#stream?.push(plain, 0, at - begin) ?? fault;
  }

  /** @returns the end of the plain frame */
  #openOne(
    sealed: Uint8Array,
    start: number,
    end: number,
    plain: Uint8Array,
    at: number,
  ): number | StreamFault | Fault {
    if (((sealed[start] as number) & RESERVED) !== 0) return "reserved-bits";
    const body = bodyAt(sealed, start);
    const length = end - body - OVERHEAD;
    // The header's last byte is written after the flags are known.
    const opened = this.openFrame(sealed, body, end, plain, at + headerSize(length) - 1);
    if (typeof opened !== "number") return opened;
    return writeHeader(plain, at, (opened & COMMAND) !== 0 ? COMMAND : opened, length) + length;
  }
}

function isHeaderAt(bytes: Uint8Array, position: number, end: number): boolean {
  if (position >= end) return false;
  const isLong = ((bytes[position] as number) & LONG) !== 0;
  return position + (isLong ? LONG_HEADER : SHORT_HEADER) <= end;
}
