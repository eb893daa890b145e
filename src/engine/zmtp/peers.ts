/**
 * The peers of one socket, each as a pipe, from its making to its end. The routing uses the pipes; events report
 * peers that join and leave.
 *
 *   made --joined--> carried by a link --left--> waits for the next link, or is removed
 *                          | leave
 *                          v
 *                   leaving: what waits in it is sent within the linger, then it is removed
 *                          ^
 *                          | its link is gone, or its time is over
 *   carried --release--> released: it gets nothing new, what waits moves to others, what it brings is received
 *
 * `disconnect` makes a pipe leave. A link that stands sends what waits and hangs up. Where none stands yet, the dialer, or
 * the inproc name, is kept until one does, as libzmq keeps its session: what `send` has accepted does not depend on when
 * the peer was there.
 *
 * `release` is for an endpoint in whose place others serve. What it does depends on the socket type:
 *
 *   PUSH, SCATTER                what waits moves to the other peers; the pipe leaves
 *   DEALER, REQ, CLIENT          the same, and the link stands for replies until the peer hangs up, or RELEASE_TIMEOUT
 *   ROUTER, REP, PAIR, SERVER, PEER, CHANNEL
 *                                the link stands as long: what waits is for this peer alone
 *   PULL, SUB, XSUB, GATHER, DISH
 *                                this side's half of the link ends; what the peer had sent until it noticed is received
 *   PUB, XPUB, RADIO, STREAM     as `disconnect`
 */
import type { ShoalError } from "../../core/errors.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { HandshakeProperty, PeerPolicy, PeerProperties } from "../engine.js";
import type { DisconnectReason } from "../events.js";
import type { Fault, Metadata } from "./mechanism/mechanism.js";
import { patienceOf, pipeOptions } from "./options.js";
import { HAS_POLICIES } from "./peer-meter.js";
import { type CloseReason, type Peer, Pipe } from "./pipe.js";
import { ReceiveBudget } from "./receive-budget.js";
import { lastGiven } from "./routing/given-id.js";
import { fits, wireNameOf } from "./routing/routing.js";
import type { SocketState } from "./socket-state.js";

/** Bytes of a peer's property; a longer one is ignored. */
const MAX_PROPERTY = 255;

const EMPTY = Buffer.alloc(0);

/** ms for which a released endpoint's link stands, so that replies come; it ends earlier where the peer hangs up. */
const RELEASE_TIMEOUT = 30_000;

/** Types whose released peers may still owe something, or be owed it. */
const CONVERSES: readonly SocketTypeName[] = [
  "Dealer",
  "Request",
  "Router",
  "Reply",
  "Pair",
  "Client",
  "Server",
  "Peer",
  "Channel",
];
/** Types whose peers only send: a link of theirs ends with what is on its way. */
const LISTENS: readonly SocketTypeName[] = ["Pull", "Subscriber", "XSubscriber", "Gather", "Dish"];

/** A pipe that was disconnected or released. */
interface Leaving {
  /** Ends the attempts to reach the peer. */
  readonly stop: () => void;
  readonly timer: NodeJS.Timeout | undefined;
}

/** What a peer says of the property that this side announces. */
function propertyIn(metadata: Metadata, own: HandshakeProperty | undefined): string | undefined {
  const value = own === undefined ? undefined : metadata.get(own.name.toLowerCase());
  return value === undefined || value.length > MAX_PROPERTY ? undefined : value.toString("latin1");
}

export class Peers implements PeerProperties {
  readonly #state: SocketState;
  /** What peers may have in the receive queues together. */
  readonly #budget: ReceiveBudget;
  readonly #pipes = new Set<Pipe>();
  readonly #leaving = new Map<Pipe, Leaving>();
  /** Those of them that were released, and whose link stands. */
  readonly #released = new Map<Pipe, Leaving>();
  #count = 0;
  #policy: PeerPolicy = {};
  /** Called when a pipe has ended or lost its link: another peer may have a place now. */
  onPlace: () => void = () => undefined;

  constructor(state: SocketState) {
    this.#state = state;
    this.#budget = new ReceiveBudget(() => state.options.maxReceiveQueueBytes);
  }

  /** All pipes that have not ended. */
  get pipes(): ReadonlySet<Pipe> {
    return this.#pipes;
  }

  /** Peers whose handshake is complete. */
  get count(): number {
    return this.#count;
  }

  /** What peers may do. */
  get policy(): PeerPolicy {
    return this.#policy;
  }

  announce(property: HandshakeProperty): void {
    if (HAS_POLICIES) this.#state.property = property;
  }

  police(policy: PeerPolicy): void {
    if (!HAS_POLICIES) return;
    this.#policy = policy;
    for (const pipe of [...this.#pipes]) pipe.police(policy);
  }

  /** The options have other high-water marks now. */
  marksChanged(): void {
    const options = pipeOptions(this.#state.options, this.#state.type);
    for (const pipe of [...this.#pipes]) pipe.marksChanged(options);
  }

  /** The routing keeps so many more bytes of received messages; negative: fewer. */
  kept(bytes: number): void {
    this.#budget.add(bytes);
  }

  /** @param outlives it is kept when its link is lost */
  make(endpoint: string, outlives: boolean): Pipe {
    const { effects, options, type } = this.#state;
    const pipe = new Pipe(effects, pipeOptions(options, type), this.#budget, endpoint, outlives);
    if (HAS_POLICIES) pipe.police(this.#policy);
    return pipe;
  }

  add(pipe: Pipe): void {
    this.#pipes.add(pipe);
    this.#state.routing.add(pipe);
    this.#moveUnsent();
  }

  /** The peer at the other end, as its handshake described it. @param connection which commands go over it */
  peerOf(metadata: Metadata, connection: { readonly commands: boolean }): Peer {
    return {
      socketType: metadata.get("socket-type")?.toString("latin1") ?? "",
      identity: metadata.get("identity") ?? EMPTY,
      commands: connection.commands,
      property: HAS_POLICIES ? propertyIn(metadata, this.#state.property) : undefined,
    };
  }

  /** Why a peer may not join; `undefined`: it may. @param pipe the one it would be linked to, if there is one already */
  refuse(peer: Peer, pipe: Pipe | undefined): Fault | undefined {
    const { type, routing } = this.#state;
    // A peer that names no type may be anything, as libzmq has it.
    const isRaw = type === "Stream" || type === "Datagram"; // They have no handshakes.
    if (isRaw || peer.socketType === "" || fits(type, peer.socketType))
      return pipe?.leaving === undefined ? routing.refuse(peer, pipe) : undefined;
    return {
      kind: "protocol",
      code: "ERR_ZMTP_INVALID_METADATA",
      message: `a ${wireNameOf(type)} cannot talk to a ${peer.socketType.replace(/[^ -~]/g, "?").slice(0, 40)}`,
    };
  }

  /** Its link stands. */
  joined(pipe: Pipe): void {
    if (pipe.leaving !== undefined) return;
    const { routing, effects } = this.#state;
    this.#count += 1;
    routing.joined(pipe);
    effects.event({ type: "handshake", address: pipe.endpoint });
    effects.event({ type: "peer:join", address: pipe.endpoint, ...idOf(pipe) });
    this.#reportProperty(pipe, true);
  }

  /** Its link is gone. */
  left(pipe: Pipe, reason: DisconnectReason, error?: ShoalError): void {
    const { routing, effects } = this.#state;
    this.#parted(pipe, reason, error);
    effects.dropped(pipe.unlinked());
    if (pipe.isGone) return;
    if (pipe.released && !this.#state.closing) {
      this.#endRelease(pipe);
      return;
    }
    const waits = pipe.outlives && !(this.#state.closing && pipe.out.messages === 0);
    if (waits) routing.lost(pipe);
    else this.#remove(pipe);
    this.#placeIsFree();
  }

  /** Ends a pipe, and its link. */
  end(pipe: Pipe, reason: CloseReason): void {
    const { link } = pipe;
    this.#remove(pipe);
    link?.close(reason);
    this.#placeIsFree();
  }

  /** Ends the link of a pipe, or a pipe that has none and belongs to no endpoint. */
  close(pipe: Pipe, reason: CloseReason): void {
    const { link } = pipe;
    // On a raw stream the program's own messages come first: an empty message means "hang up".
    if (link !== undefined && this.#state.type === "Stream") link.drain(0);
    else if (link !== undefined) link.close(reason);
    else if (!pipe.outlives) this.end(pipe, reason);
  }

  /**
   * Takes a pipe out of use, and has what waits in it sent within the socket's linger. What it received can still be
   * taken. For the program its peer has left.
   *
   * @param stop called at its end: no further attempts to reach the peer
   * @returns `false`, and nothing has changed, where nothing is to be sent or there is no linger
   */
  leave(pipe: Pipe, stop: () => void): boolean {
    const linger = this.#state.options.linger;
    const { link } = pipe;
    // A link has something even if nothing waits: what the kernel holds is lost when it is cut with input unread.
    if (linger === 0 || (link === undefined && pipe.out.messages === 0)) return false;
    const patience = patienceOf(linger);
    // It does not hold the process: at its end the socket closes, and lingers for all that waits (lifetime.ts).
    const timer = linger < 0 ? undefined : setTimeout(() => this.#endLeaving(pipe), linger).unref();
    this.#leaving.set(pipe, { stop, timer });
    this.#state.routing.removed(pipe);
    this.#parted(pipe, "local", undefined);
    pipe.leaving = patience;
    this.#placeIsFree();
    link?.drain(patience);
    this.proceed();
    return true;
  }

  /**
   * Gives a pipe nothing new, and moves what waits in it to other peers where it may; see the head of this file.
   *
   * @param stop called at its end: no further attempts to reach the peer
   * @returns `false` where it has nothing to do any more: the caller ends it
   */
  release(pipe: Pipe, stop: () => void): boolean {
    const { routing, type } = this.#state;
    pipe.released = true;
    routing.released(pipe, true);
    routing.move(pipe);
    const { link } = pipe;
    if (link === undefined) return this.leave(pipe, stop);
    if (CONVERSES.includes(type)) {
      const timer = setTimeout(() => this.#endRelease(pipe), RELEASE_TIMEOUT).unref();
      this.#released.set(pipe, { stop, timer });
      return true;
    }
    // Within the thread nothing is on its way.
    if (link.instant === true) return false;
    if (!LISTENS.includes(type)) return this.leave(pipe, stop);
    this.#released.set(pipe, { stop, timer: undefined });
    link.halfClose();
    return true;
  }

  /** Takes back a release. @returns whether the pipe is in use again */
  reclaim(pipe: Pipe): boolean {
    const released = this.#released.get(pipe);
    if (released?.timer === undefined) return false;
    clearTimeout(released.timer);
    this.#released.delete(pipe);
    pipe.released = false;
    this.#state.routing.released(pipe, false);
    return true;
  }

  /** A pipe has room again: what nobody could take may go there. */
  roomFound(): void {
    this.proceed();
  }

  /** Something was sent, or a link is gone: pipes that leave may have nothing left to wait for. */
  proceed(): void {
    if (this.#leaving.size === 0) return;
    this.#moveUnsent();
    for (const pipe of [...this.#leaving.keys()]) {
      const isUnreachable = pipe.link === undefined && !pipe.outlives;
      if (pipe.out.messages === 0 || isUnreachable) this.#endLeaving(pipe);
    }
  }

  /** Sends what waits and hangs up, on every link that stands. @param patience ms (connection.ts) */
  drain(patience: number): void {
    for (const { link } of [...this.#pipes]) link?.drain(patience);
  }

  /** Ends this side's half of every link; what the peers had sent until then is received. */
  halfClose(): void {
    for (const { link } of [...this.#pipes]) link?.halfClose();
  }

  /** The end of all pipes, whatever still waits. @returns messages that were accepted and did not go out */
  endAll(): number {
    for (const pipes of [this.#leaving, this.#released]) {
      if (pipes.size === 0) continue;
      for (const { timer } of pipes.values()) clearTimeout(timer);
      pipes.clear();
    }
    let lost = 0;
    for (const pipe of [...this.#pipes]) {
      const unsent = pipe.out.messages;
      lost += unsent;
      // First the pipe, so that nothing of it is counted, or handed over, with its link once more.
      this.#pipes.delete(pipe);
      pipe.end();
      const { link } = pipe;
      // A link that has sent everything goes on by itself until the peer has hung up; for the program its peer is gone.
      // (One whose commands the kernel does not take has not: their memory goes to others now.)
      const goesOn = unsent === 0 && link?.draining === true && !link.blocked;
      if (goesOn) this.#forget(pipe);
      else link?.close("local");
    }
    return lost;
  }

  #endLeaving(pipe: Pipe): void {
    const leaving = this.#leaving.get(pipe);
    if (leaving === undefined) return;
    this.#leaving.delete(pipe);
    clearTimeout(leaving.timer);
    leaving.stop();
    const { link } = pipe;
    // A link that has sent everything goes on by itself until the peer has hung up.
    const hasSent = pipe.out.messages === 0 && link?.blocked === false;
    if (this.#pipes.delete(pipe)) this.#state.effects.dropped(pipe.end());
    if (!hasSent) link?.close("local");
  }

  /** A released pipe has lost its link, or its time is over. */
  #endRelease(pipe: Pipe): void {
    const released = this.#released.get(pipe);
    this.#released.delete(pipe);
    clearTimeout(released?.timer);
    this.#state.routing.move(pipe);
    if (released === undefined || this.leave(pipe, released.stop)) return;
    released.stop();
    this.end(pipe, "local");
  }

  /** Released pipes whose messages nobody could take: somebody may by now. */
  #moveUnsent(): void {
    for (const pipe of this.#leaving.keys()) if (pipe.released) this.#state.routing.move(pipe);
  }

  /** The socket ends before its link does: the events will have ended by then. */
  #forget(pipe: Pipe): void {
    if (pipe.peer === undefined || pipe.leaving !== undefined) return;
    this.#reportProperty(pipe, false);
    pipe.peer = undefined;
    this.#count -= 1;
  }

  /** Reports to the program that a peer has left, if it knew of the peer. */
  #parted(pipe: Pipe, reason: DisconnectReason, error: ShoalError | undefined): void {
    if (pipe.peer !== undefined && pipe.leaving === undefined) {
      const { effects } = this.#state;
      this.#count -= 1;
      const address = pipe.endpoint;
      effects.event({ type: "disconnect", address, reason, ...(error === undefined ? {} : { error }) });
      effects.event({ type: "peer:leave", address, reason, ...idOf(pipe) });
      this.#reportProperty(pipe, false);
    }
    pipe.peer = undefined;
  }

  #reportProperty({ peer }: Pipe, joined: boolean): void {
    if (!HAS_POLICIES) return;
    if (peer?.property !== undefined) this.#state.property?.onPeerProperty(peer.property, joined);
  }

  /** Takes a pipe out of use; what it received can still be taken. */
  #remove(pipe: Pipe): void {
    if (!this.#pipes.delete(pipe)) return;
    this.#state.routing.removed(pipe);
    pipe.link?.flush();
    this.#state.effects.dropped(pipe.end());
  }

  #placeIsFree(): void {
    if (!this.#state.closing) this.onPlace();
  }
}

/** For events: the object that came with the peer's messages, else a copy. */
export function idOf(pipe: Pipe): { routingId?: Buffer } {
  const { routingId } = pipe;
  return routingId === undefined ? {} : { routingId: lastGiven(pipe) ?? Buffer.from(routingId) };
}
