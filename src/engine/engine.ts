/**
 * The engine interface: the members that sockets use.
 *
 * An engine moves frames. Promises, abort signals, codecs and iteration are built once, in sockets/. Calls on
 * the message path are synchronous and allocate nothing:
 *
 *   offer(message)  -> Accepted | Mute | Unroutable | PeerFull
 *   wantWritable(y) ~> listener.engineOnWritable()      after a Mute
 *   take()          -> a message, or undefined
 *   wantReadable(n) ~> listener.engineOnReadable()      after an undefined
 *
 * Receiving is pulled: an engine stops reading once its high-water mark is full, which in turn stops the
 * peer.
 */
import type { X509Certificate } from "node:crypto";
import type { Rate } from "../core/rate-meter.js";
import type { SocketType } from "../core/socket-type.js";
import type { EngineDropReason, SocketEvent } from "./events.js";
import type { FrameBatch } from "./frame-batch.js";
import type { Lease } from "./lease.js";

/** An outgoing frame. Strings are sent as UTF-8; bytes belong to the engine until they have left. */
export type OutgoingFrame = Uint8Array | string;

/** An outgoing message: one frame, or a list of at least one. */
export type OutgoingMessage = OutgoingFrame | readonly OutgoingFrame[];

/**
 * Who owns the memory of an accepted message. At most one is set; the default is the engine, until the
 * message has left.
 */
export interface MessageMemory {
  /** The program reuses the memory after the call, so the engine copies it. */
  readonly copy?: boolean | undefined;
  /**
   * The program gives the memory away: a receiver in the same thread may get the frames themselves, and write
   * to them. An engine that does not pass frames on ignores this.
   */
  readonly transfer?: boolean | undefined;
}

export const OfferResult = {
  /** Queued: the message goes out unless the peer or the socket goes away. */
  Accepted: 0,
  /** Not taken because every peer is full. Call `wantWritable` and offer the message again. */
  Mute: 1,
  /** Not taken: no connected peer has this routing id (ROUTER, STREAM, SERVER, PEER). */
  Unroutable: 2,
  /** Not taken: the peer with this routing id is at its high-water mark (ROUTER, SERVER, PEER). */
  PeerFull: 3,
} as const;
export type OfferResult = (typeof OfferResult)[keyof typeof OfferResult];

/**
 * Validated options by name; names and units as in the package `zeromq`. A socket reads this very object,
 * which inherits its defaults (core/option-values.ts).
 */
export type EngineOptions = Readonly<Record<string, unknown>>;

/** Credentials of a peer, for the `authenticate` hook (27/ZAP, The Request). */
export interface PeerCredentials {
  readonly mechanism: "NULL" | "PLAIN" | "CURVE" | (string & {});
  /** The peer's network address without a port; for ipc an engine-specific text. */
  readonly address: string;
  readonly domain: string;
  readonly username?: string;
  readonly password?: string;
  /** Z85, 40 characters. */
  readonly publicKey?: string;
  /** The certificate of a `tls://` peer, after proof of its key and checks of its authority and dates. */
  readonly certificate?: X509Certificate;
}

/** Limits on a socket's peers; an absent limit does not apply. The callbacks must not throw. */
export interface PeerPolicy {
  /**
   * Whether a peer connecting from this address may start a handshake; for ipc the address is an
   * engine-specific text.
   */
  readonly admits?: ((address: string) => boolean) | undefined;
  /** Whether a peer may join after its handshake; applies to both directions. */
  readonly joins?: ((peer: PeerCredentials) => boolean) | undefined;
  /** Each peer's receive rate; messages over it wait, then the peer is no longer read. */
  readonly rate?: Rate | undefined;
  /** Bytes of a message; applies if less than the option `maxMessageSize`. */
  readonly messageSize?: number | undefined;
  /** Reports that the rate delays a peer's messages. */
  readonly held?: (() => void) | undefined;
  /** Reports an address after its handshake broke the protocol or lacked an accepted certificate. */
  readonly invalid?: ((address: string) => void) | undefined;
  /** Reports an address after an oversized message ended its connection. */
  readonly tooLong?: ((address: string) => void) | undefined;
}

/** A property for the handshakes of both ends (37/ZMTP, Connection Metadata). */
export interface HandshakeProperty {
  /** Starts with "X-", the prefix of application properties. */
  readonly name: string;
  /** ASCII, at most 255 characters. */
  readonly value: string;
  /** Reports that a peer with a property of this name joined or left. The value is unverified. */
  readonly onPeerProperty: (value: string, joined: boolean) => void;
}

/** Callbacks from the engine. They must not throw. */
export interface EngineListener {
  /** `take` may return a message again; called once per `wantReadable`. */
  engineOnReadable(): void;
  /** `offer` may succeed again; called once per `wantWritable`. */
  engineOnWritable(): void;
  /** `replyLost` may have become true (REQ only). */
  engineOnReplyLost?(): void;
  engineOnEvent(event: SocketEvent): void;
  /** Decides whether a peer may talk. A rejection counts as `false`; if absent, every peer may. */
  readonly engineAuthenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
}

/** Figures of a socket; `undefined` if the engine cannot know. */
export interface EngineStats {
  /** Peers with a complete handshake. */
  readonly peers: number | undefined;
  /** Connections restored after a loss. */
  readonly reconnects: number | undefined;
  /** Received messages in the engine's own memory. */
  readonly queuedIn: number;
  /** Accepted messages not yet handed to the kernel. */
  readonly queuedOut: number | undefined;
  /** Received messages unsuitable for the socket type, such as a request without its delimiter (REP). */
  readonly invalid?: number;
  /** Datagrams dropped at a full receive queue, and messages of departed XPUB peers. */
  readonly overflowed?: number;
  /** Messages over `maxMessageSize` or with too many frames; each ended its connection. */
  readonly tooLarge?: number;
  /** Replies discarded because their request had been given up (REQ). */
  readonly late?: number;
  /** Unsent accepted messages, or copies of them, by reason. */
  readonly dropped?: Readonly<Record<EngineDropReason, number>>;
}

export interface EngineCloseResult {
  /** Whether every accepted message left before the linger ended. */
  readonly drained: boolean;
  /** Discarded accepted messages; `undefined` if the engine cannot count them. */
  readonly discarded: number | undefined;
}

export interface EngineEndpoints {
  /** Listens. Returns the resolved endpoint (wildcards filled in); throws TransportError. */
  bind(endpoint: string): Promise<string>;
  /** Like `bind`, but completes before it returns. */
  bindSync(endpoint: string): string;
  /** Stops listening; resolves when the endpoint can be bound again. */
  unbind(endpoint: string): Promise<void>;
  /**
   * @param routingId the name by which a ROUTER or STREAM will know the peer
   * @returns the id by which a PEER knows it, if assigned before the handshake
   */
  connect(endpoint: string, routingId: string | undefined): Uint8Array | undefined;
  disconnect(endpoint: string): void;
  /**
   * Disconnects an endpoint that others replace: its queued messages move to them, and its pending replies
   * are still received. An engine without this ability disconnects.
   */
  release(endpoint: string): void;
}

/**
 * Whether a socket alone keeps the process alive, like `ref` and `unref` of Node.js streams. Default: unref.
 */
export interface EngineEventLoop {
  ref(): void;
  unref(): void;
  /** Whether a bound socket keeps the process alive. Default true. */
  holdBound(on: boolean): void;
}

/**
 * Subscriptions of a SUB, or groups of a DISH. On an XPUB with the option `manual`: the subscriptions of the
 * peer whose message was taken last.
 */
export interface EngineSubscriptions {
  subscribe(prefix: Buffer): void;
  unsubscribe(prefix: Buffer): void;
}

/** Messages in wire format, for a relay without decoding. */
export interface RelaySource {
  /** Like `take`, for one or more messages. @param max messages at most */
  takeBatch(max: number): FrameBatch | undefined;
}

export interface RelaySink {
  /**
   * Like `offer`, for as many messages from the front of the batch as there is room for. Unroutable and
   * PeerFull concern one message, which is removed unsent.
   */
  offerBatch(batch: FrameBatch): OfferResult;
}

/** A peer of an XPUB, one object per connection. */
export interface EngineSubscriber {
  /** Whether the peer is connected and subscribed to this prefix. @param prefix one character per byte */
  has(prefix: string): boolean;
  /**
   * Queues a message for this peer alone, after earlier messages, regardless of its subscriptions. Mute: half
   * of its high-water mark is used, and the other half is reserved for broadcasts. Unroutable: the peer is
   * gone.
   */
  offer(message: OutgoingMessage): OfferResult;
  /**
   * After a Mute: calls `onWritable` once, when the peer may have room or is gone. The callback must not
   * throw.
   */
  wantWritable(onWritable: () => void): void;
}

/** Messages from an XPUB to one subscriber. */
export interface DirectedSending {
  /** The sender of the message taken last; `undefined` if that peer has gone or the message has no sender. */
  sender(): EngineSubscriber | undefined;
}

/** The messages one receive has taken so far. */
export interface TakenMessages {
  readonly messages: Buffer[][];
  /** Bytes of the frames. */
  bytes: number;
  /** Cost against a budget (core/frame-cost.ts). */
  cost: number;
}

export interface EnginePeer {
  /** The peer's socket type from its handshake, such as "PULL"; empty if it sent none. */
  readonly socketType: string;
  /** `tcp://HOST:PORT` of the remote end, else the endpoint of this side. */
  readonly address: string;
  /** The peer's id at a ROUTER, else its identity, if any. */
  readonly routingId: Uint8Array | undefined;
  /** Unsent messages for the peer; whole messages received from it and not yet taken. */
  readonly queuedOut: number;
  readonly queuedIn: number;
  /** ms since an unanswered heartbeat; `undefined` if no answer is due. */
  readonly silentFor: number | undefined;
}

export interface PeerQueues {
  /**
   * Cost (core/frame-cost.ts) of accepted messages for one peer that the kernel does not have yet; over
   * inproc 0.
   */
  queuedBytes(routingId: Uint8Array): number;
}

export interface Policing {
  /** Replaces the policy, also for present peers; call `disconnectPeers` to end connections it forbids. */
  police(policy: PeerPolicy): void;
  /** Disconnects the matching peers. @returns their number */
  disconnectPeers(match: (peer: PeerCredentials) => boolean): number;
}

export interface PeerProperties {
  /**
   * Sends a property in each handshake and reports those of peers; call it before the first bind or connect.
   */
  announce(property: HandshakeProperty): void;
}

/** Steps of a shutdown without loss. They cannot be undone. */
export interface Retirement {
  /** Stops listening and connecting. */
  stopAccepting(): void;
  /**
   * Stops listening and connecting, and ends the sending half of each connection, so that peers go elsewhere.
   * Messages that the peers still send are received; `stats().peers` reaches 0 when they are all in.
   */
  halfClose(): void;
}

/**
 * An open socket of an engine: the message path, and facets. A facet that the engine or the socket type lacks
 * is `undefined`; the members of a present facet always work.
 */
export interface EngineSocket {
  /** @param memory who owns the message's memory; default: the engine, until the message has left */
  offer(message: OutgoingMessage, memory?: MessageMemory): OfferResult;
  /** Copies a message into reusable memory, for an `offer` with `copy` later. */
  keep?(message: OutgoingMessage): OutgoingMessage;
  /** @param lease lends the message's memory; without a lease the program owns it */
  take(lease?: Lease): Buffer[] | undefined;
  /**
   * Takes several messages at once, if they need no inspection one by one.
   *
   * @param taken receives the messages; if it stays empty, call `take` @param max messages in `taken` at most
   * @param maxCost of `taken`; the last message may exceed it @param lease see `take`
   */
  takeMany?(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void;
  /** Discards received messages. @returns their number */
  discard(): number;
  /** @param max messages the caller will take at once at most; 0 cancels the request */
  wantReadable(max: number): void;
  /** @param on `false` cancels the request */
  wantWritable(on: boolean): void;
  readonly readable: boolean;
  readonly writable: boolean;
  /**
   * REQ: the last request's connection has ended, so its reply is lost. A REQ with a routing id may still get
   * the reply over the next connection. Absent if the engine cannot know.
   */
  readonly replyLost?: boolean;
  /** Also changes the options the socket was opened with; changes nothing if it throws. */
  setOption(name: string, value: unknown): void;
  stats(): EngineStats;
  /** Peers with a complete handshake; absent if the engine does not know them. @param max peers at most */
  listPeers?: ((max: number) => EnginePeer[]) | undefined;
  /** Refuses new messages, sends the accepted ones for up to `linger` ms (-1: no limit), then ends. */
  close(linger: number): Promise<EngineCloseResult>;

  readonly endpoints: EngineEndpoints;
  readonly eventLoop: EngineEventLoop;
  readonly subscriptions: EngineSubscriptions | undefined;
  readonly relaySource: RelaySource | undefined;
  readonly relaySink: RelaySink | undefined;
  readonly directed: DirectedSending | undefined;
  readonly peerQueues: PeerQueues | undefined;
  readonly policing: Policing | undefined;
  readonly properties: PeerProperties | undefined;
  readonly retirement: Retirement | undefined;
}

/** Sockets that share an engine's resources and inproc names. */
export interface EngineContext {
  open(type: SocketType, options: EngineOptions, listener: EngineListener): EngineSocket;
  getOption(name: string): unknown;
  setOption(name: string, value: unknown): void;
}

/** An engine of this package. Programs only pass it to a context. */
export interface Engine {
  /** As `Context.engine` returns it. */
  readonly name: string;
  /** @internal */
  readonly capabilities: EngineCapabilities;
  /**
   * @internal The transports, mechanisms and drafts it was built with, by their names in the package
   * `zeromq`.
   */
  readonly features: Readonly<Record<string, boolean>>;
  /**
   * @internal @param shared the process-wide context, whose inproc names are shared with other copies of the
   * engine
   */
  createContext(options: EngineOptions, shared: boolean): EngineContext;
}

/**
 * Abilities that the package checks before a socket is open; facets report the rest. A call the engine cannot
 * carry out throws `NOT_SUPPORTED`. These comments fill the first table of docs/engines.md.
 */
export interface EngineCapabilities {
  /** Transports of endpoints; on `libzmq` those of the addon's build. */
  readonly transports: readonly string[];
  /** Transports with events and counts of peers. */
  readonly peerEvents: readonly string[];
  /** `peer:join` and `peer:leave` of a Router carry the peer's routing id. */
  readonly peerRoutingIds: boolean;
  /** A publisher counts and reports messages dropped for a full subscriber. */
  readonly publisherDrops: boolean;
  /** A publisher sees its subscriptions. */
  readonly subscriptions: boolean;
  /** The same with `conflate`, so `waitForSubscribers` works there. */
  readonly conflatedSubscriptions: boolean;
  /** Accepted, unsent messages are counted, with their bytes. A Majordomo broker needs this to bound a client in bytes. */
  readonly queueDepth: boolean;
  /** Socket options that must keep their default; other values are `NOT_SUPPORTED`. */
  readonly unsupportedOptions: readonly string[];
}
