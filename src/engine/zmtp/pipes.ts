/**
 * The pipes of one socket, from their making to their end, and who is told of it:
 * the routing, which uses them, and the program, which hears of peers.
 *
 *   add --joined--> carried by a link --left--> waits for the next link, or is removed
 *                          | depart
 *                          v
 *                   nobody uses it: what waits in it leaves, then it is removed (departures.ts)
 */
import type { ShoalError } from "../../core/errors.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { Announcement, PeerPolicy } from "../engine.js";
import type { DisconnectReason } from "../events.js";
import type { LinksHost } from "./links.js";
import type { Fault } from "./mechanism/mechanism.js";
import { pipeOptions } from "./options.js";
import { type CloseReason, type Peer, Pipe, type PipeOwner } from "./pipe.js";
import { ReceiveBudget } from "./receive-budget.js";
import { FITS, type Routing, WIRE_NAMES } from "./routing/routing.js";

export class Pipes {
  /** All that have not ended. */
  readonly all = new Set<Pipe>();
  /** The socket closes: a pipe that has sent everything waits for no further link. */
  closing = false;
  /** Called when a pipe has ended or lost its link: another peer may have a place now. */
  onPlace: () => void = () => undefined;
  /** What this socket says of itself, and whoever hears what peers say. */
  announcement: Announcement | undefined = undefined;
  /** What peers may have in the receive queues together. */
  readonly budget = new ReceiveBudget(() => Number(this.#options.maxReceiveQueueBytes ?? 0));
  readonly #type: SocketTypeName;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #routing: Routing;
  readonly #owner: PipeOwner;
  readonly #host: LinksHost;
  #peers = 0;
  #policy: PeerPolicy = {};

  constructor(
    type: SocketTypeName,
    options: Readonly<Record<string, unknown>>,
    routing: Routing,
    owner: PipeOwner,
    host: LinksHost,
  ) {
    this.#type = type;
    this.#options = options;
    this.#routing = routing;
    this.#owner = owner;
    this.#host = host;
  }

  /** Peers whose handshake is complete. */
  get peers(): number {
    return this.#peers;
  }

  /** @param outlives it is kept when its link is lost */
  make(endpoint: string, outlives: boolean): Pipe {
    const options = pipeOptions(this.#options, this.#type);
    const pipe = new Pipe(this.#owner, options, this.budget, endpoint, outlives);
    pipe.police(this.#policy);
    return pipe;
  }

  /** What peers may do. */
  get policy(): PeerPolicy {
    return this.#policy;
  }

  police(policy: PeerPolicy): void {
    this.#policy = policy;
    for (const pipe of [...this.all]) pipe.police(policy);
  }

  /** The options have other high-water marks now. */
  marksChanged(): void {
    const options = pipeOptions(this.#options, this.#type);
    for (const pipe of [...this.all]) pipe.marksChanged(options);
  }

  add(pipe: Pipe): void {
    this.all.add(pipe);
    this.#routing.add(pipe);
  }

  /** Why a peer may not join; `undefined`: it may. @param pipe the one it would be linked to, if there is one already */
  refuse(peer: Peer, pipe: Pipe | undefined): Fault | undefined {
    // A peer that names no type may be anything, as libzmq has it.
    const fits =
      this.#type === "Stream" || peer.socketType === "" || FITS[this.#type].includes(peer.socketType);
    if (fits) return pipe?.leaving === undefined ? this.#routing.refuse(peer, pipe) : undefined;
    return {
      kind: "protocol",
      code: "ERR_ZMTP_INVALID_METADATA",
      message: `a ${WIRE_NAMES[this.#type]} cannot talk to a ${peer.socketType.replace(/[^ -~]/g, "?").slice(0, 40)}`,
    };
  }

  /** Its link stands. */
  joined(pipe: Pipe): void {
    if (pipe.leaving !== undefined) return;
    this.#peers += 1;
    this.#routing.joined(pipe);
    this.#host.event({ type: "handshake", address: pipe.endpoint });
    this.#host.event({ type: "peer:join", address: pipe.endpoint, ...idOf(pipe) });
    this.#tell(pipe, true);
  }

  /** Its link is nobody's affair any more, at the socket's end: the events have ended by the time it is gone. */
  forget(pipe: Pipe): void {
    if (pipe.peer === undefined || pipe.leaving !== undefined) return;
    this.#tell(pipe, false);
    pipe.peer = undefined;
    this.#peers -= 1;
  }

  /**
   * Takes a pipe out of use, and lets it be: what waits in it can still leave, what it received can be taken. For the
   * program its peer has left.
   *
   * @param linger ms
   */
  depart(pipe: Pipe, linger: number): void {
    this.#routing.removed(pipe);
    this.#parted(pipe, "local", undefined);
    pipe.leaving = linger;
    if (!this.closing) this.onPlace();
  }

  /** Ends a pipe that has departed; its link is the caller's affair. */
  endDeparted(pipe: Pipe): void {
    if (this.all.delete(pipe)) this.#host.dropped(pipe.end());
  }

  /** Its link is gone. */
  left(pipe: Pipe, reason: DisconnectReason, error?: ShoalError): void {
    this.#parted(pipe, reason, error);
    this.#host.dropped(pipe.unlinked());
    if (pipe.isGone) return;
    const again = pipe.outlives && !(this.closing && pipe.out.messages === 0);
    if (again) this.#routing.lost(pipe);
    else this.#remove(pipe);
    if (!this.closing) this.onPlace();
  }

  /** Ends a pipe, and its link. */
  end(pipe: Pipe, reason: CloseReason): void {
    const { link } = pipe;
    this.#remove(pipe);
    link?.close(reason);
    if (!this.closing) this.onPlace();
  }

  /** The program hears that a peer has left, if it knew of it. */
  #parted(pipe: Pipe, reason: DisconnectReason, error: ShoalError | undefined): void {
    if (pipe.peer !== undefined && pipe.leaving === undefined) {
      this.#peers -= 1;
      const address = pipe.endpoint;
      this.#host.event({ type: "disconnect", address, reason, ...(error === undefined ? {} : { error }) });
      this.#host.event({ type: "peer:leave", address, reason, ...idOf(pipe) });
      this.#tell(pipe, false);
    }
    pipe.peer = undefined;
  }

  #tell({ peer }: Pipe, joined: boolean): void {
    if (peer?.announced !== undefined) this.announcement?.heard(peer.announced, joined);
  }

  /** Takes a pipe out of use; what it received can still be taken. */
  #remove(pipe: Pipe): void {
    if (!this.all.delete(pipe)) return;
    this.#routing.removed(pipe);
    pipe.link?.flush();
    this.#host.dropped(pipe.end());
  }
}

function idOf({ routingId }: Pipe): { routingId?: Buffer } {
  return routingId === undefined ? {} : { routingId };
}
