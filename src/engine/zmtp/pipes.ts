/**
 * The pipes of one socket, from their making to their end, and who is told of it:
 * the routing, which uses them, and the program, which hears of peers.
 *
 *   add --joined--> carried by a link --left--> waits for the next link, or is removed
 */
import type { ShoalError } from "../../core/errors.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { Announcement, PeerPolicy } from "../engine.js";
import type { DisconnectReason } from "../events.js";
import type { LinksHost } from "./links.js";
import type { Fault } from "./mechanism/mechanism.js";
import { pipeOptions } from "./options.js";
import { type CloseReason, type Peer, Pipe, type PipeOwner } from "./pipe.js";
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
    const options = pipeOptions(this.#options, this.#type === "Stream");
    const pipe = new Pipe(this.#owner, options, endpoint, outlives);
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

  add(pipe: Pipe): void {
    this.all.add(pipe);
    this.#routing.add(pipe);
  }

  /** Why a peer may not join; `undefined`: it may. @param pipe the one it would be linked to, if there is one already */
  refuse(peer: Peer, pipe: Pipe | undefined): Fault | undefined {
    // A peer that names no type may be anything, as libzmq has it.
    const fits =
      this.#type === "Stream" || peer.socketType === "" || FITS[this.#type].includes(peer.socketType);
    if (fits) return this.#routing.refuse(peer, pipe);
    return {
      kind: "protocol",
      code: "ERR_ZMTP_INVALID_METADATA",
      message: `a ${WIRE_NAMES[this.#type]} cannot talk to a ${peer.socketType.replace(/[^ -~]/g, "?").slice(0, 40)}`,
    };
  }

  /** Its link stands. */
  joined(pipe: Pipe): void {
    this.#peers += 1;
    this.#routing.joined(pipe);
    this.#host.event({ type: "handshake", address: pipe.endpoint });
    this.#host.event({ type: "peer:join", address: pipe.endpoint, ...idOf(pipe) });
    this.#tell(pipe, true);
  }

  /** Its link is nobody's affair any more, at the socket's end: the events have ended by the time it is gone. */
  forget(pipe: Pipe): void {
    if (pipe.peer === undefined) return;
    this.#tell(pipe, false);
    pipe.peer = undefined;
    this.#peers -= 1;
  }

  /** Its link is gone. */
  left(pipe: Pipe, reason: DisconnectReason, error?: ShoalError): void {
    if (pipe.peer !== undefined) {
      this.#peers -= 1;
      const address = pipe.endpoint;
      this.#host.event({ type: "disconnect", address, reason, ...(error === undefined ? {} : { error }) });
      this.#host.event({ type: "peer:leave", address, reason, ...idOf(pipe) });
      this.#tell(pipe, false);
    }
    pipe.peer = undefined;
    this.#host.dropped(pipe.unlinked());
    if (pipe.ended) return;
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
