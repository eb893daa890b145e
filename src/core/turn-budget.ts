/**
 * Says when it is time to let the event loop turn.
 *
 * A promise that is already resolved continues in the microtask queue, and the
 * microtask queue runs to its end before any timer or socket is looked at. A
 * loop over a flood of messages would therefore starve everything else in the
 * process. When operations have settled for so long without a turn, the caller
 * has to settle its next promise from `setImmediate` instead.
 *
 * By the clock and not by a count: a turn costs some microseconds, which fast
 * operations notice if it comes every few hundred of them, and slow ones would
 * hold everything up for as many times as long.
 *
 *   spend, note: every 64th operation looks at the clock --late--> exhausted
 *   spend, when exhausted: true, and the count begins again
 *   loopTurned: the event loop has read something, so it was not held up: the time of each budget begins again
 *
 * Without the last, a socket that something comes for now and then would yield at nearly each of its looks, as its time
 * began long ago; and what it had taken would wait for its next turn, with that of all others.
 */
import type { Clock } from "./clock.js";

/** Operations between two looks at the clock, which takes 40 ns. */
const LOOK_EVERY = 64;

/** Calls of `loopTurned`. */
let turns = 0;

/**
 * The event loop has read something from the kernel, and calls back: all promises that were settled before have been gone
 * through. Not for what a stream of a program's own brings, which may come without a turn.
 */
export function loopTurned(): void {
  turns += 1;
}

export class TurnBudget {
  readonly #time: number;
  readonly #clock: Clock;
  #spent = 0;
  /** When the clock was first looked at since the last yield; negative: not yet. */
  #since = -1;
  /** `turns` at that time. */
  #turn = 0;
  #exhausted = false;

  /** @param time ms of operations between two turns of the event loop */
  constructor(time: number, clock: Clock) {
    this.#time = time;
    this.#clock = clock;
  }

  /** Whether the next operation is one before which the caller has to yield. */
  get exhausted(): boolean {
    return this.#exhausted;
  }

  /** Counts an operation that is over; what it used up shows in `exhausted`. */
  note(operations = 1): void {
    this.#spent += operations;
    if (this.#spent >= LOOK_EVERY) this.#look();
  }

  /** Counts operations; `true` when the caller has to yield now. */
  spend(operations = 1): boolean {
    this.#spent += operations;
    if (this.#spent >= LOOK_EVERY) this.#look();
    if (!this.#exhausted) return false;
    this.#exhausted = false;
    this.#since = -1;
    return true;
  }

  #look(): void {
    this.#spent = 0;
    const now = this.#clock.now();
    if (this.#since < 0 || this.#turn !== turns) {
      this.#since = now;
      this.#turn = turns;
    } else if (now - this.#since >= this.#time) this.#exhausted = true;
  }
}
