/**
 * The ways from one socket to its peers: endpoints it is bound and connected to,
 * the connections that stand or are shaking hands, and the pipe each carries.
 *
 *   listener --stream--+
 *                      +--> connection --ready--> pipe, linked
 *   dialer ---stream---+        | end
 *                               v
 *            accepted: the pipe ends;  dialled: it waits for the next connection
 */
import { TransportError } from "../../core/errors.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { PeerCredentials } from "../engine.js";
import type { DisconnectReason, SocketEvent } from "../events.js";
import { Bindings } from "./bindings.js";
import { Connection, type ConnectionHost } from "./connection.js";
import { Dialer, type DialerHost } from "./dialer.js";
import { disconnectError, faultEvents } from "./errors.js";
import type { InprocNames } from "./inproc-names.js";
import { InprocPeers } from "./inproc-peers.js";
import type { Fault, Mechanism, Metadata } from "./mechanism/mechanism.js";
import { createMechanism } from "./mechanism/select.js";
import { connectionOptions, identityOf, mechanismOf, mechanismOptions, transportOptions } from "./options.js";
import type { CloseReason, Peer, Pipe, PipeOwner } from "./pipe.js";
import { Pipes } from "./pipes.js";
import { RawConnection } from "./raw-connection.js";
import { type Routing, WIRE_NAMES } from "./routing/routing.js";
import { type Stream, schemeOf, TRANSPORTS } from "./transport/transport.js";
import { ZAP_ENDPOINT, type ZapClient } from "./zap-client.js";

/**
 * Accepted connections of one socket whose handshake has not ended, at most. Past it the oldest gives way: whoever opens
 * connections and stops there would keep everybody out, if the newest did.
 */
export const MAX_PENDING_HANDSHAKES = 4_096;

const EMPTY = Buffer.alloc(0);

/** What the socket above hears and decides. */
export interface LinksHost {
  readonly authenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
  /** Asks the context's own authentication service. */
  readonly zap: ZapClient;
  event(event: SocketEvent): void;
  /** Accepted messages were lost with a connection or a pipe. */
  dropped(messages: number): void;
  /** What holds the process, or what a close waits for, may have changed. */
  changed(): void;
}

interface Carried {
  readonly endpoint: string;
  readonly dialer: Dialer | undefined;
  pipe: Pipe | undefined;
}

export class Links implements ConnectionHost, DialerHost {
  readonly #names: InprocNames;
  readonly #type: SocketTypeName;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #routing: Routing;
  readonly #host: LinksHost;
  readonly #pipes: Pipes;
  readonly #inproc: InprocPeers;
  readonly #bindings: Bindings;
  readonly #dialers = new Set<Dialer>();
  readonly #connections = new Map<Connection, Carried>();
  readonly #raw = new Map<Pipe, RawConnection>();
  /** Accepted, and shaking hands; the oldest first. */
  readonly #pending = new Set<Connection>();
  #reconnects = 0;

  constructor(
    names: InprocNames,
    type: SocketTypeName,
    options: Readonly<Record<string, unknown>>,
    routing: Routing,
    owner: PipeOwner,
    host: LinksHost,
  ) {
    this.#names = names;
    this.#type = type;
    this.#options = options;
    this.#routing = routing;
    this.#host = host;
    this.#pipes = new Pipes(type, options, routing, owner, host);
    this.#inproc = new InprocPeers(names, type, options, this.#pipes, host);
    this.#bindings = new Bindings(names, this.#inproc, options, host, (stream, endpoint) =>
      this.#accept(stream, endpoint),
    );
  }

  /** Endpoints this socket is bound to. */
  get bound(): number {
    return this.#bindings.size;
  }

  /** All pipes that have not ended. */
  get pipes(): ReadonlySet<Pipe> {
    return this.#pipes.all;
  }

  get peers(): number {
    return this.#pipes.peers;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  async bind(endpoint: string): Promise<string> {
    this.#makeMechanism();
    return this.#bindings.bind(endpoint);
  }

  bindSync(endpoint: string): string {
    this.#makeMechanism();
    return this.#bindings.bindSync(endpoint);
  }

  unbind(endpoint: string): Promise<void> {
    return this.#bindings.unbind(endpoint);
  }

  connect(endpoint: string, routingId: string | undefined): void {
    this.#makeMechanism();
    const transport = TRANSPORTS.get(schemeOf(endpoint));
    const raw = this.#type === "Stream";
    // A pipe from the start: what is sent before the connection stands waits in it.
    const immediate = this.#options.immediate === true && transport !== undefined;
    const pipe = immediate || raw ? undefined : this.#pipes.make(endpoint, true);
    if (pipe !== undefined) {
      if (routingId !== undefined) pipe.routingId = Buffer.from(routingId);
      this.#pipes.add(pipe);
    }
    if (transport === undefined) {
      this.#inproc.connect(endpoint, pipe as Pipe);
      return;
    }
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
    this.#dialers.add(dialer);
    dialer.start();
  }

  /** @returns whether there was anything to disconnect */
  disconnect(endpoint: string): boolean {
    let found = this.#inproc.disconnect(endpoint);
    for (const dialer of [...this.#dialers]) {
      if (dialer.endpoint !== endpoint) continue;
      found = true;
      dialer.stop();
      this.#dialers.delete(dialer);
      const { connection, pipe } = dialer;
      if (pipe !== undefined) this.#pipes.end(pipe, "local");
      connection?.close("local"); // While it shakes hands, the pipe does not know it.
    }
    return found;
  }

  /** Ends a pipe, its connection, and the attempts to make it anew. What waits is sent first, if it can be. */
  closePipe(pipe: Pipe, reason: CloseReason): void {
    const raw = this.#raw.get(pipe);
    if (raw !== undefined) raw.finish();
    else if (pipe.link !== undefined) pipe.link.close(reason);
    else if (!pipe.outlives) this.#pipes.end(pipe, reason);
  }

  disconnectPeers(match: (peer: PeerCredentials) => boolean): number {
    let count = 0;
    for (const [connection, { pipe }] of [...this.#connections]) {
      if (pipe === undefined) continue;
      const peer = connection.credentials ?? {
        mechanism: mechanismOf(this.#options).name,
        address: connection.address,
        domain: String(this.#options.zapDomain ?? ""),
      };
      if (!match(peer)) continue;
      count += 1;
      connection.close("revoked");
    }
    return count;
  }

  /** A command among a pipe's frames. @returns whether it was the connection's own affair */
  command(pipe: Pipe, body: Buffer): boolean {
    return pipe.link instanceof Connection && pipe.link.command(body);
  }

  /** No peers any more but for what still has to be sent. @returns the pipes that have something */
  beginClose(lingers: boolean): Pipe[] {
    this.#pipes.closing = true;
    this.#bindings.close();
    const unsent: Pipe[] = [];
    for (const pipe of this.pipes) if (lingers && pipe.out.messages > 0) unsent.push(pipe);
    for (const dialer of [...this.#dialers]) {
      if (lingers && dialer.pipe !== undefined && dialer.pipe.out.messages > 0) continue;
      dialer.stop();
      this.#dialers.delete(dialer);
    }
    this.#inproc.stopAll(lingers);
    return unsent;
  }

  /** Sends what waits and hangs up, on every link that stands. */
  finishAll(): void {
    for (const pipe of [...this.pipes]) this.#finish(pipe);
    for (const [connection, { pipe }] of [...this.#connections]) {
      if (pipe === undefined && connection !== undefined && !this.#isAwaited(connection))
        connection.close("local");
    }
  }

  /** The end, whatever still waits. @returns messages that were accepted and did not go out */
  endAll(): number {
    for (const dialer of this.#dialers) dialer.stop();
    this.#dialers.clear();
    this.#inproc.stopAll(false);
    let lost = 0;
    for (const pipe of [...this.pipes]) {
      const unsent = pipe.out.messages;
      lost += unsent;
      // First the pipe, so that nothing of it is counted, or handed over, with its link once more.
      this.#pipes.all.delete(pipe);
      pipe.end();
      // A connection that has said all goes on by itself until the peer has hung up.
      if (unsent > 0 || !(pipe.link instanceof Connection && pipe.link.finishing)) pipe.link?.close("local");
    }
    for (const connection of [...this.#connections.keys()])
      if (!connection.finishing) connection.close("local");
    return lost;
  }

  // Connections

  connectionOnReady(connection: Connection, metadata: Metadata): Pipe | Fault {
    const carried = this.#connections.get(connection) as Carried;
    const { dialer } = carried;
    const peer: Peer = {
      socketType: metadata.get("socket-type")?.toString("latin1") ?? "",
      identity: metadata.get("identity") ?? EMPTY,
      commands: connection.commands,
    };
    const fault = this.#pipes.refuse(peer, dialer?.pipe);
    if (fault !== undefined) return fault;
    this.#pending.delete(connection);
    let pipe = dialer?.pipe;
    const isNew = pipe === undefined;
    if (pipe === undefined) {
      pipe = this.#pipes.make(carried.endpoint, false);
      if (dialer !== undefined) {
        dialer.pipe = pipe;
        if (dialer.routingId !== undefined) pipe.routingId = Buffer.from(dialer.routingId);
      }
    }
    carried.pipe = pipe;
    pipe.linked(connection, peer);
    if (isNew) this.#pipes.add(pipe);
    if (dialer !== undefined) {
      dialer.connected();
      if (dialer.wasConnected) this.#reconnects += 1;
      dialer.wasConnected = true;
    }
    this.#pipes.joined(pipe);
    if (this.#pipes.closing) setImmediate(() => this.#finish(pipe as Pipe));
    return pipe;
  }

  connectionOnFault(connection: Connection, fault: Fault): void {
    const carried = this.#connections.get(connection);
    const { name } = mechanismOf(this.#options);
    for (const event of faultEvents(
      fault,
      carried?.endpoint ?? connection.remote,
      connection.address,
      name,
    )) {
      this.#host.event(event);
    }
  }

  connectionOnEnd(connection: Connection, reason: DisconnectReason): void {
    const carried = this.#connections.get(connection);
    if (carried === undefined) return;
    this.#connections.delete(connection);
    const { pipe, dialer, endpoint } = carried;
    if (pipe === undefined) {
      this.#pending.delete(connection);
      this.#host.event({ type: "disconnect", address: endpoint, reason });
    } else this.#pipes.left(pipe, reason, disconnectError(connection.error, reason, connection.remote));
    dialer?.lost(reason);
    this.#host.changed();
  }

  connectionOnJudge(_connection: Connection, peer: PeerCredentials): Promise<boolean> {
    const { name, isServer } = mechanismOf(this.#options);
    return this.#judge(name, isServer)?.(peer) ?? Promise.resolve(false);
  }

  connectionOnSaid(): void {
    this.#host.changed();
  }

  // Dialers

  dialerOnStream(dialer: Dialer, stream: Stream): void {
    this.#host.event({ type: "connect", address: dialer.endpoint });
    if (!this.#dialers.has(dialer)) {
      stream.socket.destroy(); // Whoever heard of it has disconnected, or closed the socket.
      return;
    }
    dialer.connection = this.#open(stream, dialer.endpoint, dialer);
  }

  dialerOnDelay(dialer: Dialer): void {
    this.#host.event({ type: "connect:delay", address: dialer.endpoint });
  }

  dialerOnRetry(dialer: Dialer, interval: number): void {
    this.#host.event({ type: "connect:retry", address: dialer.endpoint, interval });
  }

  #finish(pipe: Pipe): void {
    const { link } = pipe;
    const raw = this.#raw.get(pipe);
    if (raw !== undefined) raw.finish();
    else if (link instanceof Connection) link.finish();
    else if (link !== undefined) link.close("local");
  }

  /** Whether a connection that is shaking hands carries something that must still be sent. */
  #isAwaited(connection: Connection): boolean {
    const dialer = this.#connections.get(connection)?.dialer;
    return dialer !== undefined && this.#dialers.has(dialer);
  }

  // Streams

  #accept(stream: Stream, endpoint: string): void {
    if (this.#routing.isCrowded()) {
      // What peers sent before they left is kept until it is taken; no more of them until some of it is.
      stream.socket.destroy();
      const error = new TransportError(
        "EMFILE",
        `Refused ${stream.remote}: too many peers have left messages that nobody has taken`,
        { endpoint },
      );
      this.#host.event({ type: "accept:error", address: endpoint, error });
      return;
    }
    if (this.#pending.size >= MAX_PENDING_HANDSHAKES) this.#giveWay();
    this.#host.event({ type: "accept", address: endpoint });
    if (this.#pipes.closing) {
      stream.socket.destroy(); // Whoever heard of it has closed the socket.
      return;
    }
    const connection = this.#open(stream, endpoint, undefined);
    if (connection !== undefined) this.#pending.add(connection);
  }

  /** The oldest handshake ends for the sake of a new one. */
  #giveWay(): void {
    const [oldest] = this.#pending;
    if (oldest === undefined) return;
    this.connectionOnFault(oldest, {
      kind: "other",
      code: "ERR_HANDSHAKE",
      message: `the handshake of ${oldest.remote} gave way to a new one: ${MAX_PENDING_HANDSHAKES} were under way`,
    });
    oldest.close("local");
  }

  /**
   * Who judges peers: the socket's hook, else a ZAP service bound in the context, by libzmq's rules: NULL asks it
   * only with a domain, PLAIN and CURVE servers always.
   */
  #judge(name: string, isServer: boolean): ((peer: PeerCredentials) => Promise<boolean>) | undefined {
    if (this.#host.authenticate !== undefined) return this.#host.authenticate;
    const domain = String(this.#options.zapDomain ?? "");
    if (name === "NULL" ? domain === "" : !isServer) return undefined;
    if (this.#names.has(ZAP_ENDPOINT)) return (peer) => this.#host.zap.ask(peer, identityOf(this.#options));
    return this.#options.zapEnforceDomain === true && domain !== "" ? async () => false : undefined;
  }

  #open(stream: Stream, endpoint: string, dialer: Dialer | undefined): Connection | undefined {
    if (this.#type === "Stream") {
      this.#openRaw(stream, endpoint, dialer);
      return undefined;
    }
    const mechanism = this.#makeMechanism();
    const connection = new Connection(
      stream.socket,
      stream.remote,
      stream.address,
      mechanism,
      connectionOptions(this.#options),
      this,
    );
    this.#connections.set(connection, { endpoint, dialer, pipe: undefined });
    return connection;
  }

  /** @throws ShoalError for options with which no handshake could end well; asked before anybody is let in */
  #makeMechanism(): Mechanism {
    const { name, isServer } = mechanismOf(this.#options);
    const asks = this.#judge(name, isServer) !== undefined;
    return createMechanism(name, isServer, mechanismOptions(this.#options, WIRE_NAMES[this.#type], asks));
  }

  #openRaw(stream: Stream, endpoint: string, dialer: Dialer | undefined): void {
    const pipe = this.#pipes.make(endpoint, false);
    if (dialer?.routingId !== undefined) pipe.routingId = Buffer.from(dialer.routingId);
    const raw = new RawConnection(
      stream.socket,
      pipe,
      this.#options.notify !== false,
      () => this.#host.changed(),
      (reason) => {
        this.#raw.delete(pipe);
        this.#pipes.left(pipe, reason);
        dialer?.lost(reason);
        this.#host.changed();
      },
    );
    this.#raw.set(pipe, raw);
    pipe.linked(raw, { socketType: "", identity: EMPTY, commands: false });
    this.#pipes.add(pipe);
    if (dialer !== undefined) {
      dialer.pipe = pipe;
      dialer.connected();
      if (dialer.wasConnected) this.#reconnects += 1;
      dialer.wasConnected = true;
    }
    this.#pipes.joined(pipe);
    raw.start();
  }
}
