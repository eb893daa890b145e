/** Says of each thing that goes wrong whether it begins a burst, so that it is told once. Pure. */

/** ms without one, after which the next begins a new burst. */
const QUIET = 1_000;

export class Bursts {
  #last = Number.NEGATIVE_INFINITY;
  #total = 0;

  /** How many there were. */
  get total(): number {
    return this.#total;
  }

  /**
   * It has happened.
   *
   * @param now ms
   * @param count how often at once
   * @returns whether this is the first of a burst
   */
  note(now: number, count = 1): boolean {
    const first = now - this.#last >= QUIET;
    this.#last = now;
    this.#total += count;
    return first;
  }
}
