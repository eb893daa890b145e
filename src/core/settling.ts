/**
 * When something that is being written is worth reading. Pure.
 *
 *   note --quiet ms without another--> due
 *     +-------patience ms at most----> due
 */

export class Settling {
  readonly #quiet: number;
  readonly #patience: number;
  #first: number | undefined;
  #last = 0;

  /**
   * @param quiet ms without a change after which it counts as written
   * @param patience ms after the first change after which it is read in any case
   */
  constructor(quiet: number, patience: number) {
    this.#quiet = quiet;
    this.#patience = patience;
  }

  /** Something changed. */
  note(now: number): void {
    this.#first ??= now;
    this.#last = now;
  }

  /** ms to wait; `undefined` when nothing has changed. */
  wait(now: number): number | undefined {
    if (this.#first === undefined) return undefined;
    return Math.max(0, Math.min(this.#last + this.#quiet, this.#first + this.#patience) - now);
  }

  /** It is read now. */
  read(): void {
    this.#first = undefined;
  }
}
