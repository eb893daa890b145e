/**
 * What patterns and proxies may ask of a socket beyond its public methods. It is the only way in: a socket's `CORE` stays
 * inside this folder, and no function here hands out the engine.
 *
 *   capabilitiesOf, engineStats, counters   what the socket and its engine know
 *   countLost                               messages that it was to send
 *   peersOf                                 its peers
 *   listen                                  its events, without keeping the process alive
 *   endpointsOf, watchBound                 what it is bound and connected to
 *   queuedBytesFor                          a Router's queue for one peer
 *   deliverNow                              a message of a Dealer that has one peer, or of a Router to one
 *   readAll, readBatches                    all that comes, without a call for it
 *   senderOf, trySendTo                     one subscriber of an XPublisher
 *   forwards, checkMessage                  what it may send
 *   announce, retire, Policing              its peers, where the engine can
 *   relay.ts                                messages that pass from one socket to another
 */
import type { ShoalError } from "../core/errors.js";
import {
  type EngineCapabilities,
  type EnginePeer,
  type EngineStats,
  type EngineSubscriber,
  type HandshakeProperty,
  OfferResult,
  type PeerCredentials,
  type PeerPolicy,
} from "../engine/engine.js";

import type { SocketEvent } from "../engine/events.js";
import type { FrameBatch } from "../engine/frame-batch.js";
import { isReceiveObserved, OBSERVABLE } from "./observation.js";
import type { DeliveryResult } from "./outbox.js";
import type { Subscriber, XPublisher } from "./pub-sub.js";
import { Reader } from "./reader.js";
import type { Dealer, Router } from "./request-reply.js";
import { CORE, type Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";
import type { Counters } from "./stats.js";

export type { SocketEvent };

/** Messages of one batch at most that are read at once. */
const MAX_READ = 1_000;

/** What the socket's engine can do. */
export function capabilitiesOf(socket: Socket): EngineCapabilities {
  return socket[CORE].context.load().capabilities;
}

/** Whether a message of so many bytes is within the limits of the socket and its context, whichever way it goes. */
export function takesMessage(socket: Socket, bytes: number): boolean {
  const core = socket[CORE];
  const own = core.getOption("maxMessageSize") as number;
  const { maxMessageSize: largest = bytes } = core.context.socketDefaults();
  return largest >= bytes && (own < 0 || own >= bytes);
}

/** What the engine knows of the socket now. */
export function engineStats(socket: Socket): EngineStats {
  return socket[CORE].engine.stats();
}

/** The peers of the socket, as far as its engine knows them. @param max peers at most */
export function peersOf(socket: Socket, max: number): readonly EnginePeer[] {
  const core = socket[CORE];
  return core.closed ? [] : (core.engine.listPeers?.(max) ?? []);
}

/** The socket's own counters, which go on counting: to be read, not written. */
export function countersOf(socket: Socket): Readonly<Counters> {
  return socket[CORE].counters;
}

/** Messages that were taken for the socket to send, and that it did not get before it closed: lost there. */
export function countLost(socket: Socket, messages: number): void {
  const { counters } = socket[CORE];
  counters.sent += messages;
  counters.dropped.closed += messages;
}

/**
 * The socket passes on what peers sent, and adds an envelope: how large that may be was decided as it came, by the option
 * `maxMessageSize`, and is not decided again by the context as it leaves.
 */
export function forwards(...sockets: Socket[]): void {
  for (const socket of sockets) socket[CORE].forward();
}

/** @throws InvalidArgumentError `EINVAL` for a message that the socket does not take at all, such as one that is too large */
export function checkMessage(socket: Socket, message: unknown): void {
  socket[CORE].encode(message);
}

/** The socket's type, and the endpoints that it is bound and connected to now; those of sources among them. */
export function endpointsOf(socket: Socket): {
  readonly type: string;
  readonly bound: readonly string[];
  readonly connected: readonly string[];
} {
  const core = socket[CORE];
  return { type: core.typeName, ...core.endpoints.all };
}

/**
 * The endpoints that a socket is bound to: reported now, at each change, and as an empty list when it closes.
 *
 * @returns ends that
 */
export function watchBound(socket: Socket, watcher: (bound: readonly string[]) => void): () => void {
  const core = socket[CORE];
  if (!core.closed) return core.endpoints.watchBound(watcher);
  watcher([]);
  return () => undefined;
}

/** Why a socket's latest attempt to connect failed; `undefined` when none has, or its endpoint has been reached since. */
export function lastFailure(socket: Socket): ShoalError | undefined {
  return socket[CORE].events.lastFailure;
}

/** Hears all events of a socket from now on. Unlike a listener of `socket.events` it does not keep the process alive. */
export function listen(socket: Socket, listener: (event: SocketEvent) => void): void {
  socket[CORE].events.listen(listener);
}

/**
 * What messages cost (core/frame-cost.ts) that a socket has accepted and the kernel has not, for one peer of a Router: with the
 * capability `queueDepth`.
 *
 * @returns 0 over inproc, for a peer that is not there, and where the engine cannot know
 */
export function queuedBytesFor(socket: Socket, routingId: Uint8Array): number {
  const core = socket[CORE];
  return core.closed ? 0 : (core.engine.peerQueues?.queuedBytes(routingId) ?? 0);
}

/**
 * Sends a message of a Dealer with one peer if there is room, before its connection stands, too; or of a Router to one peer.
 *
 * @param message its frames, a Router's with the routing id first; the array and the bytes are the socket's from now on. It is checked by
 *   nobody
 */
export function deliverNow(socket: Dealer | Router, message: (Buffer | string)[]): DeliveryResult {
  const core = socket[CORE];
  return core.closed ? "gone" : core.outbox.tryDeliver(message);
}

/**
 * Gives all that comes from now on to `reader`, until the socket closes: its frames, of a Router the routing id first. The socket is not
 * for calls of `receive` then.
 *
 * @param reader must not throw; it may call the socket, and close it
 */
export function readAll(socket: Dealer | Router, reader: (message: Buffer[]) => void): void {
  const core = socket[CORE];
  if (core.closed) return;
  new Reader(core, () => takeOne(core, reader));
}

/** Hands over the next message. @returns how many those were */
function takeOne(core: SocketCore, reader: (message: Buffer[]) => void): number {
  const message = core.inbox.next();
  if (message === undefined) return 0;
  reader(message as Buffer[]);
  return 1;
}

/**
 * As {@link readAll}, of a Subscriber's messages as they came, a batch at a time: without an object for each of them.
 *
 * @param reader may keep nothing of a batch when it returns, unless the batch has pinned it: its memory is used again
 * @param each gets the messages one by one while receives are observed: observers see each of them
 * @returns `false` where the engine cannot; nothing happens then
 */
export function readBatches(
  socket: Subscriber,
  reader: (batch: FrameBatch) => void,
  each: (message: Buffer[]) => void,
): boolean {
  const core = socket[CORE];
  const source = core.closed ? undefined : core.engine.relaySource;
  if (source === undefined) return false;
  const { counters } = core;
  new Reader(core, () => {
    if (OBSERVABLE && isReceiveObserved()) return takeOne(core, each);
    const batch = source.takeBatch(MAX_READ);
    if (batch === undefined) return 0;
    const { messages } = batch;
    counters.received += messages;
    counters.bytesReceived += batch.tally.bodyBytes;
    reader(batch);
    batch.release();
    return messages;
  });
  return true;
}

/**
 * One subscriber of an XPublisher, while its connection lasts: the same object for all its messages. `has(prefix)`: it is
 * still there and gets what begins with this prefix, one character per byte. `wantWritable(callback)`: after a `full`, the
 * callback runs once, when there may be room again or the subscriber is gone.
 */
export type Subscribed = Pick<EngineSubscriber, "has" | "wantWritable">;

/** Whether `senderOf` and `trySendTo` work: what a new subscriber is owed need not go to everybody. */
export function answersSubscribers(socket: XPublisher): boolean {
  return socket[CORE].engine.directed !== undefined;
}

/** Who sent the message that was received last; `undefined`: nobody that is still there. To be asked before the next receive. */
export function senderOf(socket: XPublisher): Subscribed | undefined {
  return socket[CORE].engine.directed?.sender();
}

/**
 * Sends a message to one subscriber alone, whatever it subscribed to. It goes through the same queue as what is sent to all
 * of them, in the order of the calls. Not for a socket with `noDrop`, whose sends may wait.
 *
 * @param message its frames; the bytes are the socket's from now on
 * @returns `full` while half of the subscriber's high-water mark waits: its `wantWritable` reports when to try again
 */
export function trySendTo(
  socket: XPublisher,
  subscriber: Subscribed,
  message: readonly Buffer[],
): DeliveryResult {
  const core = socket[CORE];
  if (core.closed) return "gone";
  const result = (subscriber as EngineSubscriber).offer(message);
  if (result === OfferResult.Mute) return "full";
  if (result !== OfferResult.Accepted) return "gone";
  const { counters } = core;
  counters.sent += 1;
  counters.delivered += 1;
  for (let i = 0; i < message.length; i++) counters.bytesSent += (message[i] as Buffer).length;
  return "sent";
}

/**
 * Sends a property to each peer in the handshake, and reports theirs; before the first bind or connect.
 *
 * @returns `false` where the engine cannot; nothing happens then
 */
export function announce(socket: Socket, property: HandshakeProperty): boolean {
  const { properties } = socket[CORE].engine;
  properties?.announce(property);
  return properties !== undefined;
}

/** Whether {@link retire} works. */
export function canRetire(socket: Socket): boolean {
  return socket[CORE].engine.retirement !== undefined;
}

/**
 * Takes in no further peers, for good. With `halfClose` this side's half of each connection ends, too: the peers go
 * elsewhere, and what they had sent until then is received. Does nothing where the engine cannot.
 */
export function retire(socket: Socket, halfClose: boolean): void {
  const { retirement } = socket[CORE].engine;
  if (halfClose) retirement?.halfClose();
  else retirement?.stopAccepting();
}

/** What a socket's peers may do, set and replaced while it runs. */
export class Policing {
  readonly #core: SocketCore;
  /** The program's own hook, and its own limit. */
  readonly #authenticate: SocketCore["engineAuthenticate"];
  readonly #ownSize: number;

  constructor(socket: Socket) {
    this.#core = socket[CORE];
    this.#authenticate = this.#core.engineAuthenticate;
    this.#ownSize = this.#core.getOption("maxMessageSize") as number;
  }

  /** The engine's name. */
  get engine(): string {
    return this.#core.context.load().name;
  }

  /** Whether single peers are refused and slowed down; without it `change` limits only the size of messages. */
  get perPeer(): boolean {
    return this.#core.engine.policing !== undefined;
  }

  /**
   * Replaces what peers may do, also for those that are there; `disconnect` puts out those that may not stay.
   *
   * @param authenticate asked before the program's own hook, which has to accept the peer, too; `undefined`: that one alone
   */
  change(policy: PeerPolicy, authenticate: ((peer: PeerCredentials) => boolean) | undefined): void {
    const core = this.#core;
    const own = this.#authenticate;
    core.engineAuthenticate =
      authenticate === undefined
        ? own
        : async (peer) => authenticate(peer) && (own === undefined || own(peer));
    const { policing } = core.engine;
    if (policing === undefined) this.#limitSize(policy.messageSize);
    else policing.police(policy);
  }

  /** Disconnects the peers that `match` picks. @returns how many; 0 where the engine cannot */
  disconnect(match: (peer: PeerCredentials) => boolean): number {
    return this.#core.engine.policing?.disconnectPeers(match) ?? 0;
  }

  /** By the socket's option: for endpoints that are bound and connected later. */
  #limitSize(most: number | undefined): void {
    const own = this.#ownSize;
    const size = most === undefined ? own : own < 0 ? most : Math.min(own, most);
    if (size !== this.#core.getOption("maxMessageSize")) this.#core.setOption("maxMessageSize", size);
  }
}
