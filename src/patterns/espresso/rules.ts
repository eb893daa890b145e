/**
 * Turns messages of a proxy into records for listeners. Pure.
 *
 *   message ──> has it listeners? ──> record: its frames, and a trailer
 */

import type { ProxySide } from "../../sockets/pump.js";
import type { ESPRESSO_TAP } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

// --- Records ---------------------------------------------------------------------------------------------------------

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

export function sizeOf(frames: readonly Buffer[]): number {
  let size = 0;
  for (let i = 0; i < frames.length; i++) size += (frames[i] as Buffer).length;
  return size;
}

// --- Rules -----------------------------------------------------------------------------------------------------------

/** First byte of a message (29/PUBSUB). */
const SUBSCRIBE = 1;
const UNSUBSCRIBE = 0;

/** With further prefixes, the capture socket alone looks for listeners. */
const MAX_PREFIXES = 64;
const MAX_FRAMES = 64;

export type TapCounts = StatisticsOf<typeof ESPRESSO_TAP>;

export interface TapEffects {
  publish(record: readonly Buffer[]): boolean;
  subscribed(prefix: Buffer): void;
  unsubscribed(prefix: Buffer): void;
}

/**
 * Turns a message into a record, or a count.
 *
 *   passed = published + unheard + refused
 *
 * A record shares the message's memory unless truncated.
 */
export class TapRules {
  readonly #snapLength: number;
  readonly #effects: TapEffects;
  readonly #prefixes: Buffer[] = [];
  /** Further subscriptions. */
  #others = 0;
  readonly #counts = {
    passed: 0,
    published: 0,
    unheard: 0,
    refused: 0,
    truncated: 0,
    invalid: 0,
  };

  constructor(snapLength: number, effects: TapEffects) {
    this.#snapLength = snapLength;
    this.#effects = effects;
  }

  /** The first subscription to a prefix, or the last cancellation. */
  receive(message: readonly Buffer[]): void {
    const [frame] = message;
    const kind = frame?.[0];
    if (frame === undefined || message.length !== 1 || (kind !== SUBSCRIBE && kind !== UNSUBSCRIBE)) {
      this.#counts.invalid += 1;
      return;
    }
    const prefix = Buffer.from(frame.subarray(1));
    if (kind === SUBSCRIBE) {
      this.#add(prefix);
      this.#effects.subscribed(prefix);
    } else {
      this.#remove(prefix);
      this.#effects.unsubscribed(prefix);
    }
  }

  offer(from: ProxySide, frames: readonly Buffer[]): void {
    const counts = this.#counts;
    counts.passed += 1;
    if (!this.#hasListener(frames[0] as Buffer)) {
      counts.unheard += 1;
      return;
    }
    const size = sizeOf(frames);
    const record = this.#shown(frames, size);
    record.push(encodeTrailer({ from, frames: frames.length, size, time: Date.now() }));
    if (this.#effects.publish(record)) counts.published += 1;
    else counts.refused += 1;
  }

  stats(): TapCounts {
    return { ...this.#counts, subscriptions: this.#prefixes.length + this.#others };
  }

  #add(prefix: Buffer): void {
    if (this.#prefixes.length >= MAX_PREFIXES) this.#others += 1;
    else this.#prefixes.push(prefix);
  }

  #remove(prefix: Buffer): void {
    const index = this.#prefixes.findIndex((each) => each.equals(prefix));
    if (index >= 0) this.#prefixes.splice(index, 1);
    else if (this.#others > 0) this.#others -= 1;
  }

  #hasListener(topic: Buffer): boolean {
    if (this.#others > 0) return true;
    const prefixes = this.#prefixes;
    for (let i = 0; i < prefixes.length; i++) if (startsWith(topic, prefixes[i] as Buffer)) return true;
    return false;
  }

  /** Copied if truncated: a record never retains a large message. */
  #shown(frames: readonly Buffer[], size: number): Buffer[] {
    if (size <= this.#snapLength && frames.length <= MAX_FRAMES) return [...frames];
    this.#counts.truncated += 1;
    const shown: Buffer[] = [];
    let room = this.#snapLength;
    for (let i = 0; i < frames.length && i < MAX_FRAMES && (room > 0 || i === 0); i++) {
      const frame = Buffer.from((frames[i] as Buffer).subarray(0, room));
      room -= frame.length;
      shown.push(frame);
    }
    return shown;
  }
}

function startsWith(frame: Buffer, prefix: Buffer): boolean {
  const { length } = prefix;
  if (frame.length < length) return false;
  // Most mismatches differ in the first byte.
  if (length === 0) return true;
  return frame[0] === prefix[0] && frame.compare(prefix, 0, length, 0, length) === 0;
}
