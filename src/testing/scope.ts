/**
 * The private timers, clocks and random numbers of a process. AsyncLocalStorage finds the scope of running code, so
 * timers belong to the process that sets them.
 *
 * Computation takes no virtual time, but reading a clock and yielding do; loops that wait for either would never end.
 */
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import type { Random } from "./random.js";
import type { Event, Owner, Schedule } from "./schedule.js";

/** ms. */
const READ_TIME = 0.001;
/** ms. */
const TURN_TIME = 0.005;
/** ms. */
const MAX_DELAY = 2_147_483_647;
/** ms that timers may be early, for rounding. */
const SLACK = 0.000_001;

export const scopes = new AsyncLocalStorage<Scope>();

type Callback = (...args: unknown[]) => void;

export class Scope implements Owner {
  readonly name: string;
  readonly rank: number;
  readonly schedule: Schedule;
  readonly clock: NodeClock;
  /** Source of `Math.random`, `node:crypto` and `crypto.getRandomValues`. */
  readonly random: Random;
  gone = false;
  waiting: Event[] | undefined = undefined;
  /** Start by its wall clock. */
  readonly timeOrigin: number;
  /** Start by its monotonic clock. */
  readonly #origin: number;
  readonly #onFailure: (error: unknown) => void;
  readonly timers = new Set<VirtualTimer>();
  #busy = 0;

  constructor(
    name: string,
    schedule: Schedule,
    clock: NodeClock,
    random: Random,
    onFailure: (error: unknown) => void,
  ) {
    this.name = name;
    this.rank = random.integer(0, 0xffff_ffff);
    this.schedule = schedule;
    this.clock = clock;
    this.random = random;
    this.#origin = clock.monotonic(schedule.now);
    this.timeOrigin = clock.wall(schedule.now);
    this.#onFailure = onFailure;
  }

  run(what: () => void): void {
    scopes.run(this, () => this.guard(what));
  }

  /** Catches errors for which there is no caller. */
  guard(what: () => void): void {
    try {
      what();
    } catch (error) {
      this.#onFailure(error);
    }
  }

  now(): number {
    return this.clock.monotonic(this.#read()) - this.#origin;
  }

  /** `Date.now()` with its fraction. */
  wall(): number {
    return this.clock.wall(this.#read());
  }

  #read(): number {
    this.#busy = Math.max(this.#busy, this.schedule.now) + READ_TIME;
    return this.#busy;
  }

  setTimer(callback: Callback, delay: unknown, args: readonly unknown[], repeats: boolean): VirtualTimer {
    const given = Number(delay);
    const ms = given >= 1 && given <= MAX_DELAY ? Math.trunc(given) : 1;
    const timer = new VirtualTimer(this, callback, ms, args, repeats);
    timer.refresh();
    return timer;
  }

  retime(): void {
    for (const timer of this.timers) timer.retime();
  }

  setImmediate(callback: Callback, args: readonly unknown[]): VirtualImmediate {
    const resource = new AsyncResource("Immediate");
    const time = Math.max(this.#busy, this.schedule.now) + TURN_TIME;
    const run = (): void => resource.runInAsyncScope(() => this.guard(() => callback(...args)));
    return new VirtualImmediate(this.gone ? undefined : this.schedule.at(time, this, "immediate", run));
  }

  end(): void {
    this.gone = true;
    this.waiting = undefined;
    this.timers.clear();
  }
}

/** Above all ids of Node's timers. */
let timerIds = 2 ** 40;

// --- Timers ----------------------------------------------------------------------------------------------------------

const byId = new Map<number, VirtualTimer>();

/** A simulated `setTimeout`'s or `setInterval`'s result, with all members of Node.js's. */
export class VirtualTimer {
  readonly #scope: Scope;
  readonly #callback: Callback;
  readonly #delay: number;
  readonly #args: readonly unknown[];
  readonly #repeats: boolean;
  readonly #resource = new AsyncResource("Timeout");
  #event: Event | undefined = undefined;
  #due = 0;
  #ref = true;
  #cancelled = false;
  #id: number | undefined = undefined;

  constructor(scope: Scope, callback: Callback, delay: number, args: readonly unknown[], repeats: boolean) {
    this.#scope = scope;
    this.#callback = callback;
    this.#delay = delay;
    this.#args = args;
    this.#repeats = repeats;
  }

  ref(): this {
    this.#ref = true;
    return this;
  }

  unref(): this {
    this.#ref = false;
    return this;
  }

  hasRef(): boolean {
    return this.#ref;
  }

  refresh(): this {
    const { clock, schedule } = this.#scope;
    this.#cancelled = false;
    this.#due = clock.monotonic(schedule.now) + this.#delay;
    this.#arm();
    return this;
  }

  close(): this {
    this.cancel();
    return this;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  [Symbol.toPrimitive](): number {
    if (this.#id === undefined) {
      this.#id = ++timerIds;
      byId.set(this.#id, this);
    }
    return this.#id;
  }

  /** `refresh` restarts it. */
  cancel(): void {
    this.#cancelled = true;
    if (this.#event !== undefined) this.#event.run = undefined;
    this.#done();
  }

  retime(): void {
    if (this.#event !== undefined) this.#arm();
  }

  #done(): void {
    this.#event = undefined;
    this.#scope.timers.delete(this);
    if (this.#id !== undefined) byId.delete(this.#id);
  }

  #arm(): void {
    const scope = this.#scope;
    if (this.#event !== undefined) this.#event.run = undefined;
    if (scope.gone) return;
    scope.timers.add(this);
    this.#event = scope.schedule.at(scope.clock.virtual(this.#due), scope, "timer", this.#fire);
  }

  #fire = (): void => {
    const { clock, schedule } = this.#scope;
    // The machine was suspended, or its clock has slowed.
    if (clock.monotonic(schedule.now) < this.#due - SLACK) {
      this.#arm();
      return;
    }
    this.#done();
    this.#resource.runInAsyncScope(() =>
      this.#scope.guard(() => this.#callback.apply(this, [...this.#args])),
    );
    if (this.#repeats && this.#event === undefined && !this.#cancelled) this.refresh();
  };
}

export class VirtualImmediate {
  readonly #event: Event | undefined;

  constructor(event: Event | undefined) {
    this.#event = event;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  cancel(): void {
    if (this.#event !== undefined) this.#event.run = undefined;
  }
}

export function timerOf(given: unknown): VirtualTimer | VirtualImmediate | undefined {
  if (given instanceof VirtualTimer || given instanceof VirtualImmediate) return given;
  return typeof given === "number" || typeof given === "string" ? byId.get(Number(given)) : undefined;
}

// --- Clocks ----------------------------------------------------------------------------------------------------------

/** A machine's clocks, which can run fast or slow and be set. A suspend stops the monotonic one. */
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
