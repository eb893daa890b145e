/**
 * Decides when a caller must let the event loop turn.
 *
 * Resolved promises run before any timer or socket, so a loop over many messages would starve the process.
 * Once the budget is exhausted, the caller settles its next promise from `setImmediate`. The budget is a
 * time, because slow operations would delay everything else.
 *
 *   spend, note: every 64th operation reads the clock --late--> exhausted
 *   spend, when exhausted: true, and a new budget begins
 *   loopTurned: the event loop has read something, so all budgets begin again
 */
import { type Clock, systemClock } from "./timers.js";

/** Operations between readings of the clock (40 ns). */
const LOOK_EVERY = 64;

let turns = 0;

/**
 * The event loop has read from the kernel. Streams of the program do not count: they may deliver without a
 * turn.
 */
export function loopTurned(): void {
  turns += 1;
}

export class TurnBudget {
  readonly #time: number;
  readonly #clock: Clock;
  #spent = 0;
  #since = -1;
  #turn = 0;
  /** Whether the caller must yield before its next operation. */
  exhausted = false;

  /** @param time ms between two turns of the event loop */
  constructor(time = 0.5, clock: Clock = systemClock) {
    this.#time = time;
    this.#clock = clock;
  }

  note(operations = 1): void {
    this.#spent += operations;
    if (this.#spent >= LOOK_EVERY) this.#look();
  }

  /** @returns whether the caller must yield now */
  spend(operations = 1): boolean {
    this.#spent += operations;
    if (this.#spent >= LOOK_EVERY) this.#look();
    if (!this.exhausted) return false;
    this.exhausted = false;
    this.#since = -1;
    return true;
  }

  #look(): void {
    this.#spent = 0;
    const now = this.#clock.now();
    if (this.#since < 0 || this.#turn !== turns) {
      this.#since = now;
      this.#turn = turns;
    } else if (now - this.#since >= this.#time) this.exhausted = true;
  }
}
