/**
 * ZMQ on a WebSocket (45/ZWS; docs/spec/ws.md). ws-decoder.ts has the decoder.
 *
 *   frames   a message is a frame of ZMQ, behind its flags
 *   stream   a message is a piece of ZMTP's stream: each message costs a browser's page an event
 *
 * Frames are not those of the package `ws`, which masks byte by byte without its native addon and makes objects of each
 * frame: a masked one of 64 B, 1 KiB, 64 KiB takes it 0.2, 2.0 and 220 µs to write and 0.4, 2.2 and 140 to read; here
 * 0.04, 0.28 and 15 each.
 */
import { allocate } from "../../../core/memory.js";
import {
  COMMAND,
  type FramePiece,
  LONG,
  LONG_HEADER,
  MORE,
  readLongSize,
  SHORT_HEADER,
} from "../../frame.js";
import type { StreamFault } from "../codec/in-stream.js";
import { acquire } from "../codec/pooled-buffer.js";
import { DIRECT } from "../codec/split-frame.js";
import type { Fault, MechanismName } from "../mechanism/mechanism.js";
import type { DecodedFrames, Framing } from "../transport/transport.js";
import { decodedSize, WsDecoder } from "./ws-decoder.js";
import {
  BINARY,
  CLOSE,
  CLOSE_NORMAL,
  CLOSE_PROTOCOL,
  copyMasked,
  FIN,
  FIRST_LIMIT,
  headerSize,
  isBare,
  isStream,
  KEY_SIZE,
  LENGTH_16,
  LENGTH_16_MOST,
  LENGTH_64,
  MASKED,
  PING,
  PONG,
  rotate,
  TINY_MOST,
  Words,
  WS_COMMAND,
  WS_MORE,
} from "./zws.js";

const NOTHING = Buffer.alloc(0);

/** For small chunks: the pipe copies their frames. */
let shared: Words | undefined;

/** Bytes of memory shared by writes; a peer may not read, so a write takes the smallest size. */
const SCRATCH_SIZES: readonly number[] = [8_192, 65_536, 524_288];

const scratch: (Words | undefined)[] = SCRATCH_SIZES.map(() => undefined);

type RandomWord = () => number;

/** Sent frames are not fragmented. */
export class WsFraming implements Framing {
  readonly mechanism: MechanismName;
  readonly bare: boolean;
  readonly #stream: boolean;
  /** Of each frame's mask, on a client. */
  readonly #key: RandomWord | undefined;
  readonly #decoder: WsDecoder;
  #sent = 0;
  /** Of the frame that the last write has in part. */
  #left = 0;
  #mask = 0;
  /** Memory of the last write. */
  #last: Words | undefined = undefined;

  /** @param key of masks, on a client */
  constructor(mechanism: MechanismName, protocol: string, key?: RandomWord) {
    this.mechanism = mechanism;
    this.bare = isBare(protocol);
    this.#stream = isStream(protocol);
    this.#key = key;
    this.#decoder = new WsDecoder(key === undefined, this.#stream);
  }

  get excess(): number {
    return this.#sent - (this.#decoder.limit ?? FIRST_LIMIT);
  }

  get closed(): boolean {
    return this.#decoder.closed;
  }

  get fault(): Fault | StreamFault | undefined {
    return this.#decoder.fault;
  }

  get unfinished(): number {
    return this.#decoder.unfinished;
  }

  decode(bytes: Uint8Array, length: number, maxSize = Number.POSITIVE_INFINITY): DecodedFrames {
    const decoder = this.#decoder;
    decoder.maxSize = maxSize;
    const size = decodedSize(length);
    const pooled = size > DIRECT ? acquire(size) : undefined;
    shared ??= new Words(allocate(DIRECT));
    const target = pooled === undefined ? shared : new Words(pooled.bytes);
    const decoded = { bytes: target.bytes as Buffer, length: decoder.decode(bytes, length, target), pooled };
    const { assembled } = decoder;
    if (assembled === undefined) return decoded;
    decoder.assembled = undefined;
    return { ...decoded, assembled };
  }

  takeReply(): Uint8Array | undefined {
    const { pong } = this.#decoder;
    this.#decoder.pong = undefined;
    return pong === undefined ? undefined : this.control(PONG, pong);
  }

  ping(): Uint8Array {
    return this.control(PING, NOTHING);
  }

  closeFrame(isRegular: boolean): Uint8Array {
    const code = isRegular ? CLOSE_NORMAL : CLOSE_PROTOCOL;
    return this.control(CLOSE, Buffer.of(code >>> 8, code & 0xff));
  }

  encode(pieces: readonly FramePiece[]): Uint8Array {
    if (this.#stream) return this.#join(pieces);
    const words = this.#takeScratch(this.#measure(pieces));
    let at = 0;
    for (const { bytes, start, end } of pieces) at = this.#write(new Words(bytes), start, end, words, at);
    return words.bytes.subarray(0, at);
  }

  #join(pieces: readonly FramePiece[]): Uint8Array {
    let size = 0;
    for (const { start, end } of pieces) size += end - start;
    this.#sent += size;
    const { bytes: output, view } = this.#takeScratch(headerSize(size) + size);
    output[0] = FIN | BINARY;
    let at = writeLength(view, 1, 0, size);
    for (const { bytes, start, end } of pieces) {
      output.set(bytes.subarray(start, end), at);
      at += end - start;
    }
    return output.subarray(0, at);
  }

  #takeScratch(size: number): Words {
    const tier = SCRATCH_SIZES.findIndex((most) => size <= most);
    this.#last = scratch[tier] ?? new Words(allocate(SCRATCH_SIZES[tier] ?? size));
    if (tier >= 0) scratch[tier] = undefined;
    return this.#last;
  }

  release(): void {
    const last = this.#last;
    this.#last = undefined;
    const tier = last === undefined ? -1 : SCRATCH_SIZES.indexOf(last.bytes.length);
    if (tier >= 0) scratch[tier] = last;
  }

  /** @param payload at most 125 bytes */
  control(opcode: number, payload: Uint8Array): Buffer {
    const key = this.#key;
    const body = 2 + (key === undefined ? 0 : KEY_SIZE);
    const frame = Buffer.alloc(body + payload.length);
    frame[0] = FIN | opcode;
    frame[1] = payload.length | (key === undefined ? 0 : MASKED);
    const mask = key?.() ?? 0;
    if (key !== undefined) frame.writeInt32LE(mask, 2);
    copyMasked(new Words(payload), 0, new Words(frame), body, payload.length, mask);
    return frame;
  }

  #measure(pieces: readonly FramePiece[]): number {
    const extra = 1 + (this.#key === undefined ? 0 : KEY_SIZE);
    let total = 0;
    let left = this.#left;
    for (const { bytes, start, end } of pieces) {
      let position = start + Math.min(left, end - start);
      total += position - start;
      left -= position - start;
      while (position < end) {
        const long = ((bytes[position] as number) & LONG) !== 0;
        const size = long ? readLongSize(bytes, position + 1) : (bytes[position + 1] as number);
        position += long ? LONG_HEADER : SHORT_HEADER;
        const here = Math.min(size, end - position);
        total += headerSize(size + 1) + extra + here;
        position += here;
        left = size - here;
      }
    }
    return total;
  }

  #write(source: Words, start: number, end: number, target: Words, to: number): number {
    const key = this.#key;
    const input = source.bytes;
    const output = target.bytes;
    let position = start;
    let at = to;
    if (this.#left > 0) {
      const count = Math.min(this.#left, end - position);
      copyMasked(source, position, target, at, count, this.#mask);
      this.#left -= count;
      this.#mask = rotate(this.#mask, count);
      position += count;
      at += count;
    }
    while (position < end) {
      const flags = input[position] as number;
      let size: number;
      if ((flags & LONG) === 0) {
        size = input[position + 1] as number;
        position += SHORT_HEADER;
      } else {
        size = readLongSize(input, position + 1);
        position += LONG_HEADER;
      }
      output[at++] = FIN | BINARY;
      const masked = key === undefined ? 0 : MASKED;
      const length = size + 1;
      at = writeLength(target.view, at, masked, length);
      let zws = (flags & MORE) === 0 ? 0 : WS_MORE;
      if ((flags & COMMAND) !== 0) zws = WS_COMMAND;
      let mask = 0;
      if (key !== undefined) {
        mask = key();
        target.view.setInt32(at, mask, true);
        at += KEY_SIZE;
        zws ^= mask & 0xff;
        mask = (mask >>> 8) | (mask << 24);
      }
      output[at++] = zws;
      const count = Math.min(size, end - position);
      copyMasked(source, position, target, at, count, mask);
      position += count;
      at += count;
      if (count < size) {
        this.#left = size - count;
        this.#mask = rotate(mask, count);
      }
    }
    return at;
  }
}

function writeLength(view: DataView, at: number, masked: number, length: number): number {
  if (length <= TINY_MOST) {
    view.setUint8(at, masked | length);
    return at + 1;
  }
  if (length <= LENGTH_16_MOST) {
    view.setUint8(at, masked | LENGTH_16);
    view.setUint16(at + 1, length);
    return at + 3;
  }
  view.setUint8(at, masked | LENGTH_64);
  view.setUint32(at + 1, Math.floor(length / 0x1_0000_0000));
  view.setUint32(at + 5, length >>> 0);
  return at + 9;
}
