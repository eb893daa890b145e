/**
 * Gate of a Binary Star in front of a server: serves, keeps or drops clients' messages.
 *
 *   message ──> does it vote? ── no ──> served while this server is active, else dropped
 *                    │ yes
 *                    ├─ serve ──> served
 *                    ├─ hold ───> kept; served when `active`, dropped at `votes:dropped` and when `fenced`
 *                    └─ refuse ─> dropped: the client asks the other server
 */
import { RingBuffer } from "../../core/collections/queues.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { costOf } from "../../core/memory.js";
import { Driver } from "../../kit/driver.js";
import { bytes, checkOptions, type Given, integer, type Settings } from "../../kit/options.js";
import type { BINARY_STAR_GATE } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { BinaryStarAdmission } from "./rules.js";
import { BinaryStar, type BinaryStarEvent } from "./star.js";

const OPTIONS = {
  /** Queued requests; 0: none. Default 1,000. */
  maxQueue: integer({ default: 1_000, min: 0 }),
  /** Bytes of their frames. Default 64 MiB. */
  maxQueueBytes: bytes({ default: 67_108_864 }),
};

/** Bounds of queued requests; the oldest are dropped first. */
export type BinaryStarGateOptions = Given<typeof OPTIONS>;

export const GATE_EVENTS = {
  /**
   * Messages were dropped; clients try the other server. `not-serving`: not active, or draining. `overflow`: a bound
   * was reached.
   */
  "request:dropped": event<{ readonly reason: "not-serving" | "overflow"; readonly messages: number }>(),
};

export type BinaryStarGateEvent = EventsOf<typeof GATE_EVENTS>;

/** Statistics: received = served + dropped + queued. */
export type BinaryStarGateStats = StatisticsOf<typeof BINARY_STAR_GATE>;

/**
 * Makes a server half of a pair: option `gate` of `MajordomoBroker`, `PirateQueue`, `LoadBalancer`, `FederatedBroker`,
 * `FreelanceServer`, `LastValueCache` and `SequencedPublisher`, or called by your own server. One gate per server.
 *
 * `drain` refuses new requests, as before a hand-over; answers may still leave. `close` drops queued requests.
 * {@link BinaryStar} has an example.
 */
export class BinaryStarGate extends Driver<BinaryStarGateEvent, BinaryStarGateStats> {
  readonly #star: BinaryStar;
  readonly #settings: Settings<typeof OPTIONS>;
  readonly #queue = new RingBuffer<Buffer[]>();
  #queuedBytes = 0;
  #serve: (message: Buffer[]) => void = () => undefined;
  readonly #onServing: (() => void)[] = [];
  readonly #counts = { received: 0, served: 0, refused: 0, overflow: 0 };

  /** @throws InvalidArgumentError `EINVAL` without a Binary Star, for an unknown option or a bad value */
  constructor(star: BinaryStar, options: BinaryStarGateOptions = {}) {
    super("BinaryStarGate", GATE_EVENTS);
    this.#settings = checkOptions("BinaryStarGate", OPTIONS, options);
    if (!(star instanceof BinaryStar))
      throw new InvalidArgumentError("BinaryStarGate is constructed with a BinaryStar");
    this.#star = star;
    star.events.on("state:changed", this.#starOnState).on("votes:dropped", this.#dropHeld);
  }

  /** @param serve gets queued requests after a failover; its errors are uncaught */
  passTo(serve: (message: Buffer[]) => void): void {
    this.#serve = serve;
  }

  isServing(): boolean {
    return this.#star.isServing();
  }

  /** Casts a vote without a message. @returns whether to serve now */
  vote(): boolean {
    return !this.stopping && this.#star.admit() === "serve";
  }

  /** @param listener called after queued requests were served */
  onServing(listener: () => void): void {
    this.#onServing.push(listener);
  }

  admit(message: Buffer[], votes: boolean): boolean {
    this.#counts.received += 1;
    switch (this.#admission(votes)) {
      case "serve":
        this.#counts.served += 1;
        return true;
      case "hold":
        this.#hold(message);
        break;
      case "refuse":
        this.#counts.refused += 1;
        this.events.emit({ type: "request:dropped", reason: "not-serving", messages: 1 });
        break;
    }
    return false;
  }

  stats(): BinaryStarGateStats {
    const { received, served, ...dropped } = this.#counts;
    return { received, served, queued: this.#queue.length, queuedBytes: this.#queuedBytes, dropped };
  }

  /** @internal */
  protected override async onDrain(): Promise<void> {
    this.#dropHeld();
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#star.events.off("state:changed", this.#starOnState).off("votes:dropped", this.#dropHeld);
    this.#dropHeld();
  }

  #admission(votes: boolean): BinaryStarAdmission {
    if (!votes) return this.#star.isServing() ? "serve" : "refuse";
    return this.stopping ? "refuse" : this.#star.admit();
  }

  #hold(message: Buffer[]): void {
    this.#queue.push(message);
    this.#queuedBytes += costOf(message);
    const { maxQueue, maxQueueBytes } = this.#settings;
    let dropped = 0;
    for (; this.#queue.length > maxQueue || this.#queuedBytes > maxQueueBytes; dropped++)
      this.#queuedBytes -= costOf(this.#queue.shift() as Buffer[]);
    if (dropped === 0) return;
    this.#counts.overflow += dropped;
    this.events.emit({ type: "request:dropped", reason: "overflow", messages: dropped });
  }

  #starOnState = ({ state }: BinaryStarEvent & { readonly type: "state:changed" }): void => {
    if (state === "fenced") this.#dropHeld();
    // Listeners of `active` run first.
    else if (state === "active") queueMicrotask(this.#serveHeld);
  };

  #serveHeld = (): void => {
    if (!this.#star.isServing()) {
      this.#dropHeld();
      return;
    }
    for (let message = this.#queue.shift(); message !== undefined; message = this.#queue.shift()) {
      this.#queuedBytes -= costOf(message);
      this.#counts.served += 1;
      this.#serve(message);
    }
    for (const listener of this.#onServing) listener();
  };

  #dropHeld = (): void => {
    const { length } = this.#queue;
    if (length === 0) return;
    this.#queue.clear();
    this.#queuedBytes = 0;
    this.#counts.refused += length;
    this.events.emit({ type: "request:dropped", reason: "not-serving", messages: length });
  };
}
