/** A machine's clocks, which can run fast or slow and be set. A suspend stops the monotonic one. */
import type { Schedule } from "./schedule.js";

export class NodeClock {
  readonly #schedule: Schedule;
  readonly #epoch: number;
  readonly #onRate: () => void;
  /** Virtual and monotonic time of the last change of rate. */
  #since = 0;
  #shown = 0;
  #rate = 1;
  #suspended: number | undefined = undefined;
  #ahead = 0;

  /** @internal @param epoch start, ms since 1970 */
  constructor(schedule: Schedule, epoch: number, onRate: () => void) {
    this.#schedule = schedule;
    this.#epoch = epoch;
    this.#onRate = onRate;
  }

  /** Monotonic ms per virtual ms; 1.001 gains 3.6 s per hour. Default 1. */
  get rate(): number {
    return this.#rate;
  }

  set rate(rate: number) {
    if (!(rate >= 0.001 && rate <= 1_000))
      throw new RangeError(`rate must be a number from 0.001 to 1,000; got ${rate}`);
    this.#anchor();
    this.#rate = rate;
    this.#schedule.note(`a clock runs at ${rate}`);
    this.#onRate();
  }

  /** Moves the wall clock, as an operator or NTP does; timers are unaffected. @param by ms */
  jump(by: number): void {
    if (!Number.isFinite(by)) throw new RangeError(`by must be a number of ms; got ${by}`);
    this.#ahead += by;
    this.#schedule.note(`a wall clock jumps by ${by} ms`);
  }

  /** @internal @param at virtual time, not before now @returns ms */
  monotonic(at: number): number {
    return this.#suspended === undefined ? this.#shown + (at - this.#since) * this.#rate : this.#shown;
  }

  /** ms since 1970. @internal */
  wall(at: number): number {
    const slept = this.#suspended === undefined ? 0 : at - this.#suspended;
    return this.#epoch + this.monotonic(at) + this.#ahead + slept;
  }

  /** Virtual time at the current rate. @internal */
  virtual(time: number): number {
    return this.#since + (time - this.#shown) / this.#rate;
  }

  /** @internal */
  suspend(): void {
    if (this.#suspended !== undefined) return;
    this.#anchor();
    this.#suspended = this.#schedule.now;
  }

  /** The wall clock includes the pause. @internal */
  resume(): void {
    if (this.#suspended === undefined) return;
    this.#ahead += this.#schedule.now - this.#suspended;
    this.#suspended = undefined;
    this.#since = this.#schedule.now;
  }

  #anchor(): void {
    const { now } = this.#schedule;
    this.#shown = this.monotonic(now);
    this.#since = now;
  }
}
