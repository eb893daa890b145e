/**
 * Turns a message into a record for the listeners, or a count. Pure.
 *
 *   passed = published + unheard + filtered + sampled + refused
 *
 * A record shares the message's memory unless truncated.
 */
import type { Clock } from "../../core/clock.js";
import type { ProxySide } from "../../sockets/pump.js";
import { type EspressoFilter, type EspressoSample, Filter, sizeOf, startsWith } from "./filter.js";
import { encodeTrailer, type RecordNumber } from "./protocol.js";

/** First byte of a message (29/PUBSUB). */
const SUBSCRIBE = 1;
const UNSUBSCRIBE = 0;

/** Further prefixes have no numbers. */
const MAX_NUMBERED = 64;
/** Longer prefixes are not numbered. */
const MAX_PREFIX = 256;
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

interface Numbered {
  readonly prefix: Buffer;
  readonly generation: number;
  number: number;
}

export interface TapRulesOptions {
  readonly filter: EspressoFilter;
  readonly sample: EspressoSample;
  readonly snapLength: number;
  /** Generation of the first prefix; later ones count up. */
  readonly generation: number;
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
  readonly #wallClock: Clock;
  readonly #numbered: Numbered[] = [];
  #unnumbered = 0;
  #generation: number;
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

  /**
   * @param clock for the sample
   * @param wallClock ms since 1970
   * @throws InvalidArgumentError `EINVAL` for a bad filter or sample
   */
  constructor(options: TapRulesOptions, effects: TapEffects, clock: Clock, wallClock: Clock) {
    this.#snapLength = options.snapLength;
    this.#generation = options.generation;
    this.#effects = effects;
    this.#wallClock = wallClock;
    this.#filter = new Filter(options.filter, options.sample, clock, (error) =>
      effects.predicateFailed(error),
    );
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
    if (this.#numbered.length === 0 && this.#unnumbered === 0) {
      counts.unheard += 1;
      return;
    }
    if (!this.#hasListener(frames[0] as Buffer)) {
      counts.unheard += 1;
      return;
    }
    const size = sizeOf(frames);
    const verdict = this.#filter.decide(from, frames, size);
    if (verdict !== "taken") {
      counts[verdict] += 1;
      return;
    }
    const record = this.#shown(frames, size);
    const numbers = this.#numbersOf(frames[0] as Buffer);
    const time = this.#wallClock.now();
    record.push(encodeTrailer({ from, frames: frames.length, size, time, passed: counts.passed, numbers }));
    if (this.#effects.publish(record)) counts.published += 1;
    else counts.refused += 1;
  }

  stats(): TapCounts {
    return {
      ...this.#counts,
      predicateFailures: this.#filter.failures,
      subscriptions: this.#numbered.length + this.#unnumbered,
    };
  }

  #add(prefix: Buffer): void {
    if (this.#numbered.length >= MAX_NUMBERED || prefix.length > MAX_PREFIX) this.#unnumbered += 1;
    else this.#numbered.push({ prefix, generation: this.#generation, number: 0 });
    this.#generation = (this.#generation + 1) >>> 0;
  }

  #remove(prefix: Buffer): void {
    const index = this.#numbered.findIndex((each) => each.prefix.equals(prefix));
    if (index >= 0) this.#numbered.splice(index, 1);
    else if (this.#unnumbered > 0) this.#unnumbered -= 1;
  }

  #hasListener(topic: Buffer): boolean {
    if (this.#unnumbered > 0) return true;
    const numbered = this.#numbered;
    for (let i = 0; i < numbered.length; i++) {
      if (startsWith(topic, (numbered[i] as Numbered).prefix)) return true;
    }
    return false;
  }

  #numbersOf(topic: Buffer): RecordNumber[] {
    const numbers: RecordNumber[] = [];
    for (const numbered of this.#numbered) {
      if (!startsWith(topic, numbered.prefix)) continue;
      numbered.number += 1;
      const { prefix, generation, number } = numbered;
      numbers.push({ length: prefix.length, generation, number });
    }
    return numbers;
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
