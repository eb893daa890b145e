/**
 * Record of a message: its frames, followed by a trailer. Subscriptions to topic prefixes work at the capture
 * endpoint as at the proxy. Foreign readers see the messages as captured by libzmq's `zmq_proxy`, each with one more
 * frame.
 *
 *   frame 0 … n-1   the message, cut off after `snapLength` bytes
 *   frame n         the trailer, big-endian:
 *
 *   @0   8  "SHOALTAP"
 *   @8   1  version, 01
 *   @9   1  side: 00 frontend, 01 backend
 *   @10  2  00 00
 *   @12  4  frames of the message
 *   @16  8  its bytes, as a double
 *   @24  8  ms since 1970 when it passed, as a double
 */

import type { ProxySide } from "../../sockets/pump.js";

/** Fields of a trailer. */
export interface Trailer {
  readonly from: ProxySide;
  readonly frames: number;
  readonly size: number;
  readonly time: number;
}

const MAGIC = Buffer.from("SHOALTAP");
const VERSION = 1;
const TRAILER_BYTES = 32;

export function encodeTrailer(trailer: Trailer): Buffer {
  const frame = Buffer.allocUnsafe(TRAILER_BYTES);
  frame.set(MAGIC);
  frame[8] = VERSION;
  frame[9] = trailer.from === "frontend" ? 0 : 1;
  frame.writeUInt16BE(0, 10);
  frame.writeUInt32BE(trailer.frames, 12);
  frame.writeDoubleBE(trailer.size, 16);
  frame.writeDoubleBE(trailer.time, 24);
  return frame;
}

/** @returns `undefined` if the frame is not a trailer: a raw capture, or malformed */
export function parseTrailer(frame: Buffer): Trailer | undefined {
  if (frame.length !== TRAILER_BYTES || frame.compare(MAGIC, 0, 8, 0, 8) !== 0 || frame[8] !== VERSION)
    return undefined;
  const side = frame[9] as number;
  const size = frame.readDoubleBE(16);
  const time = frame.readDoubleBE(24);
  if (side > 1 || frame.readUInt16BE(10) !== 0) return undefined;
  if (!Number.isSafeInteger(size) || size < 0 || !Number.isFinite(time)) return undefined;
  return { from: side === 0 ? "frontend" : "backend", frames: frame.readUInt32BE(12), size, time };
}
