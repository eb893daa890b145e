/**
 * When a file that is being written is worth reading. Pure.
 *
 *   note --QUIET ms without another--> due
 *     +-------PATIENCE ms at most----> due
 */

/** ms without a change after which a file counts as written. */
const QUIET = 200;
/** ms after the first change after which it is read in any case. */
const PATIENCE = 2_000;

export class Settling {
  #first: number | undefined;
  #last = 0;

  /** Something changed. */
  note(now: number): void {
    this.#first ??= now;
    this.#last = now;
  }

  /** ms to wait; `undefined` when nothing has changed. */
  wait(now: number): number | undefined {
    if (this.#first === undefined) return undefined;
    return Math.max(0, Math.min(this.#last + QUIET, this.#first + PATIENCE) - now);
  }

  /** It is read now. */
  read(): void {
    this.#first = undefined;
  }
}
