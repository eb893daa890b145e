/** A mutual exclusion for promises: callers get their turn in the order they asked. */

import { RingBuffer } from "./collections/ring-buffer.js";
import { TimeoutError } from "./errors.js";
import { refusedWait, Waiter, type WaitOptions } from "./waiter.js";

/** Calls that have given up and may stay in the queue in any case. */
const SLACK = 16;

export class Mutex {
  readonly #queue = new RingBuffer<Waiter<void>>();
  #taken = false;
  #waiting = 0;

  /** Whether somebody has the turn. */
  get taken(): boolean {
    return this.#taken;
  }

  /**
   * Waits for the turn.
   *
   * @returns call it when done
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`
   */
  async take(options: WaitOptions = {}): Promise<() => void> {
    await refusedWait(options);
    if (this.#taken) {
      const waiter = new Waiter<void>(
        options.timeout ?? -1,
        options.signal,
        () => new TimeoutError("ETIMEDOUT", "Calls before this one took too long"),
        () => this.#givenUp(),
      );
      this.#queue.push(waiter);
      this.#waiting += 1;
      await waiter.promise;
    }
    this.#taken = true;
    return this.#done;
  }

  /** Those that have given up are taken off once they are most of the queue. */
  #givenUp(): void {
    this.#waiting -= 1;
    if (this.#queue.length > 2 * this.#waiting + SLACK) this.#queue.retain(({ settled }) => !settled);
  }

  #done = (): void => {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.settled) continue;
      this.#waiting -= 1;
      next.resolve();
      return;
    }
    this.#taken = false;
  };
}
