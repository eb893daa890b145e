/** Holds all peers of a side together to a rate: what it does not allow waits in the side's queues. */
import { systemClock } from "../../core/clock.js";
import { type Rate, RateMeter } from "../../core/rate-meter.js";

/** ms that a side is held at least: a timer for each message would cost more than the messages. */
const LEAST_HOLD = 5;
/** ms after which one that is held for long is looked at again. */
const LONGEST_HOLD = 60_000;

export class Throttle {
  /** Messages are there, and have to wait. */
  readonly held: () => void;
  #meter: RateMeter | undefined = undefined;

  constructor(held: () => void) {
    this.held = held;
  }

  /** Replaces the rate; absent: no limit. */
  change(rate: Rate | undefined): void {
    const now = systemClock.now();
    if (rate === undefined) this.#meter = undefined;
    else if (this.#meter === undefined) this.#meter = new RateMeter(rate, now);
    else this.#meter.change(rate, now);
  }

  /** Messages that may pass now. */
  get messages(): number {
    return this.#meter === undefined ? Number.POSITIVE_INFINITY : this.#meter.messages(systemClock.now());
  }

  /** Bytes that may pass now, and as much more as one message or a stretch of 64 KiB has. */
  get bytes(): number {
    return this.#meter === undefined ? Number.POSITIVE_INFINITY : this.#meter.bytes(systemClock.now());
  }

  spend(messages: number, bytes: number): void {
    this.#meter?.spend(messages, bytes);
  }

  /** ms to wait, where no message may pass now. */
  get wait(): number {
    const wait = this.#meter?.wait(systemClock.now()) ?? 0;
    return Math.ceil(Math.min(LONGEST_HOLD, Math.max(LEAST_HOLD, wait)));
  }
}
