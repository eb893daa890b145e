/** How long a crashed worker thread waits for its successor. Pure. */

/** ms until the first. */
const FIRST_DELAY = 100;
/** ms at most; a thread that lived for so long has its crashes forgiven. */
const MAX_DELAY = 10_000;

export class Restarts {
  #delay = FIRST_DELAY;

  /**
   * @param lived ms from the thread's start to its crash
   * @returns ms until the next one is to start: doubled with each crash soon after a start
   */
  next(lived: number): number {
    if (lived >= MAX_DELAY) this.#delay = FIRST_DELAY;
    const delay = this.#delay;
    this.#delay = Math.min(2 * delay, MAX_DELAY);
    return delay;
  }
}
