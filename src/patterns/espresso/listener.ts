/** A SUB at a capture endpoint. */
import type { WaitOptions } from "../../core/waiter.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import type { PatternEndpoints } from "../../kit/endpoint-list.js";
import { anything, checkEndpoints, checkOptions, type Given, object } from "../../kit/options.js";
import { untilClosed } from "../../kit/sockets.js";
import { isEndpointSource } from "../../sockets/endpoint-source.js";
import { listen, type Received, receiveAs, SOCKET_EVENTS, type SocketEvent } from "../../sockets/internal.js";
import { Subscriber, type SubscriberOptions } from "../../sockets/pub-sub.js";
import type { ProxySide } from "../../sockets/pump.js";
import type { ReceiveManyOptions } from "../../sockets/readable.js";
import type { SocketStats } from "../../sockets/stats.js";
import type { ESPRESSO_LISTENER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { parseTrailer, sizeOf } from "./rules.js";

const OPTIONS = {
  /** Prefixes of the first frame, subscribed to at the tap. Default: all messages. */
  topics: anything<string | Uint8Array | readonly (string | Uint8Array)[]>(),
  /** Options of the SUB: security, `receiveHighWaterMark`, `context`. */
  socketOptions: object<Omit<SubscriberOptions, "codec">>(["codec"]),
};

export type EspressoListenerOptions = Given<typeof OPTIONS>;

/** A message that passed a proxy. */
export interface EspressoRecord {
  /** `undefined` from a raw capture. */
  readonly from: ProxySide | undefined;
  /** ms since 1970 when it passed the proxy; from a raw capture, when it arrived here. */
  readonly time: number;
  readonly frames: readonly Buffer[];
  /** Frames of the whole message. */
  readonly frameCount: number;
  readonly size: number;
  readonly truncated: boolean;
}

export type EspressoListenerStats = StatisticsOf<typeof ESPRESSO_LISTENER> & {
  readonly socket: SocketStats;
};

/**
 * Receives a proxy's messages, by async iteration or `receive`.
 *
 * A slow listener misses records; the tap's `stats().socket.copies.dropped` counts them.
 * {@link EspressoTap} has an example.
 */
export class EspressoListener extends Driver<SocketEvent, EspressoListenerStats> {
  readonly #socket: Subscriber;
  readonly #records: Received<EspressoRecord>;
  readonly #counts = { received: 0, raw: 0 };

  /**
   * @param taps capture endpoints of taps, or of proxies that capture to a PUB; or a source
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(taps: PatternEndpoints, options: EspressoListenerOptions = {}) {
    super("EspressoListener", SOCKET_EVENTS);
    const { topics = "", socketOptions } = checkOptions("EspressoListener", OPTIONS, options);
    const endpoints = isEndpointSource(taps) ? [taps] : checkEndpoints("EspressoListener", taps);
    this.#socket = new Subscriber({ linger: 0, ...socketOptions });
    this.#records = receiveAs(this.#socket, (message) => this.#toRecord(message));
    listen(this.#socket, (event) => this.events.emit(event));
    try {
      this.#socket.subscribe(...([topics].flat() as readonly (string | Uint8Array)[]));
      for (const endpoint of endpoints) this.#socket.connect(endpoint);
    } catch (error) {
      void this.#socket.close({ linger: 0 });
      throw error;
    }
  }

  /**
   * Waits for the next record, as a Subscriber does.
   * @throws TimeoutError `EAGAIN`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the listener closes, `EBADF` once
   *   closed; InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  receive(options?: WaitOptions): Promise<EspressoRecord> {
    return this.#records.receive(options);
  }

  /** Returns 1 to `max` records (default 1,000), like {@link receive}. */
  receiveMany(options?: ReceiveManyOptions): Promise<EspressoRecord[]> {
    return this.#records.receiveMany(options);
  }

  /** Yields records until the listener is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<EspressoRecord, undefined> {
    return untilClosed(() => this.receive());
  }

  /**
   * Settles when a tap is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenConnected(this.#socket, options);
  }

  stats(): EspressoListenerStats {
    return { ...this.#counts, socket: this.#socket.stats() };
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    await this.#socket.close({ linger: 0 });
  }

  #toRecord(message: Buffer[]): EspressoRecord {
    this.#counts.received += 1;
    const last = message[message.length - 1] as Buffer;
    const trailer = message.length > 1 ? parseTrailer(last) : undefined;
    const frames = trailer === undefined ? message : message.slice(0, -1);
    const shown = sizeOf(frames);
    if (trailer === undefined) this.#counts.raw += 1;
    const size = trailer?.size ?? shown;
    const frameCount = trailer?.frames ?? frames.length;
    return {
      from: trailer?.from,
      time: trailer?.time ?? Date.now(),
      frames,
      frameCount,
      size,
      truncated: shown < size || frames.length < frameCount,
    };
  }
}
