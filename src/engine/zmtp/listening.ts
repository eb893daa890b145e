/** The bound endpoints of one socket, and the admission of their peers. */
import { type ShoalError, TransportError } from "../../core/errors.js";
import type { HttpServerEndpoint } from "../../core/schemes/grammar.js";
import type { Admission } from "./admission.js";
import type { Connection } from "./connection.js";
import type { Connections } from "./connections.js";
import { HandshakeLimit } from "./handshake-limit.js";
import { handshakeFault } from "./mechanism/mechanism.js";
import { transportOptions } from "./options.js";
import type { SocketState } from "./socket-state.js";
import type { Acceptor, Binder, Listener, Stream } from "./transport/transport.js";

interface EndpointAcceptor extends Acceptor {
  endpoint: string;
}

export interface ListeningParts {
  readonly state: SocketState;
  readonly admission: Admission;
  readonly connections: Connections;
}

export class Listening {
  readonly #parts: ListeningParts;
  readonly #listeners = new Set<Listener>();
  readonly #handshakes: HandshakeLimit<Connection>;
  #stopped = false;

  constructor(parts: ListeningParts) {
    this.#parts = parts;
    const { state, connections } = parts;
    this.#handshakes = new HandshakeLimit<Connection>(
      () => state.options.maxPendingHandshakes,
      (connection, limit) =>
        connection.fail(
          handshakeFault(
            `the handshake of ${connection.remote} was evicted by a new one: ${limit} were in flight`,
          ),
        ),
    );
    connections.onHandshakeOver = (connection) => this.#handshakes.delete(connection);
    connections.onHandshake = (connection) => this.#handshakes.add(connection, connection.address);
  }

  get bound(): number {
    return this.#listeners.size;
  }

  async bind(endpoint: string, binder: Binder, server?: HttpServerEndpoint["server"]): Promise<string> {
    const options = transportOptions(this.#parts.state.options);
    binder.assertUsable?.("bind", options);
    const acceptor = this.#acceptor();
    let listener: Listener;
    try {
      listener = await binder.listen(endpoint, options, acceptor, server);
    } catch (error) {
      throw this.#failed(endpoint, error as ShoalError);
    }
    if (this.#stopped) {
      await listener.close();
      throw closedMeanwhile(endpoint);
    }
    return this.#isBound(listener, acceptor);
  }

  bindSync(endpoint: string, binder: Binder): string {
    const options = transportOptions(this.#parts.state.options);
    binder.assertUsable?.("bind", options);
    const acceptor = this.#acceptor();
    let listener: Listener;
    try {
      listener = binder.listenSync(endpoint, options, acceptor);
    } catch (error) {
      throw this.#failed(endpoint, error as ShoalError);
    }
    return this.#isBound(listener, acceptor);
  }

  /** HTTP servers that do not listen yet have one name. */
  async unbind(endpoint: string): Promise<void> {
    const { effects } = this.#parts.state;
    // The endpoint may be bound again meanwhile.
    for (const listener of [...this.#listeners]) {
      if (listener.endpoint !== endpoint) continue;
      this.#listeners.delete(listener);
      const closed = listener.close();
      effects.changed();
      await closed;
      effects.event({ type: "close", address: endpoint });
    }
  }

  stop(): void {
    this.#stopped = true;
    const { effects } = this.#parts.state;
    for (const listener of this.#listeners) {
      const { endpoint: address } = listener;
      listener.close().catch((error: ShoalError) => effects.event({ type: "close:error", address, error }));
      effects.event({ type: "close", address });
    }
    this.#listeners.clear();
  }

  #acceptor(): EndpointAcceptor {
    const { state, admission, connections } = this.#parts;
    const acceptor: EndpointAcceptor = {
      endpoint: "",
      accepted: (stream) => {
        if (this.#stopped) stream.socket.destroy();
        else this.#accept(stream, acceptor.endpoint);
      },
      admits: (address) => connections.admits(address),
      refused: (address, fault) => {
        connections.onHandshakeFault(fault, address, true);
        admission.report(fault, acceptor.endpoint, { address, remote: address });
      },
      failed: (error) => {
        state.effects.event({ type: "accept:error", address: acceptor.endpoint, error });
      },
    };
    return acceptor;
  }

  #accept(stream: Stream, endpoint: string): void {
    const { state, connections } = this.#parts;
    const { routing, options, effects } = state;
    if (!connections.admits(stream.address)) {
      stream.socket.destroy();
      return;
    }
    if (routing.tooManyOrphans()) {
      this.#refuse(stream, endpoint, "too many peers have left messages that were not taken");
      return;
    }
    const most = options.maxConnections;
    const isFull = connections.accepted >= most;
    if (isFull && !this.#handshakes.evictOne()) {
      this.#refuse(stream, endpoint, `there are ${most} connections already (maxConnections)`);
      return;
    }
    effects.event({ type: "accept", address: endpoint });
    // A listener of the event may have closed the socket.
    if (state.closing) {
      stream.socket.destroy();
      return;
    }
    const connection = connections.open(stream, endpoint, undefined);
    if (connection === undefined) return;
    this.#handshakes.add(connection, stream.address);
    connection.start();
  }

  #refuse(stream: Stream, endpoint: string, why: string): void {
    stream.socket.destroy();
    const error = new TransportError("EMFILE", `Refused ${stream.remote}: ${why}`, { endpoint });
    this.#parts.state.effects.event({ type: "accept:error", address: endpoint, error });
  }

  #failed(endpoint: string, error: ShoalError): ShoalError {
    this.#parts.state.effects.event({ type: "bind:error", address: endpoint, error });
    return error;
  }

  #isBound(listener: Listener, acceptor: EndpointAcceptor): string {
    const { effects } = this.#parts.state;
    acceptor.endpoint = listener.endpoint;
    this.#listeners.add(listener);
    effects.event({ type: "bind", address: listener.endpoint });
    effects.changed();
    // A listener of the event may have unbound it.
    if (this.#listeners.has(listener)) listener.isListed?.();
    return listener.endpoint;
  }
}

function closedMeanwhile(endpoint: string): TransportError {
  return new TransportError("EADDRNOTAVAIL", `Cannot bind ${endpoint}: the socket closed meanwhile`, {
    endpoint,
  });
}
