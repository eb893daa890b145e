/**
 * The endpoints of one socket: bound and connected.
 *
 *   bound --stream--> connections.accept
 *
 *   dialling --stream--> connections.open --ready--> connected
 *       ^                        |                       |
 *       +------- back-off -------+--------- lost --------+
 *
 * Each attempt resolves the name again.
 */
import { NotSupportedError, type ShoalError, TransportError } from "../../core/errors.js";
import { type HttpServerEndpoint, schemeOf } from "../../core/schemes/grammar.js";
import type { EngineEndpoints } from "../engine.js";
import { Admission } from "./admission.js";
import { Connections } from "./connections.js";
import type { Datagrams } from "./datagrams.js";
import { Dialer } from "./dialer.js";
import { transportError } from "./errors.js";
import type { InprocNames, InprocPeers } from "./inproc.js";
import { transportOptions } from "./options.js";
import type { EngineParts } from "./parts.js";
import type { Peers } from "./peers.js";
import type { Pipe } from "./pipe.js";
import type { SocketState } from "./socket-state.js";
import {
  type Acceptor,
  type Binder,
  DialFault,
  type Listener,
  type Stream,
  type Transport,
} from "./transport/transport.js";

interface EndpointAcceptor extends Acceptor {
  endpoint: string;
}

export class Endpoints implements EngineEndpoints {
  readonly connections: Connections;
  readonly #state: SocketState;
  readonly #peers: Peers;
  readonly #admission: Admission;
  readonly #parts: EngineParts;
  readonly #names: () => InprocNames | undefined;
  // Most sockets have endpoints of one kind.
  #inproc: InprocPeers | undefined = undefined;
  #datagrams: Datagrams | undefined = undefined;
  readonly #listeners = new Set<Listener>();
  #isListeningOver = false;
  readonly #connected = new Set<Dialer>();

  constructor(parts: EngineParts, state: SocketState, peers: Peers, names: () => InprocNames | undefined) {
    this.#parts = parts;
    this.#state = state;
    this.#peers = peers;
    this.#names = names;
    this.#admission = new Admission(state, parts);
    this.connections = new Connections(state, peers, this.#admission, parts.raw);
  }

  get #inprocPeers(): InprocPeers {
    this.#inproc ??= this.#names()?.peersOf(this.#state, this.#peers, this.connections);
    if (this.#inproc === undefined) throw noTransport("inproc", "inproc://");
    return this.#inproc;
  }

  /** `undefined` for another scheme. */
  #datagramsAt(endpoint: string): Datagrams | undefined {
    if (schemeOf(endpoint) !== "udp") return undefined;
    this.#datagrams ??= this.#parts.datagrams?.(this.#state, this.#peers);
    return this.#datagrams;
  }

  get bound(): number {
    return this.#listeners.size;
  }

  async bind(endpoint: string, server?: HttpServerEndpoint["server"]): Promise<string> {
    const binder = this.#binderAt(endpoint);
    const acceptor = this.#acceptor();
    const options = transportOptions(this.#state.options);
    const listener = await binder.listen(endpoint, options, acceptor, server).catch((error: ShoalError) => {
      throw this.#bindFailed(endpoint, error);
    });
    if (this.#isListeningOver) {
      await listener.close();
      const message = `Cannot bind ${endpoint}: the socket closed meanwhile`;
      throw new TransportError("EADDRNOTAVAIL", message, { endpoint });
    }
    return this.#isBound(listener, acceptor);
  }

  bindSync(endpoint: string): string {
    const binder = this.#binderAt(endpoint);
    const acceptor = this.#acceptor();
    let listener: Listener;
    try {
      listener = binder.listenSync(endpoint, transportOptions(this.#state.options), acceptor);
    } catch (error) {
      throw this.#bindFailed(endpoint, error as ShoalError);
    }
    return this.#isBound(listener, acceptor);
  }

  /** @throws ShoalError for options that do not fit */
  #binderAt(endpoint: string): Binder {
    this.#admission.check();
    const binder: Binder = this.#datagramsAt(endpoint) ?? this.#transportOf(endpoint) ?? this.#inprocPeers;
    binder.assertUsable?.("bind", this.#state.options, endpoint);
    return binder;
  }

  #acceptor(): EndpointAcceptor {
    const { connections } = this;
    const acceptor: EndpointAcceptor = {
      endpoint: "",
      accepted: (stream) => {
        if (this.#isListeningOver) stream.socket.destroy();
        else connections.accept(stream, acceptor.endpoint);
      },
      admits: (address) => connections.admits(address),
      refused: (address, fault) => {
        connections.onHandshakeFault(fault, address, true);
        this.#admission.report(fault, acceptor.endpoint, { address, remote: address });
      },
      failed: (error) => {
        this.#state.effects.event({ type: "accept:error", address: acceptor.endpoint, error });
      },
    };
    return acceptor;
  }

  #bindFailed(endpoint: string, error: ShoalError): ShoalError {
    this.#state.effects.event({ type: "bind:error", address: endpoint, error });
    return error;
  }

  #isBound(listener: Listener, acceptor: EndpointAcceptor): string {
    const { effects } = this.#state;
    acceptor.endpoint = listener.endpoint;
    this.#listeners.add(listener);
    effects.event({ type: "bind", address: listener.endpoint });
    effects.changed();
    // A listener of the event may have unbound it.
    if (this.#listeners.has(listener)) listener.isListed?.();
    return listener.endpoint;
  }

  /** HTTP servers that do not listen yet have one name. */
  async unbind(endpoint: string): Promise<void> {
    const { effects } = this.#state;
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

  connect(endpoint: string, routingId: string | undefined): Uint8Array | undefined {
    this.#admission.check();
    for (const dialer of this.#connected) {
      // With a routing id, the peer would refuse a second connection beside the one that still hears replies.
      const { pipe } = dialer;
      if (dialer.endpoint !== endpoint || pipe === undefined || !this.#peers.reclaim(pipe)) continue;
      dialer.leaving = false;
      return pipe.routingId;
    }
    const { options, type } = this.#state;
    const datagrams = this.#datagramsAt(endpoint);
    if (datagrams !== undefined) {
      datagrams.assertUsable("connect", options, endpoint);
      this.#start(datagrams.connect(endpoint));
      return undefined;
    }
    const transport = this.#transportOf(endpoint);
    transport?.assertUsable?.("connect", options, endpoint);
    // The pipe queues messages before the connection is open.
    const immediate = options.immediate === true && transport !== undefined;
    const raw = type === "Stream";
    // Before it connects, only a named raw peer can be sent to. No message may reach the next conversation.
    const pipe = immediate || (raw && routingId === undefined) ? undefined : this.#peers.make(endpoint, !raw);
    if (pipe !== undefined) {
      if (routingId !== undefined) pipe.routingId = Buffer.from(routingId);
      this.#peers.add(pipe);
    }
    if (transport === undefined) this.#start(this.#inprocPeers.connect(endpoint, routingId, pipe as Pipe));
    else this.#start(this.#streamDialer(endpoint, routingId, pipe, transport));
    return pipe?.routingId;
  }

  #streamDialer(
    endpoint: string,
    routingId: string | undefined,
    pipe: Pipe | undefined,
    transport: Transport,
  ): Dialer {
    const { effects, options: live } = this.#state;
    const options = transportOptions(live);
    return new Dialer(this.#state, {
      endpoint,
      routingId,
      pipe,
      options,
      begin: () => effects.event({ type: "connect:delay", address: endpoint }),
      attempt: (dialer) =>
        transport.dial(endpoint, options, (result) => {
          if (!dialer.attempted()) return;
          if (result instanceof DialFault) {
            const error = this.#admission.report(result.fault, endpoint);
            dialer.retry(() => error);
          } else if (result instanceof Error)
            dialer.retry(() => transportError(result, "connect to", endpoint));
          else this.#dialled(dialer, result);
        }),
    });
  }

  #start(dialer: Dialer): void {
    this.#connected.add(dialer);
    // As libzmq, a socket ends an endpoint that it does not dial again: messages would wait there forever.
    dialer.onOver = () => {
      this.#stop(dialer);
      if (dialer.pipe !== undefined) this.#peers.giveUp(dialer.pipe);
      if (!dialer.leaving) this.#state.listener.engineOnOver?.(dialer.endpoint);
    };
    dialer.start();
  }

  disconnect(endpoint: string, bound?: number): void {
    for (const dialer of [...this.#connected]) {
      if (dialer.endpoint !== endpoint || dialer.leaving) continue;
      const { connection, pipe } = dialer;
      dialer.leaving = true;
      if (pipe !== undefined && this.#peers.leave(pipe, () => this.#giveUp(dialer, pipe), bound)) continue;
      this.#stop(dialer);
      if (pipe !== undefined) this.#peers.end(pipe, "local");
      connection?.close("local"); // A handshaking connection is not linked to the pipe.
    }
  }

  stopListening(): void {
    this.#isListeningOver = true;
    const { effects } = this.#state;
    for (const listener of this.#listeners) {
      const { endpoint: address } = listener;
      listener.close().catch((error: ShoalError) => effects.event({ type: "close:error", address, error }));
      effects.event({ type: "close", address });
    }
    this.#listeners.clear();
  }

  /** @param unlessUnsent spares endpoints with queued messages */
  stopDialling(unlessUnsent: boolean): void {
    for (const dialer of [...this.#connected]) {
      if (unlessUnsent && dialer.pipe !== undefined && dialer.pipe.out.messages > 0) continue;
      this.#stop(dialer);
    }
  }

  #dialled(dialer: Dialer, stream: Stream): void {
    this.#state.effects.event({ type: "connect", address: dialer.endpoint });
    // A listener of the event may have disconnected or closed the socket.
    if (!dialer.stopped) this.connections.open(stream, dialer.endpoint, dialer)?.start();
    else stream.socket.destroy();
  }

  /** `undefined` for inproc. @throws TransportError `EPROTONOSUPPORT` if the platform lacks the transport */
  #transportOf(endpoint: string): Transport | undefined {
    const scheme = schemeOf(endpoint);
    const transport = this.#state.platform.transports.get(scheme);
    if (transport === undefined && (scheme !== "inproc" || this.#state.names === undefined))
      throw noTransport(scheme, endpoint);
    if (this.#state.type === "Stream" && (transport === undefined || transport.raw === false))
      throw new NotSupportedError(`A Stream has no ${scheme}: use tcp`);
    return transport;
  }

  #giveUp(dialer: Dialer, pipe: Pipe): void {
    this.#stop(dialer);
    if (pipe.link === undefined) dialer.connection?.close("local");
  }

  #stop(dialer: Dialer): void {
    dialer.stop();
    this.#connected.delete(dialer);
  }
}

function noTransport(scheme: string, endpoint: string): TransportError {
  return new TransportError("EPROTONOSUPPORT", `${endpoint}: there is no transport ${scheme} here`, {
    endpoint,
  });
}
