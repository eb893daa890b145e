/**
 * The behaviour of a socket type: the pipe for each message, and the source of the next one (28/REQREP,
 * 29/PUBSUB, 30/PIPELINE, 31/EXPAIR).
 *
 *   add      a pipe accepts messages; if we connect, before its first handshake
 *   joined   its handshake is complete, for the first time or again
 *   lost     its connection is gone; the pipe waits for the next
 *   removed  it ended; its received messages can still be taken
 */
import { InvalidMessageError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import type { SocketTypeName } from "../../../core/socket-type.js";
import type {
  EngineSubscriber,
  EngineSubscriptions,
  Lease,
  OfferResult,
  OutgoingMessage,
  RelaySink,
  RelaySource,
  TakenMessages,
} from "../../engine.js";
import type { EngineDropReason, InvalidReason, SocketEvent } from "../../events.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { CloseReason, Peer, Pipe } from "../pipe.js";
import { FairQueue } from "./queues.js";
import type { Relays } from "./relaying.js";

/** Departed peers with untaken messages; beyond, none is accepted. */
export const MAX_ORPHANED_PIPES = 4_096;

export interface RoutingEffects {
  readonly options: Readonly<OptionValues>;
  /** `undefined` in a page. */
  readonly relays: Relays | undefined;
  routingOnReadable(): void;
  routingOnWritable(): void;
  routingOnReplyLost(): void;
  dropped(reason: EngineDropReason, messages: number, pipe: Pipe): void;
  routingOnKept(bytes: number): void;
  closePipe(pipe: Pipe, reason: CloseReason): void;
  event(event: SocketEvent): void;
}

export type RoutingOf = (effects: RoutingEffects) => Routing;

/** Those of the socket classes that the program has loaded. */
export const LOADED_ROUTINGS: Partial<Record<SocketTypeName, RoutingOf>> = {};

export abstract class Routing {
  protected readonly effects: RoutingEffects;
  protected readonly pipes = new Set<Pipe>();
  /** Unsuitable for the socket type. */
  invalid = 0;
  /** Datagrams, and messages of departed peers, without room. */
  overflowed = 0;
  /** Each ended its connection. */
  tooLarge = 0;
  /** A message that was taken from its pipe before the program takes it. */
  protected held: unknown = undefined;
  /** Departed peers' pipes with untaken messages. */
  #orphanedPipes: Pipe[] = [];
  /** Length at which those without messages are dropped. */
  #mostOrphanedPipes = 16;

  constructor(effects: RoutingEffects) {
    this.effects = effects;
  }

  abstract get readable(): boolean;
  abstract get writable(): boolean;
  /** @param transfer at most one pipe may get the message */
  abstract offer(message: OutgoingMessage, transfer?: boolean): OfferResult;
  abstract take(lease?: Lease): Buffer[] | undefined;

  takeMany(_taken: TakenMessages, _max: number, _maxCost: number, _lease: Lease | undefined): void {}

  // Facets of the socket (engine.ts), read once.

  get subscriptions(): EngineSubscriptions | undefined {
    return undefined;
  }

  get relaySource(): RelaySource | undefined {
    return undefined;
  }

  get relaySink(): RelaySink | undefined {
    return undefined;
  }

  sender?(): EngineSubscriber | undefined;

  queuedBytes?(routingId: Uint8Array): number;

  refuse(_peer: Peer, _pipe: Pipe | undefined): Fault | undefined {
    return undefined;
  }

  add(pipe: Pipe): void {
    this.pipes.add(pipe);
  }

  joined(_pipe: Pipe): void {}

  lost(_pipe: Pipe): void {}

  removed(pipe: Pipe): void {
    this.pipes.delete(pipe);
    if (pipe.in.messages === 0) return;
    // Not at each of thousands of disconnects, which would take their square.
    if (this.#orphanedPipes.push(pipe) >= this.#mostOrphanedPipes) this.#dropEmptyOrphans();
  }

  /** Sends the peer nothing new. @returns whether it may still answer */
  release(_pipe: Pipe): boolean {
    return false;
  }

  tooManyOrphans(): boolean {
    if (this.#orphanedPipes.length >= MAX_ORPHANED_PIPES) this.#dropEmptyOrphans();
    return this.#orphanedPipes.length >= MAX_ORPHANED_PIPES;
  }

  #dropEmptyOrphans(): void {
    this.#orphanedPipes = this.#orphanedPipes.filter((pipe) => pipe.in.messages > 0);
    this.#mostOrphanedPipes = 16 + 2 * this.#orphanedPipes.length;
  }

  messages(_pipe: Pipe): void {
    this.effects.routingOnReadable();
  }

  room(_pipe: Pipe): void {
    this.effects.routingOnWritable();
  }

  /** A send waits. */
  awaited(): void {
    for (const pipe of this.pipes) pipe.awaited();
  }

  protected readerLess(): void {
    if (this.effects.options.noDrop === true) this.effects.routingOnWritable();
  }

  command(_pipe: Pipe, _body: Buffer): void {}

  get replyLost(): boolean {
    return false;
  }

  get asked(): string | undefined {
    return undefined;
  }

  get late(): number {
    return 0;
  }

  protected refuseMessage(why: string): void {
    this.invalid += 1;
    this.report("frames", why);
  }

  report(reason: InvalidReason, why: string): void {
    const error = new InvalidMessageError(why);
    // A listener may receive or close while the caller is receiving.
    queueMicrotask(() => this.effects.event({ type: "invalid", reason, error }));
  }

  refuseLarge(which: string, from: string): void {
    this.tooLarge += 1;
    const what = `Refused ${which} from ${from}; the connection ended, and what came behind it is lost`;
    this.report("tooLarge", what);
    if (this.tooLarge === 1) process.emitWarning(`${what}. stats().invalid.tooLarge counts further ones.`);
  }

  /** Whether a group's datagrams are wanted (DISH); if absent, all are. */
  wants?(group: Buffer): boolean;

  discard(): number {
    let messages = this.held === undefined ? 0 : 1;
    this.held = undefined;
    for (const pipe of this.pipes) messages += pipe.discard();
    for (const pipe of this.#orphanedPipes) messages += pipe.discard();
    this.#orphanedPipes = [];
    return messages;
  }

  get queuedIn(): number {
    let messages = this.held === undefined ? 0 : 1;
    for (const pipe of this.pipes) messages += pipe.in.messages;
    for (const pipe of this.#orphanedPipes) messages += pipe.in.messages;
    return messages;
  }
}

/** Names in READY, with the accepted peer types (37/ZMTP, The Socket-Type Property). */
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
  // Types without handshakes.
  Stream: "STREAM",
  Datagram: "DGRAM",
};

export function wireNameOf(type: SocketTypeName): string {
  return READY[type].split(" ")[0] as string;
}

export function fits(type: SocketTypeName, peer: string): boolean {
  return READY[type].split(" ").indexOf(peer, 1) > 0;
}

/** The receiving half of PULL, DEALER, PAIR, SUB, ROUTER and SERVER. */
export abstract class FairRouting extends Routing {
  protected readonly in: FairQueue;

  /** @param inTurn as of FairQueue */
  constructor(effects: RoutingEffects, inTurn = true) {
    super(effects);
    this.in = new FairQueue(inTurn);
  }

  get readable(): boolean {
    return this.in.next() !== undefined;
  }

  override messages(pipe: Pipe): void {
    this.in.add(pipe);
    this.effects.routingOnReadable();
  }

  take(lease?: Lease): Buffer[] | undefined {
    const pipe = this.in.next();
    if (pipe === undefined) return undefined;
    const message = pipe.take(this.idFor(pipe), lease);
    this.in.advance(pipe);
    return message;
  }

  override takeMany(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void {
    this.in.takeMany(taken, max, maxCost, lease, this.#idFor);
  }

  /** @returns a frame to prepend to messages of this peer */
  protected idFor(_pipe: Pipe): Buffer | undefined {
    return undefined;
  }

  #idFor = (pipe: Pipe): Buffer | undefined => this.idFor(pipe);
}
