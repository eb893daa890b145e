/**
 * THE SEAM: what an engine is to everything above it.
 *
 * An engine moves frames and knows nothing of promises that a user sees, of
 * abort signals, codecs or iteration: those are built once, in sockets/. The
 * calls on the message path are synchronous and allocate nothing of their own:
 *
 *   offer(message)  -> Accepted | Mute | Unroutable | PeerFull
 *   wantWritable(y) ~> listener.engineOnWritable()      after a Mute
 *   take()          -> a message, or undefined
 *   wantReadable(n) ~> listener.engineOnReadable()      after an undefined
 *
 * Receiving is pulled, never pushed: an engine that is not asked stops reading
 * once its high-water mark is full, and so does its peer.
 */
import type { X509Certificate } from "node:crypto";
import type { Rate } from "../core/rate-meter.js";
import type { SocketType } from "../core/socket-type.js";
import type { EngineDropReason, SocketEvent } from "./events.js";
import type { FrameBatch } from "./frame-batch.js";
import type { Lease } from "./lease.js";

/** One frame on its way out. A string is sent as UTF-8; bytes belong to the engine until they left. */
export type OutgoingFrame = Uint8Array | string;

/** A message on its way out: one frame, or 1 or more. */
export type OutgoingMessage = OutgoingFrame | readonly OutgoingFrame[];

/** Whose the memory of an offered message is, if it is taken. Not both. */
export interface MessageMemory {
  /** The program's, which writes to it again after the call: nothing may refer to it then. */
  readonly copy?: boolean | undefined;
  /**
   * Nobody's any more: a receiver in the same thread may get the frames themselves, and write to them. An engine that hands on no
   * frames does as without it.
   */
  readonly transfer?: boolean | undefined;
}

/** What became of an offered message. */
export const OfferResult = {
  /** Queued by the engine: it will go out unless the peer or the socket goes away. */
  Accepted: 0,
  /** Not taken: no peer has room. Ask `wantWritable` and offer it again. */
  Mute: 1,
  /** Not taken: no connected peer has this routing id (ROUTER, STREAM, SERVER, PEER). */
  Unroutable: 2,
  /** Not taken: the peer with this routing id is at its high-water mark (ROUTER, SERVER, PEER). */
  PeerFull: 3,
} as const;
export type OfferResult = (typeof OfferResult)[keyof typeof OfferResult];

/**
 * Options by name, validated; names and units as in the package `zeromq`. Those of a socket are complete, and the very object
 * that the socket reads (core/option-values.ts): its own values are not the defaults, which it inherits.
 */
export type EngineOptions = Readonly<Record<string, unknown>>;

/** What a peer presented to the socket's `authenticate` hook (27/ZAP, The Request). */
export interface PeerCredentials {
  readonly mechanism: "NULL" | "PLAIN" | "CURVE" | (string & {});
  /** The peer's network address without a port; for ipc the engine's own text. */
  readonly address: string;
  readonly domain: string;
  readonly username?: string;
  readonly password?: string;
  /** Z85, 40 characters. */
  readonly publicKey?: string;
  /** Over `tls://`: the certificate that the peer has proved to be its own; its authority and dates have been checked. */
  readonly certificate?: X509Certificate;
}

/** What a socket's peers may do; what is absent is not limited. None of the calls may throw. */
export interface PeerPolicy {
  /** Whether a peer that connects from this network address may shake hands at all; for ipc the engine's own text. */
  readonly admits?: ((address: string) => boolean) | undefined;
  /** Whether a peer may join, now that its handshake is complete; asked for peers of both directions. */
  readonly joins?: ((peer: PeerCredentials) => boolean) | undefined;
  /** What each peer may send; what exceeds it waits, and then the peer does. */
  readonly rate?: Rate | undefined;
  /** Bytes of a message, where that is less than the option `maxMessageSize`. */
  readonly messageSize?: number | undefined;
  /** A peer's messages wait because of its rate. */
  readonly held?: (() => void) | undefined;
  /** A peer that connected from this address broke the protocol of a handshake, or had no certificate that is accepted. */
  readonly invalid?: ((address: string) => void) | undefined;
  /** A peer's connection ended because of a message that was too long. */
  readonly tooLong?: ((address: string) => void) | undefined;
}

/** A property that both ends of a connection may send in the handshake (37/ZMTP, Connection Metadata). */
export interface HandshakeProperty {
  /** Begins with "X-", as an application's properties do. */
  readonly name: string;
  /** ASCII, 255 characters at most. */
  readonly value: string;
  /** A peer that sent `value` under the same name has joined, or left. Nobody has checked the value. */
  readonly onPeerProperty: (value: string, joined: boolean) => void;
}

/** The engine's calls upwards. None of them may throw. */
export interface EngineListener {
  /** `take` has something again; sent once for each `wantReadable`. */
  engineOnReadable(): void;
  /** `offer` may succeed again; sent once for each `wantWritable`. */
  engineOnWritable(): void;
  /** `replyLost` of the socket may be true now. Absent: it is no REQ. */
  engineOnReplyLost?(): void;
  /** Something happened to the socket or one of its peers. */
  engineOnEvent(event: SocketEvent): void;
  /** Authenticates a peer before it may talk. A rejection counts as `false`. Absent: every peer may. */
  readonly engineAuthenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
}

/** What an engine knows of a socket; `undefined` where it cannot know. */
export interface EngineStats {
  /** Peers whose handshake is complete now. */
  readonly peers: number | undefined;
  /** Connections that were made again after a loss. */
  readonly reconnects: number | undefined;
  /** Received messages that wait in the engine's own memory. */
  readonly queuedIn: number;
  /** Accepted messages that have not yet left for the kernel. */
  readonly queuedOut: number | undefined;
  /** Received messages that the socket type has no use for: a request without its delimiter (REP). Absent: not counted. */
  readonly invalid?: number;
  /** Datagrams for which the receive queue had no room, and messages of peers that have left an XPUB. Absent: not counted. */
  readonly overflowed?: number;
  /** Messages past `maxMessageSize`, or of too many frames: the connections that brought them ended. Absent: not counted. */
  readonly tooLarge?: number;
  /** Replies that the engine threw away, because their request had been given up (REQ). Absent: not counted. */
  readonly late?: number;
  /** Accepted messages, or copies of them, that did not go out, by reason; absent where the engine cannot know. */
  readonly dropped?: Readonly<Record<EngineDropReason, number>>;
}

/** How a socket's closing went. */
export interface EngineCloseResult {
  /** Whether everything accepted has left; `false` when the linger ran out first. */
  readonly drained: boolean;
  /** Accepted messages that were discarded; `undefined` where the engine cannot count them. */
  readonly discarded: number | undefined;
}

/** Where a socket listens, and what it connects to. */
export interface EngineEndpoints {
  /** Listens; gives the endpoint as resolved (wildcards filled in). Throws TransportError. */
  bind(endpoint: string): Promise<string>;
  /** The same at once. */
  bindSync(endpoint: string): string;
  /** Stops listening; settles when the endpoint is free for others. */
  unbind(endpoint: string): Promise<void>;
  /**
   * @param routingId the name that a ROUTER or STREAM gives the peer
   * @returns the id that a PEER gives it, where it has one before its handshake
   */
  connect(endpoint: string, routingId: string | undefined): Uint8Array | undefined;
  disconnect(endpoint: string): void;
  /**
   * As `disconnect`, for an endpoint that is given up while others serve in its place: what waits for it goes to them, and
   * what it still owes is received. An engine that cannot do that disconnects.
   */
  release(endpoint: string): void;
}

/** Whether a socket alone keeps the process alive, as `ref` and `unref` of a stream of Node.js. A new socket does not. */
export interface EngineEventLoop {
  ref(): void;
  unref(): void;
  /** Whether a bound socket keeps the process alive. Default true. */
  holdBound(on: boolean): void;
}

/** The subscriptions of a SUB, or the groups of a DISH; of an XPUB with the option `manual` those of the peer whose message was taken last. */
export interface EngineSubscriptions {
  subscribe(prefix: Buffer): void;
  unsubscribe(prefix: Buffer): void;
}

/** Messages as they came, for a relay that does not decode them. */
export interface RelaySource {
  /** As `take`, for one or more messages. @param max messages at most */
  takeBatch(max: number): FrameBatch | undefined;
}

/** Messages as they came in at another socket. */
export interface RelaySink {
  /**
   * As `offer`: takes from the front of the batch what there is room for. Unroutable and PeerFull are about one message,
   * which is taken off, too, and was not sent.
   */
  offerBatch(batch: FrameBatch): OfferResult;
}

/** One peer of an XPUB: the same object for all messages of one connection. */
export interface EngineSubscriber {
  /** Whether it is still there and gets what begins with this prefix. @param prefix one character a byte */
  has(prefix: string): boolean;
  /**
   * Queues a message for it alone, behind everything that was sent to it before, whatever it subscribed to. Mute: half of
   * its high-water mark waits already; the other half is for what goes to everybody. Unroutable: it is gone.
   */
  offer(message: OutgoingMessage): OfferResult;
  /** After a Mute: `onWritable` is called once, when there may be room again or the peer is gone; it must not throw. */
  wantWritable(onWritable: () => void): void;
}

/** Messages of an XPUB to one of its subscribers. */
export interface DirectedSending {
  /** Who sent the message taken last; `undefined` when that peer has gone by now, or nobody sent it. */
  sender(): EngineSubscriber | undefined;
}

/** Messages received together. */
export interface ReceivedList {
  readonly messages: Buffer[][];
  /** Bytes of their frames. */
  readonly size: number;
  /** As of {@link TakenMessages}. */
  readonly cost: number;
}

/** What one receive has taken so far. */
export interface TakenMessages {
  readonly messages: Buffer[][];
  /** Bytes of their frames. */
  bytes: number;
  /** What they cost in a budget (core/frame-cost.ts). */
  cost: number;
}

/** Messages that pass as their frames between sockets of the same thread: the same as `offer` and `takeMany`, in fewer steps. */
export interface FramePassing {
  /**
   * Hands over a message of one frame, which the program gives away.
   *
   * @returns `false`: nothing has changed, and `offer` decides
   */
  pass(frame: Buffer): boolean;
  /**
   * The next messages in the very list that they waited in, which is the caller's from then on.
   *
   * @param max, maxCost as of `takeMany` @returns `undefined`: `takeMany` gives what is there
   */
  takeList(max: number, maxCost: number): ReceivedList | undefined;
}

/** One peer, as an engine knows it now. */
export interface EnginePeer {
  /** Its own type, as its handshake has it: "PULL"; empty: it gave none. */
  readonly socketType: string;
  /** Where it is: `tcp://HOST:PORT` of the other end, else the endpoint that it came by. */
  readonly address: string;
  /** The id that a ROUTER knows it by, else the identity that it gave; `undefined`: neither. */
  readonly routingId: Uint8Array | undefined;
  /** Messages for it that have not left; whole messages from it that wait. */
  readonly queuedOut: number;
  readonly queuedIn: number;
  /** ms for which it has owed an answer to a heartbeat; `undefined`: it owes none. */
  readonly silentFor: number | undefined;
}

/** The queue of each peer of a ROUTER. */
export interface PeerQueues {
  /** What accepted messages for one peer cost (core/frame-cost.ts) that the kernel does not have yet; over inproc 0. */
  queuedBytes(routingId: Uint8Array): number;
}

/** Rules for single peers. */
export interface Policing {
  /** Replaces what peers may do, also for those that are there; `disconnectPeers` ends those that may not stay. */
  police(policy: PeerPolicy): void;
  /** Disconnects the peers that `match` picks. @returns how many */
  disconnectPeers(match: (peer: PeerCredentials) => boolean): number;
}

/** What the handshake carries for the program. */
export interface PeerProperties {
  /** From now on each handshake sends a property, and the peers' are reported; before the first bind or connect. */
  announce(property: HandshakeProperty): void;
}

/** The first steps of an end that loses nothing. Neither can be taken back. */
export interface Retirement {
  /** Stops listening and dialling. */
  stopAccepting(): void;
  /**
   * The same, and this side's half of each connection ends, so that the peers go elsewhere: nothing can be sent any more.
   * What they send until they notice is received, and `stats().peers` falls to 0 when all of it is in.
   */
  halfClose(): void;
}

/**
 * One open socket of an engine: the message path, and facets. A facet that the engine or the socket type does not have is
 * `undefined`; there is no other sign of it, and what a facet offers always works.
 */
export interface EngineSocket {
  /** @param memory whose the message's memory is; `undefined`: the engine's until the message has left */
  offer(message: OutgoingMessage, memory?: MessageMemory): OfferResult;
  /** A copy of a message for offering it later, with `copy`, in memory that the engine uses again. Absent: it has none. */
  keep?(message: OutgoingMessage): OutgoingMessage;
  /** @param lease what the message's memory is lent by; without one it is the program's */
  take(lease?: Lease): Buffer[] | undefined;
  /**
   * Takes the next messages together, where that is the same as one after the other and nothing has to be looked at in each.
   * Absent: `take` gives all.
   *
   * @param taken gets them; where it got none, `take` has the next, if there is one @param max messages of it
   * @param maxCost of it, which the last may go past @param lease as of `take`
   */
  takeMany?(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void;
  /** Throws away what was received and not taken. @returns how many messages */
  discard(): number;
  /** @param max how many messages the caller will take at once at most; 0: nobody waits for one any more */
  wantReadable(max: number): void;
  /** @param on `false`: nobody waits for room any more */
  wantWritable(on: boolean): void;
  readonly readable: boolean;
  readonly writable: boolean;
  /**
   * REQ: no reply to the last request will come, since the connection that it went over has ended. A REQ with a routing id may get one over the
   * next connection. Absent: the engine cannot know.
   */
  readonly replyLost?: boolean;
  /** Sets it in the options that the socket was opened with, too; nothing has changed where it throws. */
  setOption(name: string, value: unknown): void;
  stats(): EngineStats;
  /** Peers whose handshake is complete; absent where the engine does not know them. @param max peers at most */
  listPeers?: ((max: number) => EnginePeer[]) | undefined;
  /** Refuses everything new, sends what was accepted for `linger` ms (-1: no limit), then ends. */
  close(linger: number): Promise<EngineCloseResult>;

  readonly endpoints: EngineEndpoints;
  readonly eventLoop: EngineEventLoop;
  readonly subscriptions: EngineSubscriptions | undefined;
  readonly relaySource: RelaySource | undefined;
  readonly relaySink: RelaySink | undefined;
  readonly framePassing?: FramePassing | undefined;
  readonly directed: DirectedSending | undefined;
  readonly peerQueues: PeerQueues | undefined;
  readonly policing: Policing | undefined;
  readonly properties: PeerProperties | undefined;
  readonly retirement: Retirement | undefined;
}

/** A group of sockets that share an engine's resources and its inproc names. */
export interface EngineContext {
  open(type: SocketType, options: EngineOptions, listener: EngineListener): EngineSocket;
  getOption(name: string): unknown;
  setOption(name: string, value: unknown): void;
}

/** A way to move frames, made by this package; programs pass it to a context, and do nothing else with it. */
export interface Engine {
  /** As `Context.engine` returns it. */
  readonly name: string;
  /** @internal */
  readonly capabilities: EngineCapabilities;
  /** @internal What the engine was built for: transports, mechanisms and drafts, as the package `zeromq` names them. */
  readonly features: Readonly<Record<string, boolean>>;
  /** @internal @param shared the process-wide context, whose inproc names other copies of the engine see too */
  createContext(options: EngineOptions, shared: boolean): EngineContext;
}

/**
 * What an engine can do, as data, as far as the package asks before a socket is open; facets say the rest. A call that the
 * engine cannot carry out throws `NOT_SUPPORTED`; it never silently does nothing. The first table of docs/engines.md is
 * made of the engines' values and these comments.
 */
export interface EngineCapabilities {
  /** Transports an endpoint can name (on `libzmq` those that the addon was built with). */
  readonly transports: readonly string[];
  /** Transports over which peers are reported and counted. */
  readonly peerEvents: readonly string[];
  /** `peer:join` and `peer:leave` of a Router carry the peer's routing id. */
  readonly peerRoutingIds: boolean;
  /** A publisher counts and reports what it drops for a subscriber whose queue is full. */
  readonly publisherDrops: boolean;
  /** A publisher sees its subscriptions. */
  readonly subscriptions: boolean;
  /** A publisher with the option `conflate` sees its subscriptions, too, and `waitForSubscribers` waits for them. */
  readonly conflatedSubscriptions: boolean;
  /**
   * Messages that were accepted and have not left are counted, with their bytes; so a Majordomo broker can
   * bound in bytes what it holds for a client.
   */
  readonly queueDepth: boolean;
  /** Socket options of which the engine takes only the default; any other value is `NOT_SUPPORTED`. */
  readonly unsupportedOptions: readonly string[];
  /** Frames of fewer bytes are copied within each call that sends, unless they are given away (`transfer`); 0: none. */
  readonly copiesBelow?: number;
}
