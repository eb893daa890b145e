/**
 * Reads all messages of a socket for the library. `receive` would cost a promise, a waiter and an array, a tenth of all
 * functions between reading a small message and its handler.
 *
 *   engine has messages ──> microtask ──> take, take … ──nothing left──> waits for the engine
 *                               ^                    │
 *                               └──setImmediate──────┘ after RECEIVE_TIME without a turn of the event loop
 *
 * The microtask defers the read, because the reader may close the socket while the engine is busy.
 */
import { systemClock } from "../core/clock.js";
import { TurnBudget } from "../core/turn-budget.js";
import type { SocketCore } from "./socket-core.js";

const READ_TIME = 0.5;
const RESOLVED = Promise.resolve();

export class Reader {
  readonly #core: SocketCore;
  readonly #take: () => number;
  readonly #budget = new TurnBudget(READ_TIME, systemClock);
  #isDue = false;

  /** @param take handles available messages and returns their number; must not throw */
  constructor(core: SocketCore, take: () => number) {
    this.#core = core;
    this.#take = take;
    core.inbox.reader = this.#readSoon;
    this.#readSoon();
  }

  #readSoon = (): void => {
    if (this.#isDue) return;
    this.#isDue = true;
    void RESOLVED.then(this.#read);
  };

  #read = (): void => {
    this.#isDue = false;
    const { inbox, engine } = this.#core;
    // The socket is closed, or has another reader.
    while (inbox.reader === this.#readSoon) {
      const taken = this.#take();
      if (taken === 0) {
        engine.wantReadable(1);
        return;
      }
      if (this.#budget.spend(taken)) {
        this.#isDue = true;
        setImmediate(this.#read);
        return;
      }
    }
  };
}
