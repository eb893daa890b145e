/**
 * Wraps any server: reads the socket that clients talk to, and passes on what the
 * gate (gate.ts) lets through.
 */
import type { Readable } from "../../sockets/readable.js";
import type { Socket } from "../../sockets/socket.js";
import { checkFunction, checkKeys } from "../kit/options.js";
import { BinaryStarGate, type BinaryStarGateStats } from "./gate.js";
import type { BinaryStar } from "./star.js";

/** How a gate treats messages of type `M`. */
export interface BinaryStarReactorOptions<M> {
  /** Gets each message that is to be served. What it throws goes uncaught: it is the program's fault. */
  readonly onRequest: (message: M) => void;
  /** Whether a message is a client's request. Anything else (a worker's heartbeat, monitoring) has no vote. Default: all are. */
  readonly votes?: (message: M) => boolean;
  /** Requests kept at most. Default 1,000. */
  readonly maxHeld?: number;
}

/** Every message that came is in exactly one: received = served + dropped + held. */
export type BinaryStarReactorStats = BinaryStarGateStats;

export class BinaryStarReactor<M> {
  readonly #gate: BinaryStarGate<M>;
  readonly #onRequest: (message: M) => void;
  readonly #votes: (message: M) => boolean;
  readonly #reading: Promise<void>;

  /**
   * Reads `socket` from now on, until it is closed. The socket stays the program's: to bind, to answer on, to close.
   *
   * @throws InvalidArgumentError `EINVAL`
   */
  constructor(star: BinaryStar, socket: Socket & Readable<M>, options: BinaryStarReactorOptions<M>) {
    checkKeys("BinaryStarReactor", options, ["onRequest", "votes", "maxHeld"]);
    const { onRequest, votes, maxHeld } = options;
    checkFunction("onRequest", onRequest);
    if (votes !== undefined) checkFunction("votes", votes);
    this.#onRequest = onRequest;
    this.#votes = votes ?? (() => true);
    this.#gate = new BinaryStarGate<M>(star, maxHeld === undefined ? {} : { maxHeld });
    this.#gate.passTo(onRequest);
    this.#reading = this.#read(socket);
  }

  /** Settles when the socket is closed and everything read. */
  get ended(): Promise<void> {
    return this.#reading;
  }

  stats(): BinaryStarReactorStats {
    return this.#gate.stats();
  }

  async #read(socket: Socket & Readable<M>): Promise<void> {
    for await (const message of socket) {
      if (this.#gate.admit(message, this.#votes(message))) this.#onRequest(message);
    }
    this.#gate.close();
  }
}
