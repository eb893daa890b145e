/**
 * Counts operations that settled without a turn of the event loop, and says when
 * it is time to let it turn.
 *
 * A promise that is already resolved continues in the microtask queue, and the
 * microtask queue runs to its end before any timer or socket is looked at. A
 * loop over a flood of messages would therefore starve everything else in the
 * process. Every `limit` operations the caller is told to settle its next
 * promise from `setImmediate` instead.
 */
export class TurnBudget {
  readonly #limit: number;
  #spent = 0;

  /** @param limit operations between two turns of the event loop */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether the next operation is the one after which the caller has to yield. */
  get exhausted(): boolean {
    return this.#spent + 1 >= this.#limit;
  }

  /** Spends operations; `true` when the caller has to yield now. */
  spend(operations = 1): boolean {
    this.#spent += operations;
    if (this.#spent < this.#limit) return false;
    this.#spent = 0;
    return true;
  }

  /** Forgets what was spent: the event loop has turned. */
  reset(): void {
    this.#spent = 0;
  }
}
