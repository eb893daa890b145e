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
import { type ShoalError, TransportError } from "../../core/errors.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { PeerCredentials } from "../engine.js";
import type { DisconnectReason, SocketEvent } from "../events.js";
import { Connection, type ConnectionHost } from "./connection.js";
import { Dialer, type DialerHost } from "./dialer.js";
import { disconnectError, faultEvents } from "./errors.js";
import { InprocLink } from "./inproc.js";
import type { InprocNames, InprocTarget } from "./inproc-names.js";
import type { Fault, Metadata } from "./mechanism/mechanism.js";
import { createMechanism } from "./mechanism/select.js";
import {
  connectionOptions,
  mechanismOf,
  mechanismOptions,
  pipeOptions,
  transportOptions,
} from "./options.js";
import { type CloseReason, type Peer, Pipe, type PipeOwner } from "./pipe.js";
import { RawConnection } from "./raw-connection.js";
import { FITS, type Routing, WIRE_NAMES } from "./routing/routing.js";
import { type Listener, type Stream, TRANSPORTS } from "./transport/transport.js";
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

/** An inproc endpoint this socket connects to. */
interface InprocDial {
  readonly name: string;
  readonly links: Links;
  readonly pipe: Pipe;
  stopped: boolean;
}

interface Carried {
  readonly endpoint: string;
  readonly dialer: Dialer | undefined;
  pipe: Pipe | undefined;
}

export class Links implements ConnectionHost, DialerHost, InprocTarget<InprocDial> {
  /** All pipes that have not ended. */
  readonly pipes = new Set<Pipe>();
  readonly #names: InprocNames<InprocDial>;
  readonly #type: SocketTypeName;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #routing: Routing;
  readonly #owner: PipeOwner;
  readonly #host: LinksHost;
  /** With the endpoint as the program gave it; a wildcard may be given many times. */
  readonly #listeners = new Map<Listener, string>();
  readonly #dialers = new Set<Dialer>();
  readonly #inproc = new Set<InprocDial>();
  readonly #connections = new Map<Connection, Carried>();
  readonly #raw = new Map<Pipe, RawConnection>();
  /** Accepted, and shaking hands; the oldest first. */
  readonly #pending = new Set<Connection>();
  #peers = 0;
  #reconnects = 0;
  #closing = false;

  constructor(
    names: InprocNames,
    type: SocketTypeName,
    options: Readonly<Record<string, unknown>>,
    routing: Routing,
    owner: PipeOwner,
    host: LinksHost,
  ) {
    this.#names = names as InprocNames<InprocDial>;
    this.#type = type;
    this.#options = options;
    this.#routing = routing;
    this.#owner = owner;
    this.#host = host;
  }

  get bound(): number {
    return this.#listeners.size;
  }

  get peers(): number {
    return this.#peers;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  async bind(endpoint: string): Promise<string> {
    const transport = TRANSPORTS.get(schemeOf(endpoint));
    if (transport === undefined) return this.bindSync(endpoint);
    const acceptor = this.#acceptor();
    let listener: Listener;
    try {
      listener = await transport.listen(endpoint, transportOptions(this.#options), acceptor);
    } catch (error) {
      this.#host.event({ type: "bind:error", address: endpoint, error: error as TransportError });
      throw error;
    }
    if (this.#closing) {
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
    if (transport !== undefined) {
      return this.#isBound(
        endpoint,
        transport.listenSync(endpoint, transportOptions(this.#options), acceptor),
        acceptor,
      );
    }
    const listener: Listener = {
      endpoint,
      close: async () => this.#names.unbind(endpoint),
    };
    this.#names.assertFree(endpoint);
    // Listed first: peers that waited for the name meet it within the call.
    this.#isBound(endpoint, listener, acceptor);
    if (this.#listeners.has(listener)) this.#names.bind(endpoint, this);
    return endpoint;
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

  connect(endpoint: string, routingId: string | undefined): void {
    const transport = TRANSPORTS.get(schemeOf(endpoint));
    const raw = this.#type === "Stream";
    // A pipe from the start: what is sent before the connection stands waits in it.
    const immediate = this.#options.immediate === true && transport !== undefined;
    const pipe = immediate || raw ? undefined : this.#makePipe(endpoint, true);
    if (pipe !== undefined) {
      if (routingId !== undefined) pipe.routingId = Buffer.from(routingId);
      this.#add(pipe);
    }
    if (transport === undefined) {
      const dial: InprocDial = { name: endpoint, links: this, pipe: pipe as Pipe, stopped: false };
      this.#inproc.add(dial);
      this.#host.event({ type: "connect", address: endpoint });
      if (!dial.stopped) this.#names.connect(endpoint, dial);
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
    let found = false;
    for (const dial of [...this.#inproc]) {
      if (dial.name !== endpoint) continue;
      found = true;
      this.#stopInproc(dial);
      this.#endPipe(dial.pipe, "local");
    }
    for (const dialer of [...this.#dialers]) {
      if (dialer.endpoint !== endpoint) continue;
      found = true;
      dialer.stop();
      this.#dialers.delete(dialer);
      const { connection, pipe } = dialer;
      if (pipe !== undefined) this.#endPipe(pipe, "local");
      connection?.close("local"); // While it shakes hands, the pipe does not know it.
    }
    return found;
  }

  /** Ends a pipe, its connection, and the attempts to make it anew. What waits is sent first, if it can be. */
  closePipe(pipe: Pipe, reason: CloseReason): void {
    const raw = this.#raw.get(pipe);
    if (raw !== undefined) raw.finish();
    else if (pipe.link !== undefined) pipe.link.close(reason);
    else if (!pipe.outlives) this.#endPipe(pipe, reason);
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
    this.#closing = true;
    for (const listener of this.#listeners.keys()) {
      void listener.close();
      this.#host.event({ type: "close", address: listener.endpoint });
    }
    this.#listeners.clear();
    const unsent: Pipe[] = [];
    for (const pipe of this.pipes) if (lingers && pipe.out.messages > 0) unsent.push(pipe);
    for (const dialer of [...this.#dialers]) {
      if (lingers && dialer.pipe !== undefined && dialer.pipe.out.messages > 0) continue;
      dialer.stop();
      this.#dialers.delete(dialer);
    }
    for (const dial of [...this.#inproc]) {
      if (lingers && dial.pipe.link === undefined && dial.pipe.out.messages > 0) continue;
      this.#stopInproc(dial);
    }
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
    for (const dial of [...this.#inproc]) this.#stopInproc(dial);
    let lost = 0;
    for (const pipe of [...this.pipes]) {
      const unsent = pipe.out.messages;
      lost += unsent;
      // First the pipe, so that nothing of it is counted, or handed over, with its link once more.
      this.pipes.delete(pipe);
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
    const fault = this.#refuse(peer, dialer?.pipe);
    if (fault !== undefined) return fault;
    this.#pending.delete(connection);
    let pipe = dialer?.pipe;
    const isNew = pipe === undefined;
    if (pipe === undefined) {
      pipe = this.#makePipe(carried.endpoint, false);
      if (dialer !== undefined) {
        dialer.pipe = pipe;
        if (dialer.routingId !== undefined) pipe.routingId = Buffer.from(dialer.routingId);
      }
    }
    carried.pipe = pipe;
    pipe.linked(connection, peer);
    if (isNew) this.#add(pipe);
    if (dialer !== undefined) {
      dialer.connected();
      if (dialer.wasConnected) this.#reconnects += 1;
      dialer.wasConnected = true;
    }
    this.#joined(pipe);
    if (this.#closing) setImmediate(() => this.#finish(pipe as Pipe));
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
    } else this.#left(pipe, reason, disconnectError(connection.error, reason, connection.remote));
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

  // Peers in this process

  inprocOnPeer(dial: InprocDial): void {
    const [theirs, ours] = [dial.links, this];
    const theirPeer = theirs.#asPeer();
    const ourPeer = ours.#asPeer();
    const fault = ours.#refuse(theirPeer, undefined) ?? theirs.#refuse(ourPeer, dial.pipe);
    if (fault !== undefined) {
      for (const links of [ours, theirs])
        for (const event of faultEvents(fault, dial.name, dial.name, "NULL")) links.#host.event(event);
      return;
    }
    const pipe = ours.#makePipe(dial.name, false);
    const far = new InprocLink(dial.pipe, theirs.#mark, (reason) => {
      theirs.#left(dial.pipe, reason === "remote" ? "remote" : "local");
      if (!dial.stopped) theirs.#names.connect(dial.name, dial);
      theirs.#host.changed();
    });
    const near = new InprocLink(pipe, ours.#mark, (reason) => {
      ours.#left(pipe, reason === "remote" ? "remote" : "local");
      ours.#host.changed();
    });
    InprocLink.join(far, theirPeer, near, ourPeer);
    ours.#host.event({ type: "accept", address: dial.name });
    ours.#add(pipe);
    ours.#joined(pipe);
    theirs.#joined(dial.pipe);
    InprocLink.open(near, far);
    if (theirs.#closing) setImmediate(() => theirs.#finish(dial.pipe));
  }

  get #mark(): number {
    return pipeOptions(this.#options, false).receiveHighWaterMark;
  }

  #asPeer(): Peer {
    const id = this.#options.routingId;
    const identity =
      typeof id === "string" ? Buffer.from(id) : id instanceof Uint8Array ? Buffer.from(id) : EMPTY;
    return { socketType: WIRE_NAMES[this.#type], identity, commands: true };
  }

  #stopInproc(dial: InprocDial): void {
    dial.stopped = true;
    this.#inproc.delete(dial);
    this.#names.disconnect(dial.name, dial);
  }

  // Pipes

  #makePipe(endpoint: string, outlives: boolean): Pipe {
    const pipe = new Pipe(
      this.#owner,
      pipeOptions(this.#options, this.#type === "Stream"),
      endpoint,
      outlives,
    );
    return pipe;
  }

  #add(pipe: Pipe): void {
    this.pipes.add(pipe);
    this.#routing.add(pipe);
  }

  #refuse(peer: Peer, pipe: Pipe | undefined): Fault | undefined {
    // A peer that names no type may be anything, as libzmq has it.
    const fits =
      this.#type === "Stream" || peer.socketType === "" || FITS[this.#type].includes(peer.socketType);
    if (!fits) {
      return {
        kind: "protocol",
        code: "ERR_ZMTP_INVALID_METADATA",
        message: `a ${WIRE_NAMES[this.#type]} cannot talk to a ${peer.socketType.replace(/[^ -~]/g, "?").slice(0, 40)}`,
      };
    }
    return this.#routing.refuse(peer, pipe);
  }

  #joined(pipe: Pipe): void {
    this.#peers += 1;
    this.#routing.joined(pipe);
    this.#host.event({ type: "handshake", address: pipe.endpoint });
    this.#host.event({ type: "peer:join", address: pipe.endpoint, ...idOf(pipe) });
  }

  /** A link is gone. */
  #left(pipe: Pipe, reason: DisconnectReason, error?: ShoalError): void {
    if (pipe.peer !== undefined) {
      this.#peers -= 1;
      const address = pipe.endpoint;
      this.#host.event({ type: "disconnect", address, reason, ...(error === undefined ? {} : { error }) });
      this.#host.event({ type: "peer:leave", address: pipe.endpoint, reason, ...idOf(pipe) });
    }
    pipe.peer = undefined;
    this.#host.dropped(pipe.unlinked());
    if (pipe.ended) return;
    const again = pipe.outlives && !(this.#closing && pipe.out.messages === 0);
    if (again) this.#routing.lost(pipe);
    else this.#remove(pipe);
  }

  #endPipe(pipe: Pipe, reason: CloseReason): void {
    const { link } = pipe;
    this.#remove(pipe);
    link?.close(reason);
  }

  /** Takes a pipe out of use; what it received can still be taken. */
  #remove(pipe: Pipe): void {
    if (!this.pipes.delete(pipe)) return;
    this.#routing.removed(pipe);
    if (pipe.link === undefined) this.#host.dropped(pipe.end());
    else {
      pipe.link.flush();
      this.#host.dropped(pipe.end());
    }
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

  #acceptor() {
    const acceptor = {
      endpoint: "",
      accepted: (stream: Stream): void => {
        if (this.#closing) {
          stream.socket.destroy();
          return;
        }
        if (this.#routing.isCrowded()) {
          // What peers sent before they left is kept until it is taken; no more of them until some of it is.
          stream.socket.destroy();
          const error = new TransportError(
            "EMFILE",
            `Refused ${stream.remote}: too many peers have left messages that nobody has taken`,
            { endpoint: acceptor.endpoint },
          );
          this.#host.event({ type: "accept:error", address: acceptor.endpoint, error });
          return;
        }
        if (this.#pending.size >= MAX_PENDING_HANDSHAKES) this.#giveWay();
        this.#host.event({ type: "accept", address: acceptor.endpoint });
        if (this.#closing) {
          stream.socket.destroy(); // Whoever heard of it has closed the socket.
          return;
        }
        const connection = this.#open(stream, acceptor.endpoint, undefined);
        if (connection !== undefined) this.#pending.add(connection);
      },
      failed: (error: TransportError): void => {
        this.#host.event({ type: "accept:error", address: acceptor.endpoint, error });
      },
    };
    return acceptor;
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

  #isBound(given: string, listener: Listener, acceptor: { endpoint: string }): string {
    acceptor.endpoint = listener.endpoint;
    this.#listeners.set(listener, given);
    this.#host.event({ type: "bind", address: listener.endpoint });
    this.#host.changed();
    return listener.endpoint;
  }

  /**
   * Who judges peers: the socket's hook, else a ZAP service bound in the context, by libzmq's rules: NULL asks it
   * only with a domain, PLAIN and CURVE servers always.
   */
  #judge(name: string, isServer: boolean): ((peer: PeerCredentials) => Promise<boolean>) | undefined {
    if (this.#host.authenticate !== undefined) return this.#host.authenticate;
    const domain = String(this.#options.zapDomain ?? "");
    if (name === "NULL" ? domain === "" : !isServer) return undefined;
    if (this.#names.has(ZAP_ENDPOINT)) return (peer) => this.#host.zap.ask(peer, this.#asPeer().identity);
    return this.#options.zapEnforceDomain === true && domain !== "" ? async () => false : undefined;
  }

  #open(stream: Stream, endpoint: string, dialer: Dialer | undefined): Connection | undefined {
    if (this.#type === "Stream") {
      this.#openRaw(stream, endpoint, dialer);
      return undefined;
    }
    const { name, isServer } = mechanismOf(this.#options);
    const asks = this.#judge(name, isServer) !== undefined;
    const mechanism = createMechanism(
      name,
      isServer,
      mechanismOptions(this.#options, WIRE_NAMES[this.#type], asks),
    );
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

  #openRaw(stream: Stream, endpoint: string, dialer: Dialer | undefined): void {
    const pipe = this.#makePipe(endpoint, false);
    if (dialer?.routingId !== undefined) pipe.routingId = Buffer.from(dialer.routingId);
    const raw = new RawConnection(
      stream.socket,
      pipe,
      this.#options.notify !== false,
      () => this.#host.changed(),
      (reason) => {
        this.#raw.delete(pipe);
        this.#left(pipe, reason);
        dialer?.lost(reason);
        this.#host.changed();
      },
    );
    this.#raw.set(pipe, raw);
    pipe.linked(raw, { socketType: "", identity: EMPTY, commands: false });
    this.#add(pipe);
    if (dialer !== undefined) {
      dialer.pipe = pipe;
      dialer.connected();
      if (dialer.wasConnected) this.#reconnects += 1;
      dialer.wasConnected = true;
    }
    this.#joined(pipe);
    raw.start();
  }
}

function schemeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf(":"));
}

function idOf({ routingId }: Pipe): { routingId?: Buffer } {
  return routingId === undefined ? {} : { routingId };
}
