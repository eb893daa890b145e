/**
 * The ways from one socket to its peers, put together: the endpoints it is bound and
 * connected to, the connections that stand or are shaking hands, and the pipe each
 * carries.
 *
 *   bindings --stream--+
 *                      +--> connections --ready--> pipe, linked
 *   dialers ---stream--+         | end
 *                                v
 *            accepted: the pipe ends;  dialled: it waits for the next connection
 */
import { TransportError } from "../../core/errors.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { Announcement, PeerCredentials, PeerPolicy } from "../engine.js";
import type { SocketEvent } from "../events.js";
import { Admission, type AdmissionHost } from "./admission.js";
import { Bindings } from "./bindings.js";
import { Connection } from "./connection.js";
import { Connections } from "./connections.js";
import { Departures } from "./departures.js";
import type { Dialer } from "./dialer.js";
import { Dialers } from "./dialers.js";
import type { InprocNames } from "./inproc-names.js";
import { InprocPeers } from "./inproc-peers.js";
import type { CloseReason, Pipe, PipeOwner } from "./pipe.js";
import { Pipes } from "./pipes.js";
import { RawConnection } from "./raw-connection.js";
import { RawConnections } from "./raw-connections.js";
import type { Routing } from "./routing/routing.js";
import { type Stream, schemeOf, TRANSPORTS } from "./transport/transport.js";

/** What the socket above hears and decides. */
export interface LinksHost extends AdmissionHost {
  event(event: SocketEvent): void;
  /** Accepted messages were lost with a connection or a pipe. */
  dropped(messages: number): void;
  /** What holds the process, or what a close waits for, may have changed. */
  changed(): void;
}

export class Links {
  readonly #names: InprocNames;
  readonly #type: SocketTypeName;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #routing: Routing;
  readonly #host: LinksHost;
  readonly #admission: Admission;
  readonly #pipes: Pipes;
  readonly #departures: Departures;
  readonly #inproc: InprocPeers;
  readonly #bindings: Bindings;
  readonly #dialers: Dialers;
  readonly #connections: Connections;
  readonly #raw: RawConnections;

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
    this.#admission = new Admission(names, type, options, host);
    this.#pipes = new Pipes(type, options, routing, owner, host);
    this.#departures = new Departures(this.#pipes, options);
    this.#inproc = new InprocPeers(names, type, options, this.#pipes, this.#departures, host);
    this.#connections = new Connections(options, this.#admission, this.#pipes, host);
    this.#raw = new RawConnections(options, this.#pipes, host);
    this.#bindings = new Bindings(names, this.#inproc, options, host, (stream, endpoint) =>
      this.#accept(stream, endpoint),
    );
    this.#dialers = new Dialers(options, this.#pipes, this.#departures, host, (stream, dialer) =>
      this.#open(stream, dialer.endpoint, dialer),
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
    return this.#dialers.reconnects;
  }

  async bind(endpoint: string): Promise<string> {
    this.#admission.mechanism();
    return this.#bindings.bind(endpoint);
  }

  bindSync(endpoint: string): string {
    this.#admission.mechanism();
    return this.#bindings.bindSync(endpoint);
  }

  unbind(endpoint: string): Promise<void> {
    return this.#bindings.unbind(endpoint);
  }

  connect(endpoint: string, routingId: string | undefined): void {
    this.#admission.mechanism();
    const transport = TRANSPORTS.get(schemeOf(endpoint));
    if (transport === undefined) this.#names.assertWithinReach(endpoint);
    // A pipe from the start: what is sent before the connection stands waits in it.
    const immediate = this.#options.immediate === true && transport !== undefined;
    const raw = this.#type === "Stream";
    // A raw peer can be sent to before it is there if it has a name, and its pipe ends with its connection: what was
    // meant for one conversation does not go to the next.
    const pipe = immediate || (raw && routingId === undefined) ? undefined : this.#pipes.make(endpoint, !raw);
    if (pipe !== undefined) {
      if (routingId !== undefined) pipe.routingId = Buffer.from(routingId);
      this.#pipes.add(pipe);
    }
    if (transport === undefined) this.#inproc.connect(endpoint, pipe as Pipe);
    else this.#dialers.connect(endpoint, transport, pipe, routingId);
  }

  /** Something has left, or a link is gone. */
  proceed(): void {
    this.#departures.proceed();
  }

  /** What waits for the peer still leaves, within the socket's linger. @returns whether there was anything to disconnect */
  disconnect(endpoint: string): boolean {
    const inproc = this.#inproc.disconnect(endpoint);
    return this.#dialers.disconnect(endpoint) || inproc;
  }

  /** Ends a pipe, its connection, and the attempts to make it anew. What waits is sent first, if it can be. */
  closePipe(pipe: Pipe, reason: CloseReason): void {
    const { link } = pipe;
    if (link instanceof RawConnection) link.finish();
    else if (link !== undefined) link.close(reason);
    else if (!pipe.outlives) this.#pipes.end(pipe, reason);
  }

  disconnectPeers(match: (peer: PeerCredentials) => boolean): number {
    return this.#connections.revoke(match);
  }

  police(policy: PeerPolicy): void {
    this.#pipes.police(policy);
  }

  /** The options have other high-water marks now. */
  marksChanged(): void {
    this.#pipes.marksChanged();
  }

  announce(announcement: Announcement): void {
    this.#admission.announcement = announcement;
    this.#pipes.announcement = announcement;
  }

  /** The routing keeps so many more bytes of received messages; negative: fewer. */
  kept(bytes: number): void {
    this.#pipes.budget.add(bytes);
  }

  /** A command among a pipe's frames. @returns whether it was the connection's own affair */
  command(pipe: Pipe, body: Buffer): boolean {
    return pipe.link instanceof Connection && pipe.link.command(body);
  }

  /** No further peers. @param hangUp those that are there are told to go, and heard to their end */
  retire(hangUp: boolean): void {
    this.#bindings.close();
    this.#dialers.stopAll(false);
    this.#inproc.stopAll(false);
    this.#connections.endHandshakes(() => false);
    if (hangUp) {
      for (const { link } of [...this.pipes]) {
        if (link instanceof Connection) link.sayGoodBye();
        else link?.close("local");
      }
    }
    this.#host.changed();
  }

  /** No peers any more but for what still has to be sent. @returns the pipes that have something */
  beginClose(lingers: boolean): Pipe[] {
    this.#pipes.closing = true;
    this.#bindings.close();
    const unsent: Pipe[] = [];
    for (const pipe of this.pipes) if (lingers && pipe.out.messages > 0) unsent.push(pipe);
    this.#dialers.stopAll(lingers);
    this.#inproc.stopAll(lingers);
    return unsent;
  }

  /** Sends what waits and hangs up, on every link that stands. @param patience ms (connection.ts) */
  finishAll(patience: number): void {
    this.#connections.patience = patience;
    for (const { link } of [...this.pipes]) {
      if (link instanceof Connection) link.finish(patience);
      else if (link instanceof RawConnection) link.finish();
      else link?.close("local");
    }
    // A handshake goes on where something waits to be sent.
    this.#connections.endHandshakes((dialer) => this.#dialers.has(dialer));
  }

  /** The end, whatever still waits. @returns messages that were accepted and did not go out */
  endAll(): number {
    this.#departures.forget();
    this.#dialers.stopAll(false);
    this.#inproc.stopAll(false);
    let lost = 0;
    for (const pipe of [...this.pipes]) {
      const unsent = pipe.out.messages;
      lost += unsent;
      // First the pipe, so that nothing of it is counted, or handed over, with its link once more.
      this.#pipes.all.delete(pipe);
      pipe.end();
      const { link } = pipe;
      // A connection that has said all goes on by itself until the peer has hung up; for the program its peer is gone.
      // (One whose commands the kernel does not take is no such connection: their memory goes to others now.)
      const goesOn = unsent === 0 && link instanceof Connection && link.finishing && !link.blocked;
      if (goesOn) this.#pipes.forget(pipe);
      else link?.close("local");
    }
    this.#connections.endAll();
    return lost;
  }

  #accept(stream: Stream, endpoint: string): void {
    if (this.#pipes.policy.admits?.(stream.address) === false) {
      stream.socket.destroy();
      return;
    }
    if (this.#routing.isCrowded()) {
      // What peers sent before they left is kept until it is taken; no more of them until some of it is.
      this.#refuse(stream, endpoint, "too many peers have left messages that nobody has taken");
      return;
    }
    const most = Number(this.#options.maxConnections ?? Number.POSITIVE_INFINITY);
    const full = this.#connections.accepted + this.#raw.accepted >= most;
    if (!this.#connections.giveWay(full) && full) {
      this.#refuse(stream, endpoint, `there are ${most} connections already (maxConnections)`);
      return;
    }
    this.#host.event({ type: "accept", address: endpoint });
    // Whoever heard of it may have closed the socket.
    if (this.#pipes.closing) stream.socket.destroy();
    else this.#open(stream, endpoint, undefined);
  }

  #refuse(stream: Stream, endpoint: string, why: string): void {
    stream.socket.destroy();
    const error = new TransportError("EMFILE", `Refused ${stream.remote}: ${why}`, { endpoint });
    this.#host.event({ type: "accept:error", address: endpoint, error });
  }

  #open(stream: Stream, endpoint: string, dialer: Dialer | undefined): void {
    if (this.#type === "Stream") this.#raw.open(stream, endpoint, dialer);
    else this.#connections.open(stream, endpoint, dialer);
  }
}
