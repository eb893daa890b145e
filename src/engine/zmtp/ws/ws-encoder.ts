/** Encodes ZMTP frames as WebSocket frames (zws.ts), unfragmented. */
import { allocate } from "../../../core/memory.js";
import { COMMAND, LONG, LONG_HEADER, MORE, readLongSize, SHORT_HEADER } from "../../frame.js";
import type { FramePiece } from "../transport/framing.js";
import {
  BINARY,
  copyMasked,
  FIN,
  headerSize,
  KEY_SIZE,
  LENGTH_16,
  LENGTH_16_MOST,
  LENGTH_64,
  MASKED,
  rotate,
  TINY_MOST,
  Words,
  WS_COMMAND,
  WS_MORE,
} from "./zws.js";

/** Bytes of memory shared by writes; a peer may not read, so a write takes the smallest size. */
const SMALL_SCRATCH = 8_192;
const MEDIUM_SCRATCH = 65_536;
const LARGE_SCRATCH = 524_288;
const SCRATCH_SIZES: readonly number[] = [SMALL_SCRATCH, MEDIUM_SCRATCH, LARGE_SCRATCH];

const scratch: (Words | undefined)[] = SCRATCH_SIZES.map(() => undefined);

export type RandomWord = () => number;

export class WsEncoder {
  readonly #key: RandomWord | undefined;
  #left = 0;
  #mask = 0;
  #last: Words | undefined = undefined;

  /** @param key of each frame's mask; absent for a server */
  constructor(key: RandomWord | undefined) {
    this.#key = key;
  }

  encode(pieces: readonly FramePiece[]): Uint8Array {
    const size = this.#measure(pieces);
    const words = takeScratch(size);
    this.#last = words;
    let at = 0;
    for (const { bytes, start, end } of pieces) at = this.#write(new Words(bytes), start, end, words, at);
    return words.bytes.subarray(0, at);
  }

  join(pieces: readonly FramePiece[]): Uint8Array {
    let size = 0;
    for (const { start, end } of pieces) size += end - start;
    const words = takeScratch(headerSize(size) + size);
    this.#last = words;
    const { bytes: output, view } = words;
    output[0] = FIN | BINARY;
    if (size <= TINY_MOST) output[1] = size;
    let at = size <= TINY_MOST ? 2 : writeLength(view, 1, 0, size);
    for (const { bytes, start, end } of pieces) {
      output.set(bytes.subarray(start, end), at);
      at += end - start;
    }
    return output.subarray(0, at);
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
      if (length <= TINY_MOST) output[at++] = masked | length;
      else at = writeLength(target.view, at, masked, length);
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

function takeScratch(size: number): Words {
  let tier = 0;
  while (size > (SCRATCH_SIZES[tier] ?? Number.POSITIVE_INFINITY)) tier += 1;
  const bytes = SCRATCH_SIZES[tier];
  if (bytes === undefined) return new Words(Buffer.allocUnsafeSlow(size));
  const words = scratch[tier] ?? new Words(allocate(bytes));
  scratch[tier] = undefined;
  return words;
}
