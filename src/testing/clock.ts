/** The clocks of one machine: they may run fast or slow, be set, and the monotonic one stands still in a suspend. */
import type { Schedule } from "./schedule.js";

/** The clocks of a node. */
export class NodeClock {
  readonly #schedule: Schedule;
  readonly #epoch: number;
  readonly #onRate: () => void;
  /** Where the rate was last set: virtual time, and what the monotonic clock showed. */
  #since = 0;
  #shown = 0;
  #rate = 1;
  #suspended: number | undefined = undefined;
  /** What the wall clock is ahead of the monotonic one. */
  #ahead = 0;

  /** @internal @param epoch ms since 1970 at the beginning @param onRate it has another rate */
  constructor(schedule: Schedule, epoch: number, onRate: () => void) {
    this.#schedule = schedule;
    this.#epoch = epoch;
    this.#onRate = onRate;
  }

  /** ms that the monotonic clock advances in 1 ms; 1.001 is 3.6 s an hour fast. Default 1. */
  get rate(): number {
    return this.#rate;
  }

  set rate(rate: number) {
    if (!(rate >= 0.001 && rate <= 1_000))
      throw new RangeError(`rate is a number from 0.001 to 1,000; got ${rate}`);
    this.#anchor();
    this.#rate = rate;
    this.#schedule.note(`a clock runs at ${rate}`);
    this.#onRate();
  }

  /** Sets the wall clock forward or back, as an operator or NTP does; timers do not notice. @param by ms */
  jump(by: number): void {
    if (!Number.isFinite(by)) throw new RangeError(`by is a number of ms; got ${by}`);
    this.#ahead += by;
    this.#schedule.note(`a wall clock jumps by ${by} ms`);
  }

  /** ms on the monotonic scale. @internal @param at virtual time, not before now */
  monotonic(at: number): number {
    return this.#suspended === undefined ? this.#shown + (at - this.#since) * this.#rate : this.#shown;
  }

  /** ms since 1970. @internal */
  wall(at: number): number {
    const slept = this.#suspended === undefined ? 0 : at - this.#suspended;
    return this.#epoch + this.monotonic(at) + this.#ahead + slept;
  }

  /** The virtual time at which the monotonic clock shows `time`, as it runs now. @internal */
  virtual(time: number): number {
    return this.#since + (time - this.#shown) / this.#rate;
  }

  /** @internal */
  suspend(): void {
    if (this.#suspended !== undefined) return;
    this.#anchor();
    this.#suspended = this.#schedule.now;
  }

  /** The wall clock knows how long it was: it has a battery. @internal */
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
