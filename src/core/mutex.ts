/** A mutual exclusion for promises: callers get their turn in the order they asked. */

import { RingBuffer } from "./collections/ring-buffer.js";
import { TimeoutError } from "./errors.js";
import { refusedWait, Waiter } from "./waiter.js";

export class Mutex {
  readonly #queue = new RingBuffer<Waiter<void>>();
  #taken = false;

  /** Whether somebody has the turn. */
  get taken(): boolean {
    return this.#taken;
  }

  /** Waits for the turn. @returns call it when done */
  async take(signal: AbortSignal | undefined): Promise<() => void> {
    await refusedWait({ signal });
    if (this.#taken) {
      const waiter = new Waiter<void>(
        -1,
        signal,
        () => new TimeoutError("ETIMEDOUT", "unreachable"),
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
