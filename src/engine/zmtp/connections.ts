/**
 * The connections of one socket, and the pipe of each after its handshake. Listeners' peers are admitted here.
 *
 *   open --handshake--> ready: a new pipe, or the one that waited at its endpoint
 *                  |
 *                  +--> end: an accepted pipe ends with it, a dialled one waits for the next
 */
import { type ShoalError, TransportError } from "../../core/errors.js";
import type { PeerCredentials, PeerPolicy, Policing } from "../engine.js";
import type { DisconnectReason } from "../events.js";
import type { Admission } from "./admission.js";
import { Connection, type ConnectionEffects } from "./connection.js";
import type { Dialer } from "./dialer.js";
import { disconnectError, lostError } from "./errors.js";
import { HandshakeLimit } from "./handshake-limit.js";
import {
  type Fault,
  handshakeFault,
  type Mechanism,
  type Metadata,
  type Verdict,
} from "./mechanism/mechanism.js";
import type { Peers } from "./peers.js";
import type { Pipe } from "./pipe.js";
import type { SocketState } from "./socket-state.js";
import type { RawParts, Stream } from "./transport/transport.js";

interface Carried {
  readonly endpoint: string;
  readonly dialling: Dialer | undefined;
  pipe: Pipe | undefined;
}

export class Connections implements ConnectionEffects, Policing {
  readonly #state: SocketState;
  readonly #peers: Peers;
  readonly #admission: Admission;
  readonly #raw: RawParts | undefined;
  readonly #all = new Map<Connection, Carried>();
  /** Of accepted peers, but not those that the program is asked about. */
  readonly #handshakes = new HandshakeLimit<Connection>(
    () => this.#state.options.maxPendingHandshakes,
    (connection, limit) =>
      connection.fail(
        handshakeFault(
          `the handshake of ${connection.remote} was evicted by a new one: ${limit} were in flight`,
        ),
      ),
  );
  #accepted = 0;
  /** A peer in its handshake may have sent messages already: it is heard to its end, too. */
  isHalfClosing = false;
  /** ms for connections opened while closing. */
  #drainTimeout = 0;

  constructor(state: SocketState, peers: Peers, admission: Admission, raw: RawParts | undefined) {
    this.#state = state;
    this.#peers = peers;
    this.#admission = admission;
    this.#raw = state.type === "Stream" ? raw : undefined;
  }

  admits(address: string): boolean {
    return this.#peers.policy.admits?.(address) !== false;
  }

  accept(stream: Stream, endpoint: string): void {
    const { routing, options, effects } = this.#state;
    if (!this.admits(stream.address)) {
      stream.socket.destroy();
      return;
    }
    if (routing.tooManyOrphans()) {
      this.#turnAway(stream, endpoint, "too many peers have left messages that were not taken");
      return;
    }
    const most = options.maxConnections;
    if (this.#accepted >= most && !this.#handshakes.evictOne()) {
      this.#turnAway(stream, endpoint, `there are ${most} connections already (maxConnections)`);
      return;
    }
    effects.event({ type: "accept", address: endpoint });
    // A listener of the event may have closed the socket.
    if (this.#state.closing) {
      stream.socket.destroy();
      return;
    }
    const connection = this.open(stream, endpoint, undefined);
    if (connection === undefined) return;
    this.#handshakes.add(connection, stream.address);
    connection.start();
  }

  #turnAway(stream: Stream, endpoint: string, why: string): void {
    stream.socket.destroy();
    const error = new TransportError("EMFILE", `Refused ${stream.remote}: ${why}`, { endpoint });
    this.#state.effects.event({ type: "accept:error", address: endpoint, error });
  }

  /**
   * @param dialling `undefined` for a peer accepted at `endpoint`
   * @returns the connection, to be started; `undefined` for invalid options
   */
  open(stream: Stream, endpoint: string, dialling: Dialer | undefined): Connection | undefined {
    const framing = this.#raw?.framing(this.#state.options.notify) ?? stream.framing;
    let mechanism: Mechanism;
    try {
      // The options may have changed since the bind or connect.
      mechanism = this.#raw?.mechanism ?? this.#admission.mechanism(framing?.bare, stream.inProcess);
    } catch (cause) {
      const error = cause as ShoalError;
      stream.socket.destroy();
      if (dialling === undefined)
        this.#state.effects.event({ type: "accept:error", address: endpoint, error });
      else dialling.lost(() => error);
      return undefined;
    }
    if (dialling === undefined) this.#accepted += 1;
    const { options } = this.#state;
    const connection = new Connection(stream, mechanism, options, this, dialling !== undefined, framing);
    this.#all.set(connection, { endpoint, dialling, pipe: undefined });
    if (dialling !== undefined) dialling.connection = connection;
    return connection;
  }

  police(policy: PeerPolicy): void {
    this.#peers.police(policy);
  }

  disconnectPeers(match: (peer: PeerCredentials) => boolean): number {
    const matching: Connection[] = [];
    for (const [connection, { pipe }] of [...this.#all]) {
      // A hook that was asked before may admit the peer by what it knew then.
      if (pipe === undefined && connection.credentials === undefined) continue;
      if (match(this.#credentialsOf(connection))) matching.push(connection);
    }
    for (const connection of matching) connection.close("local");
    return matching.length;
  }

  /** Of accepted peers, and of dialers that have stopped. */
  endHandshakes(): void {
    for (const [connection, { pipe, dialling }] of this.#all)
      if (pipe === undefined && dialling?.stopped !== false) connection.close("local");
  }

  /** @param timeout ms */
  drain(timeout: number): void {
    this.#drainTimeout = timeout;
  }

  endAll(): void {
    for (const connection of this.#all.keys()) if (!connection.draining) connection.close("local");
  }

  connectionOnReady(connection: Connection, metadata: Metadata): Pipe | Fault {
    const carried = this.#all.get(connection) as Carried;
    const { dialling } = carried;
    const peer = this.#peers.peerOf(metadata, connection);
    const fault = this.#peers.refuse(peer, dialling?.pipe);
    if (fault !== undefined) return fault;
    if (this.#peers.policy.joins?.(this.#credentialsOf(connection)) === false) {
      const message = `the policy has no place for ${connection.address}`;
      return { kind: "refused", code: "ERR_AUTHENTICATION", message };
    }
    this.#handshakes.delete(connection);
    let pipe = dialling?.pipe;
    const isNew = pipe === undefined;
    if (pipe === undefined) {
      pipe = this.#peers.make(carried.endpoint, false);
      if (dialling !== undefined) {
        dialling.pipe = pipe;
        if (dialling.routingId !== undefined) pipe.routingId = Buffer.from(dialling.routingId);
      }
    }
    carried.pipe = pipe;
    pipe.linked(connection, peer);
    if (isNew) this.#peers.add(pipe);
    dialling?.connected();
    this.#peers.joined(pipe);
    const timeout = this.#state.closing ? this.#drainTimeout : pipe.leaving;
    if (timeout !== undefined) setImmediate(() => connection.drain(timeout));
    else if (this.isHalfClosing) setImmediate(() => connection.halfClose());
    return pipe;
  }

  /** @param isTransports the transport's handshake, which refuses unaccepted certificates */
  onHandshakeFault({ kind }: Fault, address: string, isTransports: boolean): void {
    if (kind === "protocol" || (isTransports && kind === "refused")) this.#peers.policy.invalid?.(address);
  }

  connectionOnFlushed(): void {
    this.#state.effects.changed();
  }

  connectionOnEnd(connection: Connection, reason: DisconnectReason, fault: Fault | undefined): void {
    const carried = this.#all.get(connection);
    if (carried === undefined) return;
    this.#all.delete(connection);
    const { pipe, dialling, endpoint } = carried;
    let error = disconnectError(connection.error, reason, connection);
    if (dialling === undefined) this.#accepted -= 1;
    this.#admission.forget(connection);
    if (pipe === undefined) {
      this.#handshakes.delete(connection);
      if (fault !== undefined) {
        if (dialling === undefined)
          this.onHandshakeFault(fault, connection.address, connection.stream.opening === true);
        error = this.#admission.report(fault, endpoint, connection);
      }
      this.#state.effects.event({ type: "disconnect", address: endpoint, reason });
    } else {
      if (connection.tooLarge !== undefined) {
        this.#peers.policy.tooLong?.(connection.address);
        this.#state.routing.refuseLarge(connection.tooLarge, connection.remote);
      }
      this.#peers.left(pipe, reason, error);
    }
    dialling?.lost(() => error ?? lostError(reason, connection.remote));
    this.#state.effects.changed();
  }

  connectionOnAuthenticate(connection: Connection, peer: PeerCredentials): Promise<Verdict> {
    return this.#admission
      .authenticate(connection, peer, () => this.#handshakes.delete(connection))
      .finally(() => {
        const carried = this.#all.get(connection);
        // The handshake goes on after the program's answer, as with PLAIN.
        if (carried !== undefined && carried.dialling === undefined)
          this.#handshakes.add(connection, connection.address);
      });
  }

  #credentialsOf(connection: Connection): PeerCredentials {
    return connection.credentials ?? this.#admission.anonymous(connection.address);
  }
}
