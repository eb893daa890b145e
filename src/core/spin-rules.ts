/**
 * Decides whether the event loop polls instead of sleeping (spin.ts).
 *
 *   waits, came:   the time since the last of them is a gap, which predicts the next one
 *   turn:          polls until 1 ms after the last of them, while recent gaps were short
 *   ran:           polling takes all time; if others got more than a twentieth, it pauses for 100 ms to 10 s
 *
 * A long gap halves the credit; a short one adds to it. So polling for rare messages soon stops.
 */

/** ms without a message after which the loop sleeps. */
const MAX_GAP = 1;
const FIRST_CREDIT = 4;
const MAX_CREDIT = 8;
/** The share of time for other processes, and ms above it before a pause. */
const SPARE_SHARE = 0.05;
const MAX_STOLEN = 5;
/** ms without polling after contention for the core. */
const MIN_PAUSE = 100;
const MAX_PAUSE = 10_000;
/** ms after a pause from which the next is again the shortest. */
const FORGIVEN_AFTER = 1_000;

export class SpinRules {
  #last = 0;
  #waiting = false;
  #credit = FIRST_CREDIT;
  #stolen = 0;
  #pause = MIN_PAUSE;
  #pausedUntil = 0;

  waits(now: number): boolean {
    // The previous wait ended without a message.
    if (this.#waiting && now - this.#last >= MAX_GAP) this.#credit >>= 1;
    this.#waiting = true;
    this.#last = now;
    return this.turn(now);
  }

  came(now: number): void {
    this.#credit = now - this.#last < MAX_GAP ? Math.min(this.#credit + 1, MAX_CREDIT) : this.#credit >> 1;
    this.#last = now;
    this.#waiting = false;
  }

  turn(now: number): boolean {
    return now - this.#last < MAX_GAP && this.#credit > 0 && now >= this.#pausedUntil;
  }

  /** The loop polled for `time` ms, `processorTime` of them on the processor. */
  ran(time: number, processorTime: number, now: number): void {
    const stolen = time - processorTime;
    this.#stolen = Math.max(0, this.#stolen + stolen - SPARE_SHARE * time);
    if (this.#stolen <= MAX_STOLEN) return;
    this.#stolen = 0;
    this.#pause = now - this.#pausedUntil < FORGIVEN_AFTER ? Math.min(2 * this.#pause, MAX_PAUSE) : MIN_PAUSE;
    this.#pausedUntil = now + this.#pause;
  }
}
