/** The connections to a plain broker: each has one request at a time, since an answer does not say which it is of. */
import type { Call } from "./client-call.js";
import type { ClientOutbox } from "./client-outbox.js";

export class PlainConnections {
  readonly #most: number;
  readonly #outbox: ClientOutbox;
  readonly #open: () => number;
  readonly #idle: number[] = [];
  readonly #busy = new Map<number, Call>();
  #newest = 0;
  /** Connections below are to a broker that is not in use any more. */
  #since = 0;

  /** @param most connections; @param open makes one to the broker in use, of a higher number than those before */
  constructor(most: number, outbox: ClientOutbox, open: () => number) {
    this.#most = most;
    this.#outbox = outbox;
    this.#open = open;
  }

  /** One that is there already; 0: none. */
  add(connection: number): void {
    if (connection === 0) return;
    this.#newest = connection;
    this.#idle.push(connection);
  }

  /** Whether it is to the broker in use. */
  isCurrent(connection: number): boolean {
    return connection >= this.#since;
  }

  /** Another broker is to be used: no request goes over a connection to the former. */
  moveOn(): void {
    this.#since = this.#newest + 1;
    for (const connection of this.#idle.splice(0)) this.#outbox.close(connection);
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
    this.#newest = Math.max(this.#newest, connection);
    call.connection = connection;
    this.#busy.set(connection, call);
    return true;
  }

  /** The request is answered: its connection has room. */
  release(call: Call): void {
    if (this.#busy.get(call.connection) !== call) return;
    this.#busy.delete(call.connection);
    if (this.isCurrent(call.connection)) this.#idle.push(call.connection);
    else this.#outbox.close(call.connection);
  }

  /**
   * A connection has ended. The socket would make it again, and under a routing id of the program's own the answer to
   * the request before could still come: so it goes.
   *
   * @returns the request that it had, which is on none now
   */
  lost(connection: number): Call | undefined {
    const call = this.#busy.get(connection);
    const idle = this.#idle.indexOf(connection);
    if (call !== undefined) this.giveUp(call);
    else if (idle >= 0) {
      this.#idle.splice(idle, 1);
      this.#outbox.close(connection);
    }
    return call;
  }

  /** The late answer dies with its connection. */
  giveUp(call: Call): void {
    if (this.#busy.get(call.connection) !== call) return;
    this.#busy.delete(call.connection);
    this.#outbox.close(call.connection);
    call.connection = 0;
  }
}
