/**
 * The frame header (37/ZMTP, Framing):
 *
 *   flags 1 | size 1      body 0 to 255 bytes
 *   flags 1 | size 8      LONG: big-endian
 *
 *   flags: 01 MORE  02 LONG  04 COMMAND, the others reserved
 *
 * Functions that find frames expect validated bytes.
 */

export const MORE = 0x01;
export const LONG = 0x02;
export const COMMAND = 0x04;
export const RESERVED = 0xf8;

export const SHORT_HEADER = 2;
export const LONG_HEADER = 9;
export const MAX_SHORT = 255;
/** Bytes of a group's name (48/RADIO-DISH). */
export const MAX_GROUP = 255;
/** Bytes of a subscription's prefix. Each length that a peer uses costs a publisher a lookup per message. */
export const MAX_PREFIX_LENGTH = 1_024;
/** libzmq's limit, in bytes. */
export const MAX_DATAGRAM = 8_192;

const TWO_32 = 0x1_0000_0000;

/** Frames, or a part of one, in wire format. */
export interface FramePiece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export function headerSize(length: number): number {
  return length <= MAX_SHORT ? SHORT_HEADER : LONG_HEADER;
}

export function writeHeader(target: Uint8Array, offset: number, flags: number, size: number): number {
  if (size <= MAX_SHORT) {
    target[offset] = flags;
    target[offset + 1] = size;
    return offset + SHORT_HEADER;
  }
  target[offset] = flags | LONG;
  const high = Math.floor(size / TWO_32);
  target[offset + 1] = 0;
  target[offset + 2] = high >>> 16;
  target[offset + 3] = high >>> 8;
  target[offset + 4] = high;
  target[offset + 5] = size >>> 24;
  target[offset + 6] = size >>> 16;
  target[offset + 7] = size >>> 8;
  target[offset + 8] = size;
  return offset + LONG_HEADER;
}

/** Infinity above 2^53. */
export function readLongSize(bytes: Uint8Array, offset: number): number {
  const high =
    (bytes[offset] as number) * 0x1_00_00_00 +
    (((bytes[offset + 1] as number) << 16) |
      ((bytes[offset + 2] as number) << 8) |
      (bytes[offset + 3] as number));
  if (high > 0x1f_ffff) return Number.POSITIVE_INFINITY;
  const low =
    (bytes[offset + 4] as number) * 0x1_00_00_00 +
    (((bytes[offset + 5] as number) << 16) |
      ((bytes[offset + 6] as number) << 8) |
      (bytes[offset + 7] as number));
  return high * TWO_32 + low;
}

export function commandFrame(body: Uint8Array): Buffer {
  return frame(COMMAND, body);
}

export function messageFrame(body: Uint8Array): Buffer {
  return frame(0, body);
}

function frame(flags: number, body: Uint8Array): Buffer {
  const whole = Buffer.allocUnsafe(headerSize(body.length) + body.length);
  whole.set(body, writeHeader(whole, 0, flags, body.length));
  return whole;
}

export function bodyAt(bytes: Uint8Array, position: number): number {
  return position + (((bytes[position] as number) & LONG) === 0 ? SHORT_HEADER : LONG_HEADER);
}

export function frameEnd(bytes: Uint8Array, position: number): number {
  if (((bytes[position] as number) & LONG) === 0)
    return position + SHORT_HEADER + (bytes[position + 1] as number);
  return position + LONG_HEADER + readLongSize(bytes, position + 1);
}

export function messageEnd(bytes: Uint8Array, position: number, end: number): number | undefined {
  for (let at = position; at < end; ) {
    const flags = bytes[at] as number;
    at = frameEnd(bytes, at);
    if ((flags & MORE) === 0) return at;
  }
  return undefined;
}

export function messageBytes(frames: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const { length } of frames) bytes += length;
  return bytes;
}

export function skipMessages(bytes: Uint8Array, start: number, count: number): number {
  let position = start;
  let left = count;
  while (left > 0) {
    if (((bytes[position] as number) & MORE) === 0) left -= 1;
    position = frameEnd(bytes, position);
  }
  return position;
}

export function tallyOf(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly bodyBytes: number; readonly frames: number } {
  let bodyBytes = 0;
  let frames = 0;
  for (let position = start; position < end; ) {
    const next = frameEnd(bytes, position);
    bodyBytes += next - bodyAt(bytes, position);
    frames += 1;
    position = next;
  }
  return { bodyBytes, frames };
}
