/**
 * The connecting side of one endpoint, until it is disconnected:
 *
 *   dialling --stream--> shaking --ready--> connected
 *       ^                   |                  |
 *       +---- back-off -----+------ lost ------+
 *
 * Each attempt resolves the name anew. The pipe, if it outlives its connections,
 * carries on with the next.
 */
import type { ShoalError } from "../../core/errors.js";
import type { Connection } from "./connection.js";
import { transportError } from "./errors.js";
import type { Pipe } from "./pipe.js";
import { Backoff, type ReconnectOptions } from "./reconnect.js";
import type { Stream, Transport, TransportOptions } from "./transport/transport.js";

export interface DialerHost {
  /** A stream stands: make a connection of it, which reports to this dialer's host. */
  dialerOnStream(dialer: Dialer, stream: Stream): void;
  dialerOnDelay(dialer: Dialer): void;
  /** @param error why there is no connection */
  dialerOnRetry(dialer: Dialer, interval: number, error: ShoalError): void;
  /** A connection stands, and not the first one. */
  dialerOnReconnect(dialer: Dialer): void;
}

export class Dialer {
  readonly endpoint: string;
  readonly #transport: Transport;
  readonly #options: TransportOptions;
  readonly #host: DialerHost;
  readonly #backoff: Backoff;
  #cancel: (() => void) | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #stopped = false;
  /** The one pipe of this endpoint; with `immediate` only while connected. */
  pipe: Pipe | undefined = undefined;
  connection: Connection | undefined = undefined;
  /** It was disconnected, and goes on only for what waits in its pipe (departures.ts). */
  leaving = false;
  /** The name that a ROUTER gives the peer. */
  routingId: string | undefined = undefined;
  /** Whether a connection has stood before. */
  #wasConnected = false;

  constructor(
    endpoint: string,
    transport: Transport,
    options: TransportOptions,
    reconnect: ReconnectOptions,
    host: DialerHost,
  ) {
    this.endpoint = endpoint;
    this.#transport = transport;
    this.#options = options;
    this.#host = host;
    this.#backoff = new Backoff(reconnect);
  }

  start(): void {
    this.#host.dialerOnDelay(this);
    this.#dial();
  }

  /** The handshake is complete. */
  connected(): void {
    this.#backoff.reset();
    if (this.#wasConnected) this.#host.dialerOnReconnect(this);
    this.#wasConnected = true;
  }

  /** The connection is gone, or did not come about. */
  lost(error: ShoalError): void {
    this.connection = undefined;
    if (this.pipe?.ended === true) this.pipe = undefined; // It was that connection's own.
    if (!this.#stopped) this.#retry(error);
  }

  /** No further attempts. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    clearTimeout(this.#timer);
  }

  #dial = (): void => {
    if (this.#stopped) return; // By somebody who heard of the attempt.
    this.#cancel = this.#transport.dial(this.endpoint, this.#options, (result) => {
      this.#cancel = undefined;
      if (this.#stopped) return;
      if (result instanceof Error) this.#retry(transportError(result, "connect to", this.endpoint));
      else this.#host.dialerOnStream(this, result);
    });
  };

  #retry(error: ShoalError): void {
    const interval = this.#backoff.next();
    if (interval === undefined) return;
    this.#host.dialerOnRetry(this, interval, error);
    if (this.#stopped) return;
    this.#timer = setTimeout(this.#dial, interval).unref();
  }
}
