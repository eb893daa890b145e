/** The endpoints a socket is bound to, and the streams that come in through them. */
import { type ShoalError, TransportError } from "../../core/errors.js";
import type { InprocNames } from "./inproc-names.js";
import type { InprocPeers } from "./inproc-peers.js";
import type { LinksHost } from "./links.js";
import { transportOptions } from "./options.js";
import { type Acceptor, type Listener, type Stream, schemeOf, TRANSPORTS } from "./transport/transport.js";

/** Knows for which endpoint it accepts. */
interface EndpointAcceptor extends Acceptor {
  endpoint: string;
}

export class Bindings {
  readonly #names: InprocNames;
  readonly #inproc: InprocPeers;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #host: LinksHost;
  readonly #onStream: (stream: Stream, endpoint: string) => void;
  /** With the endpoint as the program gave it; a wildcard may be given many times. */
  readonly #listeners = new Map<Listener, string>();
  #closed = false;

  constructor(
    names: InprocNames,
    inproc: InprocPeers,
    options: Readonly<Record<string, unknown>>,
    host: LinksHost,
    onStream: (stream: Stream, endpoint: string) => void,
  ) {
    this.#names = names;
    this.#inproc = inproc;
    this.#options = options;
    this.#host = host;
    this.#onStream = onStream;
  }

  get size(): number {
    return this.#listeners.size;
  }

  async bind(endpoint: string): Promise<string> {
    const transport = TRANSPORTS.get(schemeOf(endpoint));
    if (transport === undefined) return this.bindSync(endpoint);
    const acceptor = this.#acceptor();
    let listener: Listener;
    try {
      listener = await transport.listen(endpoint, transportOptions(this.#options), acceptor);
    } catch (error) {
      throw this.#failed(endpoint, error as ShoalError);
    }
    if (this.#closed) {
      await listener.close();
      throw new TransportError("EADDRNOTAVAIL", `Cannot bind ${endpoint}: the socket closed meanwhile`, {
        endpoint,
      });
    }
    return this.#isBound(endpoint, listener, acceptor);
  }

  bindSync(endpoint: string): string {
    const transport = TRANSPORTS.get(schemeOf(endpoint));
    const acceptor = this.#acceptor();
    let listener: Listener;
    try {
      listener =
        transport?.listenSync(endpoint, transportOptions(this.#options), acceptor) ?? this.#name(endpoint);
    } catch (error) {
      throw this.#failed(endpoint, error as ShoalError);
    }
    // Listed first: peers that waited for the name meet it within the call.
    this.#isBound(endpoint, listener, acceptor);
    if (transport === undefined && this.#listeners.has(listener)) this.#names.bind(endpoint, this.#inproc);
    return listener.endpoint;
  }

  async unbind(endpoint: string): Promise<void> {
    for (const [listener, given] of this.#listeners) {
      if (given !== endpoint && listener.endpoint !== endpoint) continue;
      this.#listeners.delete(listener);
      const closed = listener.close();
      this.#host.changed();
      await closed;
      this.#host.event({ type: "close", address: listener.endpoint });
      return;
    }
    throw new TransportError("ENOENT", `Cannot unbind ${endpoint}: the socket is not bound to it`, {
      endpoint,
    });
  }

  /** Nobody comes in any more. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#listeners.keys()) {
      void listener.close();
      this.#host.event({ type: "close", address: listener.endpoint });
    }
    this.#listeners.clear();
  }

  #acceptor(): EndpointAcceptor {
    const acceptor: EndpointAcceptor = {
      endpoint: "",
      accepted: (stream) => {
        if (this.#closed) stream.socket.destroy();
        else this.#onStream(stream, acceptor.endpoint);
      },
      failed: (error) => {
        this.#host.event({ type: "accept:error", address: acceptor.endpoint, error });
      },
    };
    return acceptor;
  }

  /** An inproc name as a listener, not yet bound. */
  #name(endpoint: string): Listener {
    this.#names.assertFree(endpoint);
    return { endpoint, close: async () => this.#names.unbind(endpoint) };
  }

  /** Told, and given back to be thrown. */
  #failed(endpoint: string, error: ShoalError): ShoalError {
    this.#host.event({ type: "bind:error", address: endpoint, error });
    return error;
  }

  #isBound(given: string, listener: Listener, acceptor: EndpointAcceptor): string {
    acceptor.endpoint = listener.endpoint;
    this.#listeners.set(listener, given);
    this.#host.event({ type: "bind", address: listener.endpoint });
    this.#host.changed();
    return listener.endpoint;
  }
}
