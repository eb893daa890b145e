/**
 * The gate of a Binary Star before a server: what the clients of a server of a pair
 * send is served, kept or dropped.
 *
 *   message ──> does it vote? ── no ──> served while this server is active, else dropped
 *                    │ yes
 *                    ├─ serve ──> served
 *                    ├─ hold ───> kept; served at `active`, dropped at `votes-void` and `fatal`
 *                    └─ refuse ─> dropped: the client asks the other server
 *
 * A request that is kept is what makes the fail-over as quick as the patience
 * allows: the passive server needs no second request to become active.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { checkCount, checkKeys } from "../kit/options.js";
import type { Admission } from "./rules.js";
import { BinaryStar } from "./star.js";

/** Requests kept while their vote is undecided; past it the oldest is dropped. */
const MAX_HELD = 1_000;

/** How a gate keeps messages. */
export interface BinaryStarGateOptions {
  /** Requests kept at most. Default 1,000. */
  readonly maxHeld?: number;
}

/** Every message that came is in exactly one: received = served + dropped + held. */
export interface BinaryStarGateStats {
  readonly received: number;
  readonly served: number;
  readonly held: number;
  /** Dropped unanswered: this server does not serve, or too many were kept. */
  readonly dropped: { readonly refused: number; readonly overflow: number };
}

/**
 * Makes a server one of a pair: the option `gate` of `MajordomoBroker`, `PirateQueue`,
 * `LoadBalancer` and `FederatedBroker` (`ServerGate`), or asked by a server of the
 * program's own. One server has one.
 */
export class BinaryStarGate<M = Buffer[]> {
  readonly #star: BinaryStar;
  readonly #maxHeld: number;
  readonly #held = new RingBuffer<M>();
  #serve: (message: M) => void = () => undefined;
  #received = 0;
  #served = 0;
  #refused = 0;
  #overflow = 0;
  #draining = false;

  /** @throws InvalidArgumentError `EINVAL` for no Binary Star, an unknown option or a bad value */
  constructor(star: BinaryStar, options: BinaryStarGateOptions = {}) {
    checkKeys("BinaryStarGate", options, ["maxHeld"]);
    if (!(star instanceof BinaryStar)) throw new InvalidArgumentError("A gate asks a BinaryStar");
    this.#star = star;
    this.#maxHeld = checkCount("maxHeld", options.maxHeld ?? MAX_HELD, 0);
    star.events
      .on("active", this.#starOnActive)
      .on("votes-void", this.#starOnVoid)
      .on("fatal", this.#starOnVoid);
  }

  passTo(serve: (message: M) => void): void {
    this.#serve = serve;
  }

  isServing(): boolean {
    return this.#star.isServing();
  }

  admit(message: M, votes: boolean): boolean {
    this.#received += 1;
    switch (this.#admission(votes)) {
      case "serve":
        this.#served += 1;
        return true;
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
    return false;
  }

  stats(): BinaryStarGateStats {
    return {
      received: this.#received,
      served: this.#served,
      held: this.#held.length,
      dropped: { refused: this.#refused, overflow: this.#overflow },
    };
  }

  /** Lets no request through any more, so that clients ask the other server; answers may leave. Before a hand-over. */
  drain(): void {
    this.#draining = true;
    this.#starOnVoid();
  }

  /** Drops what is kept, and hears no more of the star. */
  close(): void {
    this.#star.events
      .off("active", this.#starOnActive)
      .off("votes-void", this.#starOnVoid)
      .off("fatal", this.#starOnVoid);
    this.#starOnVoid();
  }

  #admission(votes: boolean): Admission {
    if (!votes) return this.#star.isServing() ? "serve" : "refuse";
    return this.#draining ? "refuse" : this.#star.admit();
  }

  /** In a turn of its own: all listeners of `active` have run by then. */
  #starOnActive = (): void => {
    queueMicrotask(() => {
      if (!this.#star.isServing()) {
        this.#starOnVoid();
        return;
      }
      for (let held = this.#held.shift(); held !== undefined; held = this.#held.shift()) {
        this.#served += 1;
        this.#serve(held);
      }
    });
  };

  #starOnVoid = (): void => {
    this.#refused += this.#held.length;
    while (this.#held.shift() !== undefined);
  };
}
