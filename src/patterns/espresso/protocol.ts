/**
 * A record of a message that passed: the message's own frames, and one more behind them. So a subscription to a topic
 * prefix works at the capture endpoint as it does at the proxy, and a reader that knows nothing of Espresso sees the
 * messages as libzmq's `zmq_proxy` would have captured them, each with a frame too many.
 *
 *   frame 0 … n-1   the message, cut off after `snapLength` bytes
 *   frame n         the trailer, big-endian:
 *
 *   offset  bytes
 *        0      8  "SHOALTAP"
 *        8      1  version, 1
 *        9      1  the side it came from: 0 frontend, 1 backend
 *       10      2  k, how many numbers follow
 *       12      4  frames the message had
 *       16      8  bytes the message had (float64, as all below; all but the time are whole)
 *       24      8  ms since 1970-01-01 UTC when it passed
 *       32      8  messages that had passed the proxy then, this one included
 *       40   16 k  for each subscribed prefix that the message matches (at most 64 are numbered):
 *                  4 its length, 4 its generation, 8 the record's number for it, from 1
 *
 * Numbers without a gap prove that nothing was missed. A generation is one life of one prefix at one tap: from its
 * first subscriber to its last.
 */

import type { ProxySide } from "../../sockets/pump.js";

/** A record's number for one subscribed prefix. */
export interface RecordNumber {
  readonly length: number;
  readonly generation: number;
  readonly number: number;
}

/** What a trailer says. */
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

/** @returns a frame of its own memory */
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

/** @returns `undefined` for a frame that is not a trailer: the message is a raw capture, or malformed */
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
