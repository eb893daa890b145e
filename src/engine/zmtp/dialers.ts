/** The endpoints a socket is connected to by a byte stream. Each is dialled until it is disconnected. */
import type { ShoalError } from "../../core/errors.js";
import type { Departures } from "./departures.js";
import { Dialer, type DialerHost } from "./dialer.js";
import type { LinksHost } from "./links.js";
import { transportOptions } from "./options.js";
import type { Pipe } from "./pipe.js";
import type { Pipes } from "./pipes.js";
import type { Stream, Transport } from "./transport/transport.js";

export class Dialers implements DialerHost {
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #pipes: Pipes;
  readonly #departures: Departures;
  readonly #host: LinksHost;
  readonly #onStream: (stream: Stream, dialer: Dialer) => void;
  readonly #all = new Set<Dialer>();
  #reconnects = 0;

  constructor(
    options: Readonly<Record<string, unknown>>,
    pipes: Pipes,
    departures: Departures,
    host: LinksHost,
    onStream: (stream: Stream, dialer: Dialer) => void,
  ) {
    this.#options = options;
    this.#pipes = pipes;
    this.#departures = departures;
    this.#host = host;
    this.#onStream = onStream;
  }

  /** Connections that were made again. */
  get reconnects(): number {
    return this.#reconnects;
  }

  has(dialer: Dialer): boolean {
    return this.#all.has(dialer);
  }

  /** @param pipe the endpoint's own, if it has one before it is connected */
  connect(
    endpoint: string,
    transport: Transport,
    pipe: Pipe | undefined,
    routingId: string | undefined,
  ): void {
    const dialer = new Dialer(
      endpoint,
      transport,
      transportOptions(this.#options),
      {
        interval: Number(this.#options.reconnectInterval ?? 100),
        maxInterval: Number(this.#options.reconnectMaxInterval ?? 0),
      },
      this,
    );
    dialer.pipe = pipe;
    dialer.routingId = routingId;
    this.#all.add(dialer);
    dialer.start();
  }

  /** @returns whether there was anything to disconnect */
  disconnect(endpoint: string): boolean {
    let found = false;
    for (const dialer of [...this.#all]) {
      if (dialer.endpoint !== endpoint || dialer.leaving) continue;
      found = true;
      const { connection, pipe } = dialer;
      dialer.leaving = true;
      if (pipe !== undefined && this.#departures.begin(pipe, () => this.#give(dialer, pipe))) continue;
      this.#stop(dialer);
      if (pipe !== undefined) this.#pipes.end(pipe, "local");
      connection?.close("local"); // While it shakes hands, the pipe does not know it.
    }
    return found;
  }

  /** No further attempts. @param unlessUnsent but for those that messages wait for */
  stopAll(unlessUnsent: boolean): void {
    for (const dialer of [...this.#all]) {
      if (unlessUnsent && dialer.pipe !== undefined && dialer.pipe.out.messages > 0) continue;
      this.#stop(dialer);
    }
  }

  dialerOnStream(dialer: Dialer, stream: Stream): void {
    this.#host.event({ type: "connect", address: dialer.endpoint });
    // Whoever heard of it may have disconnected, or closed the socket.
    if (this.#all.has(dialer)) this.#onStream(stream, dialer);
    else stream.socket.destroy();
  }

  dialerOnDelay(dialer: Dialer): void {
    this.#host.event({ type: "connect:delay", address: dialer.endpoint });
  }

  dialerOnRetry(dialer: Dialer, interval: number, error: ShoalError): void {
    this.#host.event({ type: "connect:retry", address: dialer.endpoint, interval, error });
  }

  dialerOnReconnect(): void {
    this.#reconnects += 1;
  }

  /** What waited in the pipe of a dialer that was disconnected has left, or its time is over. */
  #give(dialer: Dialer, pipe: Pipe): void {
    this.#stop(dialer);
    if (pipe.link === undefined) dialer.connection?.close("local");
  }

  #stop(dialer: Dialer): void {
    dialer.stop();
    this.#all.delete(dialer);
  }
}
