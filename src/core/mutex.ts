/** Mutual exclusion, in the order of arrival. */

import { RingBuffer } from "./collections/ring-buffer.js";
import { TimeoutError } from "./errors.js";
import { refusedWait, Waiter, type WaitOptions } from "./waiter.js";

/** Settled waiters that may stay queued before a cleanup. */
const SLACK = 16;

export class Mutex {
  readonly #queue = new RingBuffer<Waiter<void>>();
  #taken = false;
  #waiting = 0;

  get taken(): boolean {
    return this.#taken;
  }

  /**
   * @returns the function that releases the lock
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
