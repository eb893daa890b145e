/**
 * The one timer of a bus. Its time is the plain monotonic clock: stalls are not cut out, since the rules see them by
 * themselves and their local health needs them. When it fires, what the sockets hold is read first, in the turn that follows:
 * an answer that came in time is not missed because the process was late.
 *
 * Between two wake-ups it looks at the event loop's own delay, for stalls that no wake-up was late by, and at the wall clock
 * against the monotonic one, which stands still while the host is suspended.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { MACHINE, type Platform } from "../../engine/zmtp/transport/transports.js";

/** The longest time that a platform timer holds, in ms. */
const MAX_DELAY = 2_147_483_647;
/** ms between two samples of the event loop, at most: its delay is known to this. Each is a wake-up, of a process that may be at rest. */
const MAX_RESOLUTION = 100;
/** ms by which the wall clock is ahead after the host was suspended, at least; less is an adjustment. */
const SUSPENDED = 2_000;
/** ms for which the longest delay of the event loop is kept. */
const MINUTE = 60_000;
/** Turns in which what came while the process stood still is read, at most. */
const CATCH_UP_TURNS = 64;

export interface BusTimed {
  nextWakeUp(): number;
  tick(): void;
  /** The process stood still for so many ms. */
  stalled(ms: number): void;
}

export class BusTimer {
  readonly #timed: BusTimed;
  /** ms of a delay that count. */
  readonly #patience: number;
  /**
   * ms between two samples of the event loop: a delay that is longer by them than what counts is seen for certain. That is the timeout of a
   * probe, and nobody suspects a node that stands still for less.
   */
  readonly #resolution: number;
  readonly #loop: ReturnType<typeof monitorEventLoopDelay> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #due = Number.POSITIVE_INFINITY;
  #stopped = true;
  #wallOffset = 0;
  #lookedAt = 0;
  /** The longest delay of the event loop in this minute, and in the one before. */
  #worst = 0;
  #worstBefore = 0;
  #minuteAt = 0;
  /** Times that the process stood still. */
  stalls = 0;

  constructor(platform: Platform, probeTimeout: number, timed: BusTimed) {
    this.#timed = timed;
    this.#patience = Math.max(50, probeTimeout / 2);
    this.#resolution = Math.floor(Math.min(this.#patience, MAX_RESOLUTION));
    // In virtual time the real loop says nothing.
    if (platform === MACHINE) this.#loop = monitorEventLoopDelay({ resolution: this.#resolution });
  }

  /** ms: the longest delay of the event loop in the last minute or two; 0 where it is not measured. */
  get loopDelay(): number {
    return Math.max(this.#worst, this.#worstBefore);
  }

  start(): void {
    this.#stopped = false;
    this.#wallOffset = Date.now() - performance.now();
    this.#loop?.enable();
    this.update();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#loop?.disable();
    this.#due = Number.POSITIVE_INFINITY;
  }

  /** To be called after anything that may have changed `nextWakeUp`. */
  update(): void {
    if (this.#stopped) return;
    const next = this.#timed.nextWakeUp();
    if (next >= this.#due) return;
    clearTimeout(this.#timer);
    this.#arm(next);
  }

  #arm(next: number): void {
    this.#due = next;
    const delay = Math.max(0, Math.ceil(next - performance.now()));
    this.#timer = setTimeout(this.#onFired, Math.min(delay, MAX_DELAY));
  }

  #onFired = (): void => {
    const now = performance.now();
    const late = now - this.#due;
    // Mostly it was for a probe that was answered: nothing is to be done, and what a turn and a tick touch is not in the processor's cache.
    if (late < this.#patience) {
      const next = this.#timed.nextWakeUp();
      if (next > now) {
        this.#arm(next);
        return;
      }
    }
    // A receive buffer takes several turns to read.
    this.#readFirst(late > this.#patience ? CATCH_UP_TURNS : 1);
  };

  #readFirst(turns: number): void {
    setImmediate(() => {
      if (turns > 1) this.#readFirst(turns - 1);
      else this.#tick();
    });
  }

  #tick(): void {
    if (this.#stopped) return;
    const now = performance.now();
    const late = now - this.#due;
    this.#due = Number.POSITIVE_INFINITY;
    this.#look(now, late);
    this.#timed.tick();
    this.update();
  }

  #noteDelay(now: number, delay: number): void {
    if (now - this.#minuteAt >= MINUTE) {
      this.#minuteAt = now;
      this.#worstBefore = this.#worst;
      this.#worst = 0;
    }
    this.#worst = Math.max(this.#worst, delay);
  }

  /** @param late ms by which this wake-up is late: the rules see that themselves */
  #look(now: number, late: number): void {
    const loop = this.#loop;
    if (loop !== undefined && now - this.#lookedAt >= this.#patience) {
      this.#lookedAt = now;
      const delay = Math.max(0, loop.max / 1e6 - this.#resolution);
      loop.reset();
      this.#noteDelay(now, delay);
      if (delay > this.#patience) this.stalls += 1;
      if (late < this.#patience && delay > this.#patience) this.#timed.stalled(delay);
    }
    const offset = Date.now() - now;
    if (offset - this.#wallOffset > SUSPENDED) this.#timed.stalled(this.#patience * 2);
    this.#wallOffset = offset;
  }
}
