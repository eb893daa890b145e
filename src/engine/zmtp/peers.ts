/**
 * The peers of one socket, one pipe each.
 *
 *   made --joined--> carried by a link --left--> waits for the next link, or is removed
 *                          | leave
 *                          v
 *                   leaving: queued messages are sent within the linger, then the pipe is removed
 *                          ^
 *                          | its link is gone, or its time is over
 *
 * `disconnect` makes a pipe leave; before its first connection, dialing goes on until the queue is sent.
 */
import type { ShoalError } from "../../core/errors.js";
import type { PeerPolicy } from "../engine.js";
import type { DisconnectReason } from "../events.js";
import { type Fault, type Metadata, protocolFault } from "./mechanism/mechanism.js";
import { closeTimeoutOf, pipeOptions } from "./options.js";
import { type CloseReason, lastGiven, type Peer, Pipe } from "./pipe.js";
import { ReceiveBudget } from "./receive-limits.js";
import { fits, wireNameOf } from "./routing/routing.js";
import type { SocketState } from "./socket-state.js";

const EMPTY = Buffer.alloc(0);

interface Leaving {
  readonly stop: () => void;
  readonly timer: NodeJS.Timeout | undefined;
}

export class Peers {
  readonly #state: SocketState;
  readonly #budget: ReceiveBudget;
  readonly #pipes = new Set<Pipe>();
  readonly #leaving = new Map<Pipe, Leaving>();
  #policy: PeerPolicy = {};

  constructor(state: SocketState) {
    this.#state = state;
    this.#budget = new ReceiveBudget(() => state.options.maxReceiveQueueBytes);
  }

  get pipes(): ReadonlySet<Pipe> {
    return this.#pipes;
  }

  get policy(): PeerPolicy {
    return this.#policy;
  }

  police(policy: PeerPolicy): void {
    this.#policy = policy;
    for (const pipe of [...this.#pipes]) pipe.police(policy);
  }

  marksChanged(): void {
    const options = pipeOptions(this.#state.options, this.#state.type);
    for (const pipe of [...this.#pipes]) pipe.marksChanged(options);
  }

  /** May be negative. */
  kept(bytes: number): void {
    this.#budget.add(bytes);
  }

  make(endpoint: string, outlives: boolean): Pipe {
    const { effects, options, type } = this.#state;
    const pipe = new Pipe(effects, pipeOptions(options, type), this.#budget, endpoint, outlives);
    pipe.out.inPieces = type === "Stream";
    pipe.police(this.#policy);
    return pipe;
  }

  add(pipe: Pipe): void {
    this.#pipes.add(pipe);
    this.#state.routing.add(pipe);
  }

  peerOf(metadata: Metadata, connection: { readonly commands: boolean }): Peer {
    const identity = metadata.get("identity") ?? EMPTY;
    return {
      socketType: metadata.get("socket-type")?.toString("latin1") ?? "",
      // A view would keep the memory of the handshake.
      identity: identity.length === 0 ? EMPTY : identity,
      commands: connection.commands,
    };
  }

  refuse(peer: Peer, pipe: Pipe | undefined): Fault | undefined {
    const { type, routing } = this.#state;
    // libzmq, too, accepts any peer without a socket type.
    const isRaw = type === "Stream" || type === "Datagram";
    if (isRaw || peer.socketType === "" || fits(type, peer.socketType))
      return pipe?.leaving === undefined ? routing.refuse(peer, pipe) : undefined;
    const theirs = peer.socketType.replace(/[^ -~]/g, "?").slice(0, 40);
    return protocolFault("ERR_ZMTP_INVALID_METADATA", `a ${wireNameOf(type)} cannot talk to a ${theirs}`);
  }

  joined(pipe: Pipe): void {
    // Within the process a listener at the other end may have ended the link.
    if (pipe.leaving !== undefined || pipe.link === undefined || pipe.joined) return;
    const { routing, effects } = this.#state;
    pipe.joined = true;
    routing.joined(pipe);
    effects.event({ type: "handshake", address: pipe.endpoint });
    effects.event({ type: "peer:join", address: pipe.endpoint, ...idOf(pipe) });
  }

  left(pipe: Pipe, reason: DisconnectReason, error?: ShoalError): void {
    const { routing, effects } = this.#state;
    this.#parted(pipe, reason, error);
    effects.dropped("disconnected", pipe.unlinked());
    if (pipe.isGone) return;
    const waits = pipe.outlives && !(this.#state.closing && pipe.out.messages === 0);
    if (waits && !this.#leaving.has(pipe)) routing.lost(pipe);
    else this.#remove(pipe);
  }

  end(pipe: Pipe, reason: CloseReason): void {
    const { link } = pipe;
    // It waits for the peer's hang-up without its pipe.
    const hasSent = pipe.leaving !== undefined && pipe.out.messages === 0 && link?.blocked === false;
    this.#remove(pipe);
    if (!hasSent) link?.close(reason);
  }

  /** Nothing connects it again. */
  giveUp(pipe: Pipe): void {
    this.end(pipe, "local");
    this.#state.effects.changed();
  }

  /** An unlinked pipe ends unless it can reconnect. */
  close(pipe: Pipe, reason: CloseReason): void {
    const { link } = pipe;
    // The program's empty message means "hang up", after the queue.
    if (link !== undefined && this.#state.type === "Stream") link.drain(0);
    else if (link !== undefined) link.close(reason);
    else if (!pipe.outlives) this.end(pipe, reason);
  }

  /**
   * Sends the queue within the linger. A peer of a source may first answer what it has, until it hangs up or for `bound`.
   *
   * @param stop ends attempts to reach the peer
   * @param bound for a source: ms, also if the linger has no bound
   * @returns `false`, without changes, if the queue is empty or there is no linger
   */
  leave(pipe: Pipe, stop: () => void, bound = -1): boolean {
    const given = this.#state.options.linger;
    const linger = given < 0 ? bound : given;
    const { link } = pipe;
    if (bound > 0 && link !== undefined && this.#state.routing.release(pipe)) {
      const timer = setTimeout(() => {
        if (!this.leave(pipe, stop, bound)) this.giveUp(pipe);
      }, bound).unref();
      this.#leaving.set(pipe, { stop, timer });
      return true;
    }
    // An empty queue needs a drain, too: the kernel discards its send buffer if a link is cut with unread
    // input.
    if (linger === 0 || (link === undefined && pipe.out.messages === 0)) return false;
    const timeout = closeTimeoutOf(linger);
    // The socket's closing lingers for this pipe, too.
    const timer = linger < 0 ? undefined : setTimeout(() => this.giveUp(pipe), linger).unref();
    this.#leaving.set(pipe, { stop, timer });
    this.#state.routing.removed(pipe);
    this.#parted(pipe, "local", undefined);
    pipe.leaving = timeout;
    link?.drain(timeout);
    this.proceed();
    return true;
  }

  /** @returns whether a peer of a source that may still answer is sent to again */
  reclaim(pipe: Pipe): boolean {
    if (!pipe.released || pipe.leaving !== undefined) return false;
    clearTimeout(this.#leaving.get(pipe)?.timer);
    this.#leaving.delete(pipe);
    pipe.released = false;
    this.#state.routing.room(pipe);
    return true;
  }

  proceed(): void {
    if (this.#leaving.size === 0) return;
    for (const pipe of [...this.#leaving.keys()]) {
      if (pipe.leaving === undefined) continue;
      const isUnreachable = pipe.link === undefined && !pipe.outlives;
      if (pipe.out.messages === 0 || isUnreachable) this.end(pipe, "local");
    }
  }

  /** @param timeout ms */
  drain(timeout: number): void {
    for (const { link } of [...this.#pipes]) link?.drain(timeout);
  }

  halfClose(): void {
    for (const { link } of [...this.#pipes]) link?.halfClose();
  }

  /** @returns accepted messages that were not sent */
  endAll(): number {
    for (const { timer } of this.#leaving.values()) clearTimeout(timer);
    this.#leaving.clear();
    let lost = 0;
    for (const pipe of [...this.#pipes]) {
      const unsent = pipe.out.messages;
      lost += unsent;
      // First: closing the link would count its messages again.
      this.#pipes.delete(pipe);
      pipe.end();
      const { link } = pipe;
      // A link that has sent everything waits for the peer's hang-up without its pipe, after the socket's
      // last event. A blocked link's pending commands use memory about to be reused.
      const goesOn = unsent === 0 && link?.draining === true && !link.blocked;
      if (goesOn) pipe.joined = false;
      else link?.close("local");
    }
    return lost;
  }

  #parted(pipe: Pipe, reason: DisconnectReason, error: ShoalError | undefined): void {
    if (pipe.joined) {
      const { effects } = this.#state;
      pipe.joined = false;
      const address = pipe.endpoint;
      effects.event({ type: "disconnect", address, reason, ...(error === undefined ? {} : { error }) });
      effects.event({ type: "peer:leave", address, reason, ...idOf(pipe) });
    }
    pipe.peer = undefined;
  }

  #remove(pipe: Pipe): void {
    if (!this.#pipes.delete(pipe)) return;
    const leaving = this.#leaving.get(pipe);
    this.#leaving.delete(pipe);
    clearTimeout(leaving?.timer);
    leaving?.stop();
    if (pipe.leaving === undefined) this.#state.routing.removed(pipe);
    pipe.link?.flush();
    this.#state.effects.dropped("disconnected", pipe.end());
  }
}

/** The routing id object given with the peer's messages, else a copy. */
export function idOf(pipe: Pipe): { routingId?: Buffer } {
  const { routingId } = pipe;
  return routingId === undefined ? {} : { routingId: lastGiven(pipe) ?? Buffer.from(routingId) };
}
