/**
 * Puts a gate before any server: reads the socket that clients talk to, and passes
 * on what the Binary Star admits.
 *
 *   message ──> is it a client's request? ── no ──> passed on while this server serves, else dropped
 *                        │ yes: it votes
 *                        ├─ serve ──> passed on
 *                        ├─ hold ───> kept; passed on at `active`, dropped at `votes-void` and `fatal`
 *                        └─ refuse ─> dropped: the client asks the other server
 *
 * A request that is kept is what makes the fail-over as quick as the patience
 * allows: the passive server needs no second request to become active.
 */
import { InvalidArgumentError } from "../../core/errors.js";
import { RingBuffer } from "../../core/ring-buffer.js";
import type { Readable } from "../../sockets/readable.js";
import type { Socket } from "../../sockets/socket.js";
import { checkCount, checkFunction, checkKeys } from "./check.js";
import { BinaryStar } from "./star.js";

/** Requests kept while their vote is undecided; past it the oldest is dropped. */
const MAX_HELD = 1_000;

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
export interface BinaryStarReactorStats {
  readonly received: number;
  readonly served: number;
  readonly held: number;
  /** Dropped unanswered: this server does not serve, or too many were kept. */
  readonly dropped: { readonly refused: number; readonly overflow: number };
}

export class BinaryStarReactor<M> {
  readonly #star: BinaryStar;
  readonly #onRequest: (message: M) => void;
  readonly #votes: ((message: M) => boolean) | undefined;
  readonly #maxHeld: number;
  readonly #held = new RingBuffer<M>();
  readonly #reading: Promise<void>;
  #received = 0;
  #served = 0;
  #refused = 0;
  #overflow = 0;

  /**
   * Reads `socket` from now on, until it is closed. The socket stays the program's: to bind, to answer on, to close.
   *
   * @throws InvalidArgumentError `EINVAL`
   */
  constructor(star: BinaryStar, socket: Socket & Readable<M>, options: BinaryStarReactorOptions<M>) {
    checkKeys("BinaryStarReactor", options, ["onRequest", "votes", "maxHeld"]);
    if (!(star instanceof BinaryStar)) throw new InvalidArgumentError("A reactor asks a BinaryStar");
    checkFunction("onRequest", options.onRequest);
    if (options.votes !== undefined) checkFunction("votes", options.votes);
    this.#star = star;
    this.#onRequest = options.onRequest;
    this.#votes = options.votes;
    this.#maxHeld = checkCount("maxHeld", options.maxHeld ?? MAX_HELD, 0);
    star.events
      .on("active", this.#starOnActive)
      .on("votes-void", this.#starOnVoid)
      .on("fatal", this.#starOnVoid);
    this.#reading = this.#read(socket);
  }

  /** Settles when the socket is closed and everything read. */
  get ended(): Promise<void> {
    return this.#reading;
  }

  stats(): BinaryStarReactorStats {
    return {
      received: this.#received,
      served: this.#served,
      held: this.#held.length,
      dropped: { refused: this.#refused, overflow: this.#overflow },
    };
  }

  async #read(socket: Socket & Readable<M>): Promise<void> {
    for await (const message of socket) {
      this.#received += 1;
      this.#pass(message);
    }
    const { events } = this.#star;
    events
      .off("active", this.#starOnActive)
      .off("votes-void", this.#starOnVoid)
      .off("fatal", this.#starOnVoid);
    this.#starOnVoid();
  }

  #pass(message: M): void {
    if (this.#votes !== undefined && !this.#votes(message)) {
      if (this.#star.isServing()) this.#serve(message);
      else this.#refused += 1;
      return;
    }
    switch (this.#star.admit()) {
      case "serve":
        this.#serve(message);
        break;
      case "hold":
        this.#held.push(message);
        if (this.#held.length <= this.#maxHeld) break;
        this.#held.shift();
        this.#overflow += 1;
        break;
      case "refuse":
        this.#refused += 1;
        break;
    }
  }

  #serve(message: M): void {
    this.#served += 1;
    this.#onRequest(message);
  }

  /** In a turn of its own: all listeners of `active` have run by then. */
  #starOnActive = (): void => {
    queueMicrotask(() => {
      if (!this.#star.isServing()) {
        this.#starOnVoid();
        return;
      }
      for (let held = this.#held.shift(); held !== undefined; held = this.#held.shift()) this.#serve(held);
    });
  };

  #starOnVoid = (): void => {
    this.#refused += this.#held.length;
    while (this.#held.shift() !== undefined);
  };
}
