/**
 * Espresso's tap (the Guide, chapter 5): sits at a proxy's capture side and tells listeners what passes.
 *
 *   publishers ──> frontend ─ Proxy ─ backend ──> subscribers
 *                        capture │
 *                          EspressoTap ── XPUB ──> EspressoListener, any SUB
 */
import { randomInt } from "node:crypto";
import { type Clock, systemClock } from "../../core/clock.js";
import { EventStream } from "../../core/event-stream.js";
import type { Context } from "../../sockets/context.js";
import { XPublisher, type XPublisherOptions } from "../../sockets/pub-sub.js";
import type { SocketStats } from "../../sockets/stats.js";
import { checkCount, checkKeys } from "../kit/options.js";
import type { TapFilter, TapSample } from "./filter.js";
import type { Side } from "./protocol.js";
import { type TapCounts, TapRules } from "./tap-rules.js";

/** Bytes of a message that its record shows, unless it is told otherwise. */
const SNAP_LENGTH = 65_536;
/** The least that can be chosen: topic prefixes of this length are numbered. */
const MIN_SNAP_LENGTH = 256;
/** Records that wait for one slow listener, unless it is told otherwise. */
const QUEUED = 1_000;
/** ms between two events about a predicate that throws. */
const QUIET = 1_000;

/** Options of {@link EspressoTap}. */
export interface EspressoTapOptions {
  /** Which messages become records. Default: all. */
  readonly filter?: TapFilter;
  /** How many of those. Default: all. */
  readonly sample?: TapSample;
  /** Bytes of a message that its record shows, 256 or more; the rest is cut off, and marked so. Default 65,536. */
  readonly snapLength?: number;
  /** For the capture socket: security, `sendHighWaterMark` (records that wait for one listener, default 1,000). */
  readonly socketOptions?: XPublisherOptions;
  readonly context?: Context;
  /** Where the time of the sample comes from; for tests. */
  readonly clock?: Clock;
}

/** What happens at a tap. */
export type TapEvent =
  /** Somebody listens to a prefix that nobody listened to before. */
  | { readonly type: "subscribe"; readonly prefix: Buffer }
  /** The last listener to a prefix is gone. */
  | { readonly type: "unsubscribe"; readonly prefix: Buffer }
  /** The filter's `where` threw, so often since the last such event; at most one event a second. */
  | { readonly type: "predicate:failed"; readonly error: unknown; readonly times: number };

/** A tap's accounts. */
export interface TapStats extends TapCounts {
  /** The capture socket's. `copies.dropped` is what slow listeners missed, where the engine can tell. */
  readonly socket: SocketStats;
}

/**
 * Tells listeners what passes a proxy, and never holds it up: a listener that is too slow misses records, and finds out
 * how many. What waits for one listener is at most `sendHighWaterMark` records of `snapLength` bytes.
 *
 *   const tap = new EspressoTap();
 *   await tap.bind("tcp://127.0.0.1:*");
 *   const proxy = new Proxy(frontend, backend, tap.capture);
 */
export class EspressoTap {
  readonly events: EventStream<TapEvent> = new EventStream();
  /** For the proxy: to be called with each message that passed, and the side it came from. Never throws. */
  readonly capture: (from: Side, frames: readonly Buffer[]) => void;
  readonly #socket: XPublisher;
  readonly #rules: TapRules;
  readonly #hearing: Promise<void>;
  #failures = 0;
  #told = Number.NEGATIVE_INFINITY;
  #closing: Promise<void> | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: EspressoTapOptions = {}) {
    checkKeys("EspressoTap", options, [
      "filter",
      "sample",
      "snapLength",
      "socketOptions",
      "context",
      "clock",
    ]);
    const { filter = {}, sample = {}, clock = systemClock, context, socketOptions } = options;
    const snapLength = checkCount("snapLength", options.snapLength ?? SNAP_LENGTH, MIN_SNAP_LENGTH);
    this.#rules = new TapRules(
      { filter, sample, snapLength, generation: randomInt(2 ** 32) },
      {
        publish: (record) => this.#socket.trySend(record as Buffer[]),
        subscribed: (prefix) => this.events.emit({ type: "subscribe", prefix }),
        unsubscribed: (prefix) => this.events.emit({ type: "unsubscribe", prefix }),
        predicateFailed: (error) => this.#predicateFailed(error, clock.now()),
      },
      clock,
      { now: Date.now },
    );
    this.#socket = new XPublisher({
      linger: 0,
      sendHighWaterMark: QUEUED,
      ...(context === undefined ? {} : { context }),
      ...socketOptions,
    });
    this.capture = (from, frames) => {
      if (this.#closing === undefined) this.#rules.offer(from, frames);
    };
    this.#hearing = this.#hear();
  }

  /** Where listeners connect, wildcards filled in; `null` before {@link bind}. */
  get endpoint(): string | null {
    return this.#socket.lastEndpoint;
  }

  /**
   * Listeners can connect from now on; may be called for several endpoints.
   *
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint; TransportError as a socket's `bind` does
   * @returns the endpoint, wildcards filled in
   */
  async bind(endpoint: string): Promise<string> {
    await this.#socket.bind(endpoint);
    return this.#socket.lastEndpoint as string;
  }

  stats(): TapStats {
    return { ...this.#rules.stats(), socket: this.#socket.stats() };
  }

  /**
   * Tells nothing any more; the proxy goes on. Closing twice is closing once.
   *
   * @param options linger: ms for records to leave. Default 0
   */
  close(options: { readonly linger?: number } = {}): Promise<void> {
    this.#closing ??= (async () => {
      await this.#socket.close({ linger: options.linger ?? 0 });
      await this.#hearing;
      this.events.close();
    })();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #hear(): Promise<void> {
    for await (const message of this.#socket) this.#rules.receive(message);
  }

  #predicateFailed(error: unknown, now: number): void {
    this.#failures += 1;
    if (now - this.#told < QUIET) return;
    this.#told = now;
    this.events.emit({ type: "predicate:failed", error, times: this.#failures });
    this.#failures = 0;
  }
}
