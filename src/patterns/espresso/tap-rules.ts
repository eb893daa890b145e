/**
 * Turns a message into a record for the listeners, or a count. Pure.
 *
 *   passed = published + unheard + filtered + sampled + refused
 *
 * A record shares the message's memory unless truncated.
 */
import type { ProxySide } from "../../sockets/pump.js";
import { type EspressoFilter, type EspressoSample, Filter, sizeOf, startsWith } from "./filter.js";
import { encodeTrailer } from "./protocol.js";

/** First byte of a message (29/PUBSUB). */
const SUBSCRIBE = 1;
const UNSUBSCRIBE = 0;

/** With further prefixes, the capture socket alone looks for listeners. */
const MAX_PREFIXES = 64;
const MAX_FRAMES = 64;

export interface TapCounts {
  readonly passed: number;
  /** Accepted by the capture socket. */
  readonly published: number;
  readonly unheard: number;
  readonly filtered: number;
  readonly sampled: number;
  /** Refused by the capture socket. */
  readonly refused: number;
  readonly truncated: number;
  readonly predicateFailures: number;
  readonly subscriptions: number;
  readonly invalid: number;
}

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
