/**
 * The endpoints of one socket: bound (listening.ts) and connected.
 *
 *   dialling --stream--> connections.open --ready--> connected
 *       ^                        |                       |
 *       +------- back-off -------+--------- lost --------+
 *
 * Each attempt resolves the name again.
 */
import { NotSupportedError, TransportError } from "../../core/errors.js";
import { type HttpServerEndpoint, schemeOf } from "../../core/schemes/grammar.js";
import type { EngineEndpoints } from "../engine.js";
import { Admission } from "./admission.js";
import { Connections } from "./connections.js";
import type { Datagrams } from "./datagrams.js";
import { Dialer } from "./dialer.js";
import { transportError } from "./errors.js";
import type { InprocPeers } from "./inproc.js";
import type { Listening, ListeningParts } from "./listening.js";
import { transportOptions } from "./options.js";
import type { EngineParts } from "./parts.js";
import type { Peers } from "./peers.js";
import type { Pipe } from "./pipe.js";
import type { SocketState } from "./socket-state.js";
import { type Binder, DialFault, type Stream, type Transport } from "./transport/transport.js";

export class Endpoints implements EngineEndpoints, ListeningParts {
  readonly state: SocketState;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly peers: Peers;
  readonly #parts: EngineParts;
  // Most sockets have endpoints of one kind.
  #inproc: InprocPeers | undefined = undefined;
  #datagrams: Datagrams | undefined = undefined;
  #listening: Listening | undefined = undefined;
  readonly #connected = new Set<Dialer>();

  constructor(parts: EngineParts, state: SocketState, peers: Peers) {
    this.#parts = parts;
    this.state = state;
    this.peers = peers;
    this.admission = new Admission(state, parts);
    this.connections = new Connections(state, peers, this.admission, parts.raw);
  }

  get inproc(): InprocPeers {
    const { inproc } = this.#parts;
    const { names } = this.state;
    if (inproc === undefined || names === undefined) throw noTransport("inproc", "inproc://");
    this.#inproc ??= inproc.peers(this.state, names, this.peers);
    return this.#inproc;
  }

  get datagrams(): Datagrams {
    const { datagrams } = this.#parts;
    if (datagrams === undefined) throw noTransport("udp", "udp://");
    this.#datagrams ??= datagrams.open(this.state, this.peers);
    return this.#datagrams;
  }

  #listeningFor(endpoint: string): Listening {
    this.#listening ??= this.#parts.listening(this, endpoint);
    return this.#listening;
  }

  get bound(): number {
    return this.#listening?.bound ?? 0;
  }

  async bind(endpoint: string, server?: HttpServerEndpoint["server"]): Promise<string> {
    this.admission.check();
    return await this.#listeningFor(endpoint).bind(endpoint, this.#binderOf(endpoint), server);
  }

  bindSync(endpoint: string): string {
    this.admission.check();
    return this.#listeningFor(endpoint).bindSync(endpoint, this.#binderOf(endpoint));
  }

  #binderOf(endpoint: string): Binder {
    return this.#isUdp(endpoint) ? this.datagrams : (this.#transportOf(endpoint) ?? this.inproc);
  }

  async unbind(endpoint: string): Promise<void> {
    await this.#listeningFor(endpoint).unbind(endpoint);
  }

  connect(endpoint: string, routingId: string | undefined): Uint8Array | undefined {
    this.admission.check();
    const reclaimed = this.#reclaim(endpoint, routingId);
    if (reclaimed !== undefined) return reclaimed.routingId;
    const { options, type } = this.state;
    if (this.#isUdp(endpoint)) {
      this.#start(this.datagrams.connect(endpoint));
      return undefined;
    }
    const transport = this.#transportOf(endpoint);
    transport?.assertUsable?.("connect", options);
    // The pipe queues messages before the connection is open.
    const immediate = options.immediate === true && transport !== undefined;
    const raw = type === "Stream";
    // Before it connects, only a named raw peer can be sent to. No message may reach the next conversation.
    const pipe = immediate || (raw && routingId === undefined) ? undefined : this.peers.make(endpoint, !raw);
    if (pipe !== undefined) {
      if (routingId !== undefined) pipe.routingId = Buffer.from(routingId);
      this.peers.add(pipe);
    }
    if (transport === undefined) this.#start(this.inproc.connect(endpoint, routingId, pipe as Pipe));
    else this.#start(this.#streamDialer(endpoint, routingId, pipe, transport));
    return pipe?.routingId;
  }

  #streamDialer(
    endpoint: string,
    routingId: string | undefined,
    pipe: Pipe | undefined,
    transport: Transport,
  ): Dialer {
    const { effects, options: live } = this.state;
    const options = transportOptions(live);
    return new Dialer(this.state, {
      endpoint,
      routingId,
      pipe,
      options,
      begin: () => effects.event({ type: "connect:delay", address: endpoint }),
      attempt: (dialer) =>
        transport.dial(endpoint, options, (result) => {
          if (!dialer.attempted()) return;
          if (result instanceof DialFault) {
            const error = this.admission.report(result.fault, endpoint);
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
      if (dialer.pipe !== undefined) this.peers.giveUp(dialer.pipe);
      if (!dialer.leaving) this.state.listener.engineOnOver?.(dialer.endpoint);
    };
    dialer.start();
  }

  disconnect(endpoint: string): void {
    this.#part(endpoint, (pipe, stop) => {
      // Links within the process deliver at once.
      return pipe.link?.ahead === undefined && this.peers.leave(pipe, stop);
    });
  }

  release(endpoint: string): void {
    this.#part(endpoint, (pipe, stop) => this.peers.release(pipe, stop));
  }

  #part(endpoint: string, goesOn: (pipe: Pipe, stop: () => void) => boolean): void {
    for (const dialer of [...this.#connected]) {
      if (dialer.endpoint !== endpoint || dialer.leaving) continue;
      const { connection, pipe } = dialer;
      dialer.leaving = true;
      if (pipe !== undefined && goesOn(pipe, () => this.#giveUp(dialer, pipe))) continue;
      this.#stop(dialer);
      if (pipe !== undefined) this.peers.end(pipe, "local");
      connection?.close("local"); // A handshaking connection is not linked to the pipe.
    }
  }

  #reclaim(endpoint: string, routingId: string | undefined): Pipe | undefined {
    for (const dialer of this.#connected) {
      if (!dialer.leaving || dialer.endpoint !== endpoint || dialer.routingId !== routingId) continue;
      if (dialer.pipe === undefined || !this.peers.reclaim(dialer.pipe)) continue;
      dialer.leaving = false;
      return dialer.pipe;
    }
    return undefined;
  }

  has(dialer: Dialer): boolean {
    return this.#connected.has(dialer);
  }

  stopListening(): void {
    this.#listening?.stop();
  }

  /** @param unlessUnsent spares endpoints with queued messages */
  stopDialling(unlessUnsent: boolean): void {
    for (const dialer of [...this.#connected]) {
      if (unlessUnsent && dialer.pipe !== undefined && dialer.pipe.out.messages > 0) continue;
      this.#stop(dialer);
    }
  }

  #dialled(dialer: Dialer, stream: Stream): void {
    this.state.effects.event({ type: "connect", address: dialer.endpoint });
    // A listener of the event may have disconnected or closed the socket.
    if (this.#connected.has(dialer)) this.connections.open(stream, dialer.endpoint, dialer)?.start();
    else stream.socket.destroy();
  }

  /** `undefined` for inproc. @throws TransportError `EPROTONOSUPPORT` if the platform lacks the transport */
  #transportOf(endpoint: string): Transport | undefined {
    const scheme = schemeOf(endpoint);
    const transport = this.state.platform.transports.get(scheme);
    if (transport === undefined && (scheme !== "inproc" || this.#parts.inproc === undefined))
      throw noTransport(scheme, endpoint);
    if (this.state.type === "Stream" && (transport === undefined || transport.raw === false))
      throw new NotSupportedError(`A Stream has no ${scheme}: use tcp`);
    return transport;
  }

  #isUdp(endpoint: string): boolean {
    const { datagrams } = this.#parts;
    if (datagrams === undefined || schemeOf(endpoint) !== "udp") return false;
    datagrams.assertPlain(
      endpoint,
      this.admission.mechanismName,
      this.state.listener.engineAuthenticate !== undefined || this.state.options.zapEnforceDomain,
    );
    return true;
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
