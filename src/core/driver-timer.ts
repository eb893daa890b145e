/**
 * Drives a state machine with one timer, in time without pauses of the process (SIGSTOP, a closed lid, a
 * blocked event loop), in which a peer's silence proves nothing. Time beyond `maxStep` ms after the due time
 * is cut out.
 */
import { type Clock, systemClock } from "./clock.js";

export interface TimedRules {
  nextWakeUp(): number | undefined;
  tick(now: number): void;
}

const MAX_DELAY = 2_147_483_647;

export class DriverTimer {
  readonly #clock: Clock;
  readonly #maxStep: number;
  #rules: TimedRules | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** In rules' time; infinite without a timer. */
  #due = Number.POSITIVE_INFINITY;
  #cut = 0;
  #stopped = false;
  #held = true;
  #isUpdateDue = false;

  /** @param maxStep ms past the due time that still count; at most one heartbeat interval of the protocol */
  constructor(maxStep: number, clock: Clock = systemClock) {
    this.#maxStep = maxStep;
    this.#clock = clock;
  }

  get stalled(): number {
    return this.#cut;
  }

  now(): number {
    const now = this.#clock.now() - this.#cut;
    const latest = this.#due + this.#maxStep;
    if (now <= latest) return now;
    this.#cut += now - latest;
    return latest;
  }

  start(rules: TimedRules): void {
    this.#rules = rules;
    this.update();
  }

  /** After any change of `nextWakeUp`. */
  update(): void {
    if (this.#stopped || this.#rules === undefined) return;
    const next = this.#rules.nextWakeUp();
    // An early timer asks again, which is cheaper than a new timer.
    if (next === undefined || next >= this.#due) return;
    this.#set(next);
  }

  /** Once for the many changes of a turn: each costs a request a twentieth of its time. */
  updateSoon(): void {
    if (this.#isUpdateDue) return;
    this.#isUpdateDue = true;
    queueMicrotask(this.#updateOnDue);
  }

  #updateOnDue = (): void => {
    this.#isUpdateDue = false;
    this.update();
  };

  /** Calls the rules, and sets the timer by what they wait for then. */
  run<T>(call: (now: number) => T): T {
    const result = call(this.now());
    this.update();
    return result;
  }

  /** Keeps the process alive. Default true. */
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
    const now = this.now();
    if (this.#due <= now) return;
    clearTimeout(this.#timer);
    // The interval up to now is not a pause.
    this.#due = Math.max(next, now);
    const delay = Math.min(Math.ceil(this.#due - now), MAX_DELAY);
    this.#timer = setTimeout(this.#timerOnFired, delay);
    if (!this.#held) this.#timer.unref();
  }

  // After a pause queued messages are read first.
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
