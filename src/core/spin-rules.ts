/**
 * Whether the event loop goes on to poll, in place of sleeping until something comes (spin.ts). Pure: the clock is the caller's.
 *
 *   waits, came:   the time since the last of them is a gap; the next one is probably as long
 *   turn:          polls until 1 ms after the last of them, if gaps were short of late
 *   ran:           while it polls it uses all of its time; what it did not get, others had: past a twentieth it pauses, for 100 ms to 10 s
 *
 * A gap that was longer costs a millisecond of processor time, so what comes seldom soon costs nothing: each long gap halves the
 * credit, and each short one adds to it, whether the loop polled or slept.
 */

/** ms since the last message, or since a socket began to wait, until the loop sleeps; what comes later is not worth it. */
const MAX_GAP = 1;
const FIRST_CREDIT = 4;
const MAX_CREDIT = 8;
/** The part of the time that others may have, and ms of it at once. */
const SPARE_SHARE = 0.05;
const MAX_STOLEN = 5;
/** ms without polling after the core was contended. */
const MIN_PAUSE = 100;
const MAX_PAUSE = 10_000;
/** ms after a pause from which on the next one is the shortest again. */
const FORGIVEN_AFTER = 1_000;

export class SpinRules {
  #last = 0;
  /** Nothing has come since a socket began to wait. */
  #waiting = false;
  #credit = FIRST_CREDIT;
  #stolen = 0;
  #pause = MIN_PAUSE;
  #pausedUntil = 0;

  /** A socket begins to wait for a message. @returns whether the loop polls now */
  waits(now: number): boolean {
    // The wait before has ended without one, as by a time-out.
    if (this.#waiting && now - this.#last >= MAX_GAP) this.#credit >>= 1;
    this.#waiting = true;
    this.#last = now;
    return this.turn(now);
  }

  /** Something that was waited for has come. */
  came(now: number): void {
    this.#credit = now - this.#last < MAX_GAP ? Math.min(this.#credit + 1, MAX_CREDIT) : this.#credit >> 1;
    this.#last = now;
    this.#waiting = false;
  }

  /** @returns whether the loop polls once more */
  turn(now: number): boolean {
    return now - this.#last < MAX_GAP && this.#credit > 0 && now >= this.#pausedUntil;
  }

  /** Of `time` ms, in which it polled all the while, it had the processor for `processorTime`. */
  ran(time: number, processorTime: number, now: number): void {
    const stolen = time - processorTime;
    this.#stolen = Math.max(0, this.#stolen + stolen - SPARE_SHARE * time);
    if (this.#stolen <= MAX_STOLEN) return;
    this.#stolen = 0;
    this.#pause = now - this.#pausedUntil < FORGIVEN_AFTER ? Math.min(2 * this.#pause, MAX_PAUSE) : MIN_PAUSE;
    this.#pausedUntil = now + this.#pause;
  }
}
