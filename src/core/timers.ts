/**
 * Clocks, timers and deadlines. Those of state machines exclude pauses of the process (SIGSTOP, a closed lid, a blocked
 * event loop): a peer's silence proves nothing then.
 */
import { type Link, LinkedList } from "./collections/queues.js";
import { MAX_TIMEOUT } from "./waiter.js";

/** State machines get one, so that tests can stop time and advance it. */
export interface Clock {
  /** Monotonic ms; only differences are meaningful. */
  now(): number;
}

export const systemClock: Clock = { now: () => performance.now() };

export interface TimedRules {
  nextWakeUp(): number | undefined;
  tick(now: number): void;
}

/** Drives a state machine with one timer. Time beyond `maxStep` ms after the due time is cut out, as a pause of the process. */
export class DriverTimer {
  readonly #clock: Clock;
  readonly #maxStep: number;
  #rules: TimedRules | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** In rules' time; infinite without a timer. */
  #due = Number.POSITIVE_INFINITY;
  /** ms of pauses so far. */
  stalled = 0;
  #stopped = false;
  #held = true;
  #isUpdateDue = false;

  /** @param maxStep ms past the due time that still count; at most one heartbeat interval of the protocol */
  constructor(maxStep: number, clock: Clock = systemClock) {
    this.#maxStep = maxStep;
    this.#clock = clock;
  }

  now(): number {
    const now = this.#clock.now() - this.stalled;
    const latest = this.#due + this.#maxStep;
    if (now <= latest) return now;
    this.stalled += now - latest;
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
    const delay = Math.min(Math.ceil(this.#due - now), MAX_TIMEOUT);
    this.#timer = setTimeout(this.#timerOnFired, delay);
    if (!this.#held) this.#timer.unref();
  }

  // What came during a pause is read first.
  #timerOnFired = (): void => {
    this.#timer = undefined;
    setImmediate(this.#tick);
  };

  #tick = (): void => {
    if (this.#stopped || this.#rules === undefined) return;
    const now = this.now();
    this.#due = Number.POSITIVE_INFINITY;
    this.#rules.tick(now);
    if (this.#timer === undefined) this.update();
  };
}

const STEPS = 12;

/** A timeout that excludes pauses of the process. Queued input is read between its steps. */
export class RunningTimeout {
  readonly #step: number;
  readonly #onEnd: () => void;
  #left = STEPS;
  #timer: NodeJS.Timeout;

  /** @param ms a pause counts as a twelfth of it */
  constructor(ms: number, onEnd: () => void) {
    this.#step = ms / STEPS;
    this.#onEnd = onEnd;
    this.#timer = setTimeout(this.#onStep, this.#step).unref();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #onStep = (): void => {
    this.#left -= 1;
    if (this.#left === 0) this.#onEnd();
    else this.#timer = setTimeout(this.#onStep, this.#step).unref();
  };
}

export interface Due {
  /** Rules' time in ms. */
  deadline: number;
}

/**
 * Deadlines in O(1): equal durations share one list in the order of expiry. Durations are rounded up to one of eight steps
 * per power of two (at most 12.5 % longer).
 */
export class Deadlines<T extends Due> {
  readonly #lists = new Map<number, LinkedList<T>>();
  /** Most calls repeat the last duration. */
  #duration = Number.NaN;
  #rounded = 0;
  #list = new LinkedList<T>();

  set(link: Link<T>, now: number, duration: number): void {
    if (duration !== this.#duration) this.#select(duration);
    link.value.deadline = now + this.#rounded;
    this.#list.push(link);
  }

  next(): number | undefined {
    let next: number | undefined;
    for (const [duration, list] of this.#lists) {
      const first = list.first;
      if (first === undefined) {
        if (list !== this.#list) this.#lists.delete(duration);
      } else if (next === undefined || first.deadline < next) next = first.deadline;
    }
    return next;
  }

  /** Deadlines may be set during the iteration. */
  *take(now: number): Generator<T, undefined> {
    for (const list of [...this.#lists.values()]) {
      for (let first = list.first; first !== undefined && first.deadline <= now; first = list.first) {
        list.shift();
        yield first;
      }
    }
    return undefined;
  }

  #select(duration: number): void {
    const rounded = roundUp(duration);
    let list = this.#lists.get(rounded);
    if (list === undefined) {
      list = new LinkedList();
      this.#lists.set(rounded, list);
    }
    this.#duration = duration;
    this.#rounded = rounded;
    this.#list = list;
  }
}

function roundUp(duration: number): number {
  if (duration <= 8) return Math.max(1, Math.ceil(duration));
  const step = 2 ** (Math.floor(Math.log2(duration)) - 3);
  return Math.ceil(duration / step) * step;
}

/** Larger powers of two reach any bound. */
const MAX_DOUBLINGS = 30;

/**
 * The wait before another attempt: exponential back-off, of which half is random.
 *
 * @param first ms; upper bound of the first wait
 * @param longest ms; upper bound of every wait @param random from 0 up to 1
 */
export function backOff(attempts: number, first: number, longest: number, random: () => number): number {
  return Math.min(first * 2 ** Math.min(attempts, MAX_DOUBLINGS), longest) * (0.5 + random() / 2);
}
