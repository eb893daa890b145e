/** Mutual exclusion, in the order of arrival. */

import { Link, LinkedList } from "./collections/linked-list.js";
import { TimeoutError } from "./errors.js";
import { refusedWait, Waiter, type WaitOptions } from "./waiter.js";

export class Mutex {
  readonly #queue = new LinkedList<Waiter<void>>();
  #taken = false;

  get taken(): boolean {
    return this.#taken;
  }

  /**
   * @returns the function that releases the lock
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`
   */
  async take(options: WaitOptions = {}): Promise<() => void> {
    const refused = refusedWait(options);
    if (refused !== undefined) await refused;
    if (this.#taken) {
      const waiter = new Waiter<void>(
        options.timeout ?? -1,
        options.signal,
        () => new TimeoutError("ETIMEDOUT", "Calls before this one took too long"),
        () => link.unlink(),
      );
      const link = new Link(waiter);
      this.#queue.push(link);
      await waiter.promise;
    }
    this.#taken = true;
    return this.#done;
  }

  #done = (): void => {
    const next = this.#queue.shift();
    if (next === undefined) this.#taken = false;
    else next.resolve();
  };
}
