/**
 * Record of a message: its frames, followed by a trailer. Subscriptions to topic prefixes work at the capture
 * endpoint as at the proxy. Foreign readers see the messages as captured by libzmq's `zmq_proxy`, each with one more
 * frame.
 *
 *   frame 0 … n-1   the message, cut off after `snapLength` bytes
 *   frame n         the trailer, big-endian:
 *
 * Consecutive numbers prove that nothing was missed. A generation is the life of a prefix at a tap, from its first
 * subscriber to its last.
 */

import type { ProxySide } from "../../sockets/pump.js";

export interface RecordNumber {
  readonly length: number;
  readonly generation: number;
  readonly number: number;
}

/** Fields of a trailer. */
export interface Trailer {
  readonly from: ProxySide;
  readonly frames: number;
  readonly size: number;
  readonly time: number;
  readonly passed: number;
  readonly numbers: readonly RecordNumber[];
}

const MAGIC = Buffer.from("SHOALTAP");
const VERSION = 1;
const FIXED = 40;
const PER_NUMBER = 16;

export function encodeTrailer(trailer: Trailer): Buffer {
  const { numbers } = trailer;
  const frame = Buffer.allocUnsafe(FIXED + PER_NUMBER * numbers.length);
  frame.set(MAGIC);
  frame[8] = VERSION;
  frame[9] = trailer.from === "frontend" ? 0 : 1;
  frame.writeUInt16BE(numbers.length, 10);
  frame.writeUInt32BE(trailer.frames, 12);
  frame.writeDoubleBE(trailer.size, 16);
  frame.writeDoubleBE(trailer.time, 24);
  frame.writeDoubleBE(trailer.passed, 32);
  let offset = FIXED;
  for (const { length, generation, number } of numbers) {
    frame.writeUInt32BE(length, offset);
    frame.writeUInt32BE(generation, offset + 4);
    frame.writeDoubleBE(number, offset + 8);
    offset += PER_NUMBER;
  }
  return frame;
}

/** @returns `undefined` if the frame is not a trailer: a raw capture, or malformed */
export function parseTrailer(frame: Buffer): Trailer | undefined {
  if (frame.length < FIXED || frame.compare(MAGIC, 0, 8, 0, 8) !== 0 || frame[8] !== VERSION)
    return undefined;
  const side = frame[9] as number;
  const count = frame.readUInt16BE(10);
  if (side > 1 || frame.length !== FIXED + PER_NUMBER * count) return undefined;
  const size = frame.readDoubleBE(16);
  const time = frame.readDoubleBE(24);
  const passed = frame.readDoubleBE(32);
  if (!isCount(size) || !isCount(passed) || !Number.isFinite(time)) return undefined;
  const numbers: RecordNumber[] = [];
  for (let offset = FIXED; offset < frame.length; offset += PER_NUMBER) {
    const number = frame.readDoubleBE(offset + 8);
    if (!isCount(number)) return undefined;
    numbers.push({
      length: frame.readUInt32BE(offset),
      generation: frame.readUInt32BE(offset + 4),
      number,
    });
  }
  const from = side === 0 ? "frontend" : "backend";
  return { from, frames: frame.readUInt32BE(12), size, time, passed, numbers };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
