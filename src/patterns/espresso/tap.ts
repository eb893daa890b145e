/**
 * Espresso's tap (the Guide, chapter 5): publishes a proxy's messages to listeners.
 *
 *   publishers ──> frontend ─ Proxy ─ backend ──> subscribers
 *                        capture │
 *                          EspressoTap ── XPUB ──> EspressoListener, any SUB
 */

import { type EventsOf, event } from "../../core/event-stream.js";
import { Driver } from "../../kit/driver.js";
import { checkOptions, type Given, integer, object } from "../../kit/options.js";
import { endpointsOf, forwards } from "../../sockets/internal.js";
import { XPublisher, type XPublisherOptions } from "../../sockets/pub-sub.js";
import type { ProxySide } from "../../sockets/pump.js";
import type { SocketStats } from "../../sockets/stats.js";
import { type TapCounts, TapRules } from "./rules.js";

const OPTIONS = {
  /** Bytes of a message in its record, 256 or more; longer ones are truncated and marked. Default 65,536. */
  snapLength: integer({ default: 65_536, min: 256 }),
  /** Options of the capture socket: security, `sendHighWaterMark` (records per listener, default 1,000). */
  socketOptions: object<XPublisherOptions>(["manual", "verbosity", "invertMatching"]),
};

export type EspressoTapOptions = Given<typeof OPTIONS>;

const EVENTS = {
  "prefix:subscribed": event<{ readonly prefix: Buffer }>(),
  "prefix:unsubscribed": event<{ readonly prefix: Buffer }>(),
};

export type EspressoTapEvent = EventsOf<typeof EVENTS>;

export interface EspressoTapStats extends TapCounts {
  /** `copies.dropped` counts slow listeners' losses, if the engine can. */
  readonly socket: SocketStats;
}

/**
 * Publishes a proxy's messages without delaying it: a slow listener misses records, which `stats().socket` counts. At
 * most `sendHighWaterMark` records of `snapLength` bytes are queued per listener.
 *
 *   const tap = new EspressoTap();
 *   await tap.bind("tcp://127.0.0.1:*");
 *   const proxy = new Proxy(frontend, backend, tap.capture);
 *
 * @example
 * ```ts
 * import { Publisher, Pull, Push } from "shoal";
 * import { EspressoListener, EspressoTap } from "shoal/espresso";
 * import { Proxy as MessageProxy } from "shoal/proxy";
 *
 * const [frontend, backend, tap] = [new Pull(), new Publisher(), new EspressoTap()];
 * await Promise.all([frontend, backend, tap].map((each) => each.bind("tcp://127.0.0.1:*")));
 * new MessageProxy(frontend, backend, tap.capture).run();
 * const listener = new EspressoListener(tap.endpoints);
 * await tap.events.receive(); // The listener's subscription has arrived.
 * const source = new Push();
 * source.connect(frontend.lastEndpoint ?? "");
 * await source.send("hello");
 * console.log(String((await listener.receive()).frames)); // hello
 * await Promise.all([source, listener, tap, frontend, backend].map((each) => each.close()));
 * ```
 */
export class EspressoTap extends Driver<EspressoTapEvent, EspressoTapStats> {
  /** Pass it to the proxy, or call it with the messages that are to be seen. Never throws. */
  readonly capture: (from: ProxySide, frames: readonly Buffer[]) => void;
  readonly #socket: XPublisher;
  readonly #rules: TapRules;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: EspressoTapOptions = {}) {
    super("EspressoTap", EVENTS);
    const settings = checkOptions("EspressoTap", OPTIONS, options);
    const { snapLength, socketOptions } = settings;
    this.#rules = new TapRules(snapLength, {
      publish: (record) => this.#socket.trySend(record as Buffer[]),
      subscribed: (prefix) => this.events.emit({ type: "prefix:subscribed", prefix }),
      unsubscribed: (prefix) => this.events.emit({ type: "prefix:unsubscribed", prefix }),
    });
    const defaults = { linger: 0, sendHighWaterMark: 1_000 };
    this.#socket = new XPublisher({ ...defaults, ...socketOptions, receiveTimeout: -1 });
    forwards(this.#socket);
    this.capture = (from, frames) => {
      if (!this.stopping) this.#rules.offer(from, frames);
    };
    void this.#readSubscriptions();
  }

  /** Wildcards filled in. */
  get endpoints(): readonly string[] {
    return endpointsOf(this.#socket).bound;
  }

  /**
   * Binds an endpoint for listeners; may be called for several.
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint; TransportError as a socket's `bind`
   * @returns the endpoint, wildcards filled in
   */
  async bind(endpoint: string): Promise<string> {
    this.assertOpen();
    return this.#socket.bind(endpoint);
  }

  stats(): EspressoTapStats {
    return { ...this.#rules.stats(), socket: this.#socket.stats() };
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    await this.#socket.close({ linger });
  }

  async #readSubscriptions(): Promise<void> {
    for await (const message of this.#socket) this.#rules.receive(message);
  }
}
