/**
 * The one timer of a driver, and the time its rules live by.
 *
 * Rules say when they next need the time (`nextWakeUp`), and get it (`tick`).
 * Their time is monotonic, and it stands still while the process does: when the
 * timer was due long ago (SIGSTOP, a closed lid, a blocked event loop), the process
 * received nothing meanwhile, so silence proves nothing. Whatever is more than
 * `maxStep` ms past the due time is cut out: a stall counts as one step.
 */
import { type Clock, systemClock } from "./clock.js";

/** What a timer drives. */
export interface TimedRules {
  /** The time at which `tick` has something to do; `undefined`: none is known. */
  nextWakeUp(): number | undefined;
  tick(now: number): void;
}

/** The longest time a platform timer holds, in ms. */
const MAX_DELAY = 2_147_483_647;

export class DriverTimer {
  readonly #clock: Clock;
  readonly #maxStep: number;
  #rules: TimedRules | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer that is set fires, in the rules' time; infinite without one. */
  #due = Number.POSITIVE_INFINITY;
  /** ms that were cut out so far. */
  #cut = 0;
  #stopped = false;
  #held = true;

  /** @param maxStep ms past the due time that count; at most one interval of the protocol's heartbeats */
  constructor(maxStep: number, clock: Clock = systemClock) {
    this.#maxStep = maxStep;
    this.#clock = clock;
  }

  /** ms that did not count because the process stood still. */
  get stalled(): number {
    return this.#cut;
  }

  /** The rules' time. */
  now(): number {
    const now = this.#clock.now() - this.#cut;
    const latest = this.#due + this.#maxStep;
    if (now <= latest) return now;
    this.#cut += now - latest;
    return latest;
  }

  /** Begins to drive `rules`. */
  start(rules: TimedRules): void {
    this.#rules = rules;
    this.update();
  }

  /** To be called after anything that may have changed `nextWakeUp`. Cheap when it has not come nearer. */
  update(): void {
    if (this.#stopped || this.#rules === undefined) return;
    const next = this.#rules.nextWakeUp();
    // A timer that fires too early asks again; setting another for each message would cost more.
    if (next === undefined || next >= this.#due) return;
    this.#set(next);
  }

  /** Whether the timer alone keeps the process alive. Default true. */
  hold(held: boolean): void {
    this.#held = held;
    if (held) this.#timer?.ref();
    else this.#timer?.unref();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = Number.POSITIVE_INFINITY;
  }

  #set(next: number): void {
    clearTimeout(this.#timer);
    const now = this.now();
    // What was due before now is due now: from then until now nothing stood still.
    this.#due = Math.max(next, now);
    const delay = Math.min(Math.ceil(this.#due - now), MAX_DELAY);
    this.#timer = setTimeout(this.#timerOnFired, delay);
    if (!this.#held) this.#timer.unref();
  }

  // What came while the process stood still is read first: messages are read in the turn after this one.
  #timerOnFired = (): void => {
    this.#timer = undefined;
    const late = this.#clock.now() - this.#cut - this.#due > this.#maxStep;
    if (late) setImmediate(this.#tick);
    else this.#tick();
  };

  #tick = (): void => {
    if (this.#stopped || this.#rules === undefined) return;
    const now = this.now();
    this.#due = Number.POSITIVE_INFINITY;
    this.#rules.tick(now);
    if (this.#timer === undefined) this.update();
  };
}
