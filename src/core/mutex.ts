/** A mutual exclusion for promises: callers get their turn in the order they asked. */

import { RingBuffer } from "./collections/ring-buffer.js";
import { TimeoutError } from "./errors.js";
import { refusedWait, Waiter, type WaitOptions } from "./waiter.js";

export class Mutex {
  readonly #queue = new RingBuffer<Waiter<void>>();
  #taken = false;

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
        () => undefined,
      );
      this.#queue.push(waiter);
      await waiter.promise;
    }
    this.#taken = true;
    return this.#done;
  }

  #done = (): void => {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.settled) continue;
      next.resolve();
      return;
    }
    this.#taken = false;
  };
}
