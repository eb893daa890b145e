/**
 * Reads all that comes to a socket, in place of calls of `receive`: for parts of the library. A call has a promise, a waiter and an array each time
 * that something comes, which for one small message is a tenth of all functions from its read to its handler.
 *
 *   engine has something ──> microtask ──> take, take … ──nothing left──> waits for the engine
 *                               ^                    │
 *                               └──setImmediate──────┘ for long enough without a turn of the event loop
 *
 * In a microtask and not at once: the engine is in the middle of its work, and who reads may close the socket.
 */
import { systemClock } from "../core/clock.js";
import { TurnBudget } from "../core/turn-budget.js";
import type { SocketCore } from "./socket-core.js";

/** ms of messages that are read at once between two turns of the event loop, as of receives (inbox.ts). */
const READ_TIME = 0.5;
const RESOLVED = Promise.resolve();

export class Reader {
  readonly #core: SocketCore;
  readonly #take: () => number;
  readonly #budget = new TurnBudget(READ_TIME, systemClock);
  /** A microtask or a turn is due that reads. */
  #isDue = false;

  /** @param take takes what there is at once, and handles it; returns how many messages that were, 0: there is nothing. Must not throw */
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
    // Closed, or another one reads.
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
