/**
 * The connections of one socket that stand or are shaking hands, and the pipe that
 * each carries once its handshake is complete.
 *
 *   open --shaking--> ready: a new pipe, or the one that waited at its endpoint
 *                  |
 *                  +--> end: an accepted pipe ends with it, a dialled one waits for the next
 */
import type { ShoalError } from "../../core/errors.js";
import type { PeerCredentials } from "../engine.js";
import type { DisconnectReason } from "../events.js";
import type { Admission } from "./admission.js";
import { announcedBy } from "./announced.js";
import { Connection, type ConnectionHost } from "./connection.js";
import type { Dialer } from "./dialer.js";
import { disconnectError, faultEvents, lostError } from "./errors.js";
import { JudgeQueue } from "./judge-queue.js";
import type { LinksHost } from "./links.js";
import type { Fault, Metadata, Verdict } from "./mechanism/mechanism.js";
import { connectionOptions, mechanismOf } from "./options.js";
import type { Peer, Pipe } from "./pipe.js";
import type { Pipes } from "./pipes.js";
import type { Stream } from "./transport/transport.js";

/** Handshakes of one socket that peers have begun, for sockets that the program did not open. */
const MAX_PENDING_HANDSHAKES = 4_096;

const EMPTY = Buffer.alloc(0);

interface Carried {
  readonly endpoint: string;
  readonly dialer: Dialer | undefined;
  pipe: Pipe | undefined;
  /** Why its handshake failed. */
  fault: ShoalError | undefined;
}

export class Connections implements ConnectionHost {
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #admission: Admission;
  readonly #pipes: Pipes;
  readonly #host: LinksHost;
  /** ms that those which come about while the socket closes hold the process at their end (connection.ts). */
  patience = 0;
  readonly #all = new Map<Connection, Carried>();
  /** Accepted, and shaking hands; the oldest first. */
  readonly #pending = new Set<Connection>();
  #accepted = 0;
  readonly #judging: JudgeQueue;

  constructor(
    options: Readonly<Record<string, unknown>>,
    admission: Admission,
    pipes: Pipes,
    host: LinksHost,
  ) {
    this.#options = options;
    this.#admission = admission;
    this.#pipes = pipes;
    this.#host = host;
    this.#judging = new JudgeQueue(
      () => this.#maxPending,
      (peer) => this.#admission.judge(peer),
    );
  }

  /** Connections of peers that came, those that are shaking hands included. */
  get accepted(): number {
    return this.#accepted;
  }

  /** @param dialer whose stream it is; `undefined`: a peer's, which came through `endpoint` */
  open(stream: Stream, endpoint: string, dialer: Dialer | undefined): void {
    const options = connectionOptions(this.#options);
    const connection = new Connection(stream, this.#admission.mechanism(), options, this);
    this.#all.set(connection, { endpoint, dialer, pipe: undefined, fault: undefined });
    if (dialer === undefined) {
      this.#pending.add(connection);
      this.#accepted += 1;
    } else dialer.connection = connection;
  }

  /**
   * Makes room for one more handshake: the oldest ends, if there are too many. Whoever opens connections and stops there
   * would keep everybody out, if the newest did.
   *
   * @param full whether there is room only in its place
   * @returns whether one has ended
   */
  giveWay(full: boolean): boolean {
    const [oldest] = this.#pending;
    if (oldest === undefined || (!full && this.#pending.size < this.#maxPending)) return false;
    this.connectionOnFault(oldest, {
      kind: "other",
      code: "ERR_HANDSHAKE",
      message: `the handshake of ${oldest.remote} gave way to a new one: ${this.#pending.size} were under way`,
    });
    oldest.close("local");
    return true;
  }

  /** Ends those of the peers that `match` picks. @returns how many */
  revoke(match: (peer: PeerCredentials) => boolean): number {
    let count = 0;
    for (const [connection, { pipe }] of [...this.#all]) {
      if (pipe === undefined) continue;
      if (!match(connection.credentials ?? this.#admission.unjudged(connection.address))) continue;
      count += 1;
      connection.close("revoked");
    }
    return count;
  }

  /** Ends the handshakes, but for those of a dialer that is to go on. */
  endHandshakes(goesOn: (dialer: Dialer) => boolean): void {
    for (const [connection, { pipe, dialer }] of [...this.#all]) {
      if (pipe === undefined && !(dialer !== undefined && goesOn(dialer))) connection.close("local");
    }
  }

  /** The end of all, but for those that have said all: they go on by themselves until the peer has hung up. */
  endAll(): void {
    for (const connection of [...this.#all.keys()]) if (!connection.finishing) connection.close("local");
  }

  connectionOnReady(connection: Connection, metadata: Metadata): Pipe | Fault {
    const carried = this.#all.get(connection) as Carried;
    const { dialer } = carried;
    const peer: Peer = {
      socketType: metadata.get("socket-type")?.toString("latin1") ?? "",
      identity: metadata.get("identity") ?? EMPTY,
      commands: connection.commands,
      announced: announcedBy(metadata, this.#pipes.announcement),
    };
    const fault = this.#pipes.refuse(peer, dialer?.pipe);
    if (fault !== undefined) return fault;
    const { joins } = this.#pipes.policy;
    if (joins?.(connection.credentials ?? this.#admission.unjudged(connection.address)) === false) {
      const message = `the policy has no place for ${connection.address}`;
      return { kind: "refused", code: "ERR_AUTHENTICATION", message };
    }
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
    dialer?.connected();
    this.#pipes.joined(pipe);
    if (this.#pipes.closing) setImmediate(() => connection.finish(this.patience));
    else if (pipe.leaving !== undefined) {
      const patience = pipe.leaving;
      setImmediate(() => connection.finish(patience));
    }
    return pipe;
  }

  connectionOnFault(connection: Connection, fault: Fault): void {
    const carried = this.#all.get(connection);
    const { name } = mechanismOf(this.#options);
    const endpoint = carried?.endpoint ?? connection.remote;
    for (const event of faultEvents(fault, endpoint, connection.address, name)) {
      if (carried !== undefined && "error" in event) carried.fault = event.error;
      this.#host.event(event);
    }
  }

  connectionOnEnd(connection: Connection, reason: DisconnectReason): void {
    const carried = this.#all.get(connection);
    if (carried === undefined) return;
    this.#all.delete(connection);
    const { pipe, dialer, endpoint, fault } = carried;
    const error = disconnectError(connection.error, reason, connection.remote);
    if (dialer === undefined) this.#accepted -= 1;
    this.#judging.forget(connection);
    if (pipe === undefined) {
      this.#pending.delete(connection);
      this.#host.event({ type: "disconnect", address: endpoint, reason });
    } else {
      if (connection.tooLong) this.#pipes.policy.tooLong?.(connection.address);
      this.#pipes.left(pipe, reason, error);
    }
    dialer?.lost(fault ?? error ?? lostError(reason, connection.remote));
    this.#host.changed();
  }

  connectionOnJudge(connection: Connection, peer: PeerCredentials): Promise<Verdict> {
    return this.#judging.ask(connection, peer);
  }

  get #maxPending(): number {
    return Number(this.#options.maxPendingHandshakes ?? MAX_PENDING_HANDSHAKES);
  }

  connectionOnSaid(): void {
    this.#host.changed();
  }
}
