/** The connections to a plain broker: each has one request at a time, since an answer does not say which it is of. */
import type { Call } from "./client-call.js";
import type { ClientOutbox } from "./client-outbox.js";

export class PlainConnections {
  readonly #most: number;
  readonly #outbox: ClientOutbox;
  readonly #open: () => number;
  readonly #idle: number[] = [];
  readonly #busy = new Map<number, Call>();

  /** @param most connections; @param open makes one to the broker in use */
  constructor(most: number, outbox: ClientOutbox, open: () => number) {
    this.#most = most;
    this.#outbox = outbox;
    this.#open = open;
  }

  /** One that is there already; 0: none. */
  add(connection: number): void {
    if (connection !== 0) this.#idle.push(connection);
  }

  /** The request that a connection has. */
  of(connection: number): Call | undefined {
    return this.#busy.get(connection);
  }

  /** Gives a request a connection. @returns whether there was one, or room for one more */
  take(call: Call): boolean {
    const room = this.#busy.size + this.#idle.length < this.#most;
    const connection = this.#idle.pop() ?? (room ? this.#open() : undefined);
    if (connection === undefined) return false;
    call.connection = connection;
    this.#busy.set(connection, call);
    return true;
  }

  /** The request is answered: its connection has room. */
  release(call: Call): void {
    if (this.#busy.get(call.connection) !== call) return;
    this.#busy.delete(call.connection);
    this.#idle.push(call.connection);
  }

  /** The late answer dies with its connection. */
  giveUp(call: Call): void {
    if (this.#busy.get(call.connection) !== call) return;
    this.#busy.delete(call.connection);
    this.#outbox.close(call.connection);
    call.connection = 0;
  }
}
