/**
 * Turns messages of a proxy into records for listeners. Pure.
 *
 *   message ──> has it listeners? ──> filter: side, topic, predicate, sample ──> record: its frames, and a trailer
 */

import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { anything, checkOptions, choice, func, type Given, integer } from "../../kit/options.js";
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

// --- Filter ----------------------------------------------------------------------------------------------------------

const FILTER = {
  /** Side of the proxy. Default: both. */
  from: choice(["frontend", "backend"]),
  /** Prefixes of the first frame. Default: all. */
  topics: anything<string | Uint8Array | readonly (string | Uint8Array)[]>(),
  /**
   * Runs last. An error counts as `false`: event `predicate:failed` of a tap, `predicateFailures` in a listener's
   * statistics. Must not keep the frames.
   */
  where: func<(frames: readonly Buffer[], from: ProxySide | undefined) => boolean>(),
};

export const SAMPLE = {
  /** Every Nth, starting with the first. Default 1: all. */
  oneIn: integer({ default: 1 }),
};

/** Selects messages that pass all conditions. */
export type EspressoFilter = Given<typeof FILTER>;

export type EspressoSample = Given<typeof SAMPLE>;

export type Verdict = "taken" | "filtered" | "sampled";

/** @throws InvalidArgumentError `EINVAL` */
export function prefixesOf(topics: EspressoFilter["topics"]): Buffer[] {
  if (topics === undefined) return [];
  const list = typeof topics === "string" || isBytes(topics) ? [topics] : topics;
  if (!Array.isArray(list))
    throw new InvalidArgumentError(`topics must be a list of prefixes; got ${typeof topics}`);
  return list.map((topic: unknown) => {
    if (typeof topic === "string" || isBytes(topic)) return Buffer.from(topic as string);
    throw new InvalidArgumentError(`A topic prefix must be a string or bytes; got ${typeof topic}`);
  });
}

export function startsWith(frame: Buffer, prefix: Buffer): boolean {
  const { length } = prefix;
  if (frame.length < length) return false;
  // Most mismatches differ in the first byte.
  if (length === 0) return true;
  return frame[0] === prefix[0] && frame.compare(prefix, 0, length, 0, length) === 0;
}

export function sizeOf(frames: readonly Buffer[]): number {
  let size = 0;
  for (let i = 0; i < frames.length; i++) size += (frames[i] as Buffer).length;
  return size;
}

/** Which messages are taken: by side, topic, predicate and sample. */
export class Filter {
  failures = 0;
  readonly #from: ProxySide | undefined;
  readonly #prefixes: readonly Buffer[];
  readonly #where: EspressoFilter["where"];
  readonly #oneIn: number;
  readonly #whereOnFailed: (error: unknown) => void;
  #wanted = 0;

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(
    filter: EspressoFilter,
    sample: EspressoSample,
    whereOnFailed: (error: unknown) => void = () => undefined,
  ) {
    const { from, topics, where } = checkOptions("a tap's filter", FILTER, filter);
    const { oneIn } = checkOptions("a tap's sample", SAMPLE, sample);
    this.#from = from;
    this.#prefixes = prefixesOf(topics);
    this.#where = where;
    this.#oneIn = oneIn;
    this.#whereOnFailed = whereOnFailed;
  }

  /** @param frames perhaps truncated */
  decide(from: ProxySide | undefined, frames: readonly Buffer[]): Verdict {
    if (!this.#wants(from, frames)) return "filtered";
    this.#wanted += 1;
    return this.#oneIn > 1 && (this.#wanted - 1) % this.#oneIn !== 0 ? "sampled" : "taken";
  }

  #wants(from: ProxySide | undefined, frames: readonly Buffer[]): boolean {
    if (this.#from !== undefined && from !== this.#from) return false;
    const prefixes = this.#prefixes;
    if (prefixes.length > 0) {
      const topic = frames[0] as Buffer;
      let matches = false;
      for (let i = 0; i < prefixes.length && !matches; i++)
        matches = startsWith(topic, prefixes[i] as Buffer);
      if (!matches) return false;
    }
    if (this.#where === undefined) return true;
    try {
      return this.#where(frames, from) === true;
    } catch (error) {
      this.failures += 1;
      this.#whereOnFailed(error);
      return false;
    }
  }
}

// --- Rules -----------------------------------------------------------------------------------------------------------

/** First byte of a message (29/PUBSUB). */
const SUBSCRIBE = 1;
const UNSUBSCRIBE = 0;

/** With further prefixes, the capture socket alone looks for listeners. */
const MAX_PREFIXES = 64;
const MAX_FRAMES = 64;

export type TapCounts = StatisticsOf<typeof ESPRESSO_TAP>;

export interface TapRulesOptions {
  readonly filter: EspressoFilter;
  readonly sample: EspressoSample;
  readonly snapLength: number;
}

export interface TapEffects {
  publish(record: readonly Buffer[]): boolean;
  subscribed(prefix: Buffer): void;
  unsubscribed(prefix: Buffer): void;
  predicateFailed(error: unknown): void;
}

/**
 * Turns a message into a record, or a count.
 *
 *   passed = published + unheard + filtered + sampled + refused
 *
 * A record shares the message's memory unless truncated.
 */
export class TapRules {
  readonly #snapLength: number;
  readonly #effects: TapEffects;
  readonly #filter: Filter;
  readonly #prefixes: Buffer[] = [];
  /** Further subscriptions. */
  #others = 0;
  readonly #counts = {
    passed: 0,
    published: 0,
    unheard: 0,
    filtered: 0,
    sampled: 0,
    refused: 0,
    truncated: 0,
    invalid: 0,
  };

  /** @throws InvalidArgumentError `EINVAL` for a bad filter or sample */
  constructor(options: TapRulesOptions, effects: TapEffects) {
    this.#snapLength = options.snapLength;
    this.#effects = effects;
    this.#filter = new Filter(options.filter, options.sample, (error) => effects.predicateFailed(error));
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
    const verdict = this.#filter.decide(from, frames);
    if (verdict !== "taken") {
      counts[verdict] += 1;
      return;
    }
    const size = sizeOf(frames);
    const record = this.#shown(frames, size);
    record.push(encodeTrailer({ from, frames: frames.length, size, time: Date.now() }));
    if (this.#effects.publish(record)) counts.published += 1;
    else counts.refused += 1;
  }

  stats(): TapCounts {
    return {
      ...this.#counts,
      predicateFailures: this.#filter.failures,
      subscriptions: this.#prefixes.length + this.#others,
    };
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
