/**
 * What makes a socket type: which pipe a message goes to, and which one the next
 * comes from (28/REQREP, 29/PUBSUB, 30/PIPELINE, 31/EXPAIR). One small file each.
 *
 *   add      a pipe that takes messages, before its first handshake, too, if we connect
 *   joined   its handshake is complete, for the first time or again
 *   lost     its connection is gone; it stays, and waits for the next
 *   removed  it ended; what it has received can still be taken
 */
import { InvalidMessageError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import type { SocketTypeName } from "../../../core/socket-type.js";
import type {
  DirectedSending,
  EngineSubscriptions,
  FramePassing,
  OfferResult,
  OutgoingMessage,
  PeerQueues,
  RelaySink,
  RelaySource,
  TakenMessages,
} from "../../engine.js";
import type { EngineDropReason, InvalidReason, SocketEvent } from "../../events.js";
import type { Lease } from "../../lease.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { CloseReason, Peer, Pipe } from "../pipe.js";

/** Peers that left with messages which nobody has taken, at most: beyond that no peer is accepted. */
export const MAX_ORPHANED_PIPES = 4_096;

/** What a routing can do to its socket. */
export interface RoutingEffects {
  readonly options: Readonly<OptionValues>;
  /** `take` may give something. */
  routingOnReadable(): void;
  /** `offer` may succeed. */
  routingOnWritable(): void;
  routingOnEvent(event: SocketEvent): void;
  /** REQ: `replyLost` may be true now. */
  routingOnReplyLost(): void;
  /** A message that was accepted, or a copy of it, does not reach a peer. */
  routingOnDrop(reason: EngineDropReason, pipe: Pipe, messages?: number): void;
  /** The routing keeps so many more bytes of received messages; negative: fewer. */
  routingOnKept(bytes: number): void;
  /** Ends a pipe and its connection. */
  closePipe(pipe: Pipe, reason: CloseReason): void;
}

export abstract class Routing {
  protected readonly effects: RoutingEffects;
  /** All pipes that have not ended. */
  protected readonly pipes = new Set<Pipe>();
  /** Received messages that were thrown away, because the socket type has no use for them. */
  invalid = 0;
  /** Messages for which there was no room: datagrams, and those of peers that have left. */
  overflowed = 0;
  /** Messages past a limit, each of which ended its connection. */
  tooLarge = 0;
  /** Pipes that ended with messages that nobody had taken; those that are empty by now go from time to time. */
  #orphanedPipes: Pipe[] = [];
  #mostOrphanedPipes = 16;

  constructor(effects: RoutingEffects) {
    this.effects = effects;
  }

  /** Whether a message is there. */
  abstract get readable(): boolean;
  /** Whether a message would be taken. */
  abstract get writable(): boolean;
  /** @param transfer as of the socket: at most one pipe may get the message with it */
  abstract offer(message: OutgoingMessage, transfer?: boolean): OfferResult;
  abstract take(lease?: Lease): Buffer[] | undefined;

  /** As of the socket. */
  takeMany(_taken: TakenMessages, _max: number, _maxCost: number, _lease: Lease | undefined): void {}

  // Facets of the socket (engine.ts); asked for once.

  get subscriptions(): EngineSubscriptions | undefined {
    return undefined;
  }

  get relaySource(): RelaySource | undefined {
    return undefined;
  }

  get relaySink(): RelaySink | undefined {
    return undefined;
  }

  get framePassing(): FramePassing | undefined {
    return undefined;
  }

  get directed(): DirectedSending | undefined {
    return undefined;
  }

  get peerQueues(): PeerQueues | undefined {
    return undefined;
  }

  /** Whether a peer may join; asked before its pipe is added. */
  refuse(_peer: Peer, _pipe: Pipe | undefined): Fault | undefined {
    return undefined;
  }

  /** The socket is closed: what it has not finished is of no use any more. */
  close(): void {}

  add(pipe: Pipe): void {
    this.pipes.add(pipe);
  }

  joined(_pipe: Pipe): void {}

  lost(_pipe: Pipe): void {}

  removed(pipe: Pipe): void {
    this.pipes.delete(pipe);
    if (pipe.in.messages === 0) return;
    this.#orphanedPipes.push(pipe);
    if (this.#orphanedPipes.length < this.#mostOrphanedPipes) return;
    this.#orphanedPipes = this.#orphanedPipes.filter((pipe) => pipe.in.messages > 0);
    this.#mostOrphanedPipes = 16 + 2 * this.#orphanedPipes.length;
  }

  /** It gets nothing new from now on, or gets it again; what it brings is wanted in either case. */
  released(_pipe: Pipe, _released: boolean): void {}

  /** A message that waits in a released pipe, and that another peer could have as well, moves there. */
  move(_from: Pipe): void {}

  /** Whether so many peers have left unread messages that no more may come. */
  tooManyOrphans(): boolean {
    if (this.#orphanedPipes.length < MAX_ORPHANED_PIPES) return false;
    this.#orphanedPipes = this.#orphanedPipes.filter((pipe) => pipe.in.messages > 0);
    return this.#orphanedPipes.length >= MAX_ORPHANED_PIPES;
  }

  /** Messages have come. */
  messages(_pipe: Pipe): void {
    this.effects.routingOnReadable();
  }

  /** A pipe that had no room has it again. */
  room(_pipe: Pipe): void {
    this.effects.routingOnWritable();
  }

  /** A send has found no room, and waits for it. */
  awaited(): void {}

  /** A reader of some messages is one no more: with `noDrop` a send may have waited for it alone. */
  protected readerLess(): void {
    if (this.effects.options.noDrop === true) this.effects.routingOnWritable();
  }

  /** SUBSCRIBE or CANCEL has come. */
  command(_pipe: Pipe, _body: Buffer): void {}

  /** As of the socket (REQ). */
  get replyLost(): boolean {
    return false;
  }

  /** Replies to requests that were given up (REQ); they were thrown away. */
  get late(): number {
    return 0;
  }

  /** A received message does not have the frames that the socket type asks for: it is counted, reported and thrown away. */
  protected refuseMessage(why: string): void {
    this.invalid += 1;
    this.report("frames", why);
  }

  /** One was thrown away, and is counted. */
  report(reason: InvalidReason, why: string): void {
    const error = new InvalidMessageError(why);
    // Not now: a listener may receive or close, in the middle of the receive that has come upon it.
    queueMicrotask(() => this.effects.routingOnEvent({ type: "invalid", reason, error }));
  }

  /** A message that is too large ended its connection. @param which as of `tooLargeText` @param from an endpoint */
  refuseLarge(which: string, from: string): void {
    this.tooLarge += 1;
    const what = `Refused ${which} from ${from}; the connection ended, and what came behind it is lost`;
    this.report("tooLarge", what);
    if (this.tooLarge === 1) process.emitWarning(`${what}. stats().invalid.tooLarge counts further ones.`);
  }

  /** Whether datagrams of a group are wanted (DISH); absent: all are. */
  wants?(group: Buffer): boolean;

  /** A socket type of single frames has received a message of others. */
  protected refuseFrames(frames: number): void {
    this.refuseMessage(`A message here is one frame; got ${frames}`);
  }

  /** Throws away what was received and not taken. @returns how many messages */
  discard(): number {
    let messages = 0;
    for (const pipe of this.pipes) messages += pipe.discard();
    for (const pipe of this.#orphanedPipes) messages += pipe.discard();
    this.#orphanedPipes = [];
    return messages;
  }

  /** Messages received and not taken. */
  get queuedIn(): number {
    let messages = 0;
    for (const pipe of this.pipes) messages += pipe.in.messages;
    for (const pipe of this.#orphanedPipes) messages += pipe.in.messages;
    return messages;
  }
}

/** The name of each socket type in READY, and those of the types that it may talk to (37/ZMTP, The Socket-Type Property). */
const READY: Readonly<Record<SocketTypeName, string>> = {
  Pair: "PAIR PAIR",
  Publisher: "PUB SUB XSUB",
  XPublisher: "XPUB SUB XSUB",
  Subscriber: "SUB PUB XPUB",
  XSubscriber: "XSUB PUB XPUB",
  Push: "PUSH PULL",
  Pull: "PULL PUSH",
  Request: "REQ REP ROUTER",
  Reply: "REP REQ DEALER",
  Dealer: "DEALER REP DEALER ROUTER",
  Router: "ROUTER REQ DEALER ROUTER",
  Client: "CLIENT SERVER",
  Server: "SERVER CLIENT",
  Radio: "RADIO DISH",
  Dish: "DISH RADIO",
  Scatter: "SCATTER GATHER",
  Gather: "GATHER SCATTER",
  Peer: "PEER PEER",
  Channel: "CHANNEL CHANNEL",
  // They have no handshakes.
  Stream: "STREAM",
  Datagram: "DGRAM",
};

/** The name that goes into READY. */
export function wireNameOf(type: SocketTypeName): string {
  return READY[type].split(" ")[0] as string;
}

/** Whether a type may talk to a peer whose READY has this name. */
export function fits(type: SocketTypeName, peer: string): boolean {
  return READY[type].split(" ").indexOf(peer, 1) > 0;
}
