/**
 * The engine interface: the members that sockets use. Calls on the message path are synchronous and allocate
 * nothing:
 *
 *   offer(message)  -> Accepted | Mute | Unroutable | PeerFull
 *   wantWritable(y) ~> listener.engineOnWritable()      after a Mute
 *   take()          -> a message, or undefined
 *   wantReadable(n) ~> listener.engineOnReadable()      after an undefined
 *
 * Receiving is pulled: an engine stops reading once its high-water mark is full, which stops the peer.
 */
import type { X509Certificate } from "node:crypto";
import type { Rate } from "../core/rate-meter.js";
import type { EndpointUse, HttpServerEndpoint } from "../core/schemes/grammar.js";
import type { SocketType } from "../core/socket-type.js";
import type { EngineDropReason, SocketEvent } from "./events.js";
import type { FrameBatch, Pooled } from "./frame-batch.js";

/** An outgoing frame. Strings are sent as UTF-8; bytes belong to the engine until they have left. */
export type OutgoingFrame = Uint8Array | string;

/** One frame, or a list of at least one. */
export type OutgoingMessage = OutgoingFrame | readonly OutgoingFrame[];

/** An accepted message's memory belongs to the engine until the message has left. At most one is set. */
export interface MessageMemory {
  /** The program reuses the memory, so the engine copies it. */
  readonly copy?: boolean | undefined;
  /**
   * The program gives the memory away: a receiver in the same thread may get the frames, and write to them.
   */
  readonly transfer?: boolean | undefined;
}

export const OfferResult = {
  /** Queued: the message goes out unless the peer or the socket goes away. */
  Accepted: 0,
  /** Every peer is full: call `wantWritable` and offer the message again. */
  Mute: 1,
  /** No connected peer has this routing id (ROUTER, STREAM, SERVER, PEER). */
  Unroutable: 2,
  /** The peer with this routing id is at its high-water mark (ROUTER, SERVER, PEER). */
  PeerFull: 3,
} as const;
export type OfferResult = (typeof OfferResult)[keyof typeof OfferResult];

/**
 * Validated; names and units as in the package `zeromq`. A socket reads this very object, which inherits its
 * defaults (core/option-table.ts).
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

/** An absent limit does not apply. The callbacks must not throw. */
export interface PeerPolicy {
  /** Whether an address may start a handshake; for ipc the address is an engine-specific text. */
  readonly admits?: ((address: string) => boolean) | undefined;
  /** After the handshake, in both directions. */
  readonly joins?: ((peer: PeerCredentials) => boolean) | undefined;
  /** Per peer. Messages over the rate wait, then the peer is no longer read. */
  readonly rate?: Rate | undefined;
  /** Bytes; applies if less than the option `maxMessageSize`. */
  readonly messageSize?: number | undefined;
  /** The rate delays a peer's messages. */
  readonly held?: (() => void) | undefined;
  /** A handshake broke the protocol or lacked an accepted certificate. */
  readonly invalid?: ((address: string) => void) | undefined;
  /** An oversized message ended a connection. */
  readonly tooLong?: ((address: string) => void) | undefined;
}

/** Must not throw. */
export interface EngineListener {
  /** `take` may return a message again; called once per `wantReadable`. */
  engineOnReadable(): void;
  /** `offer` may succeed again; called once per `wantWritable`. */
  engineOnWritable(): void;
  /** `replyLost` may have become true (REQ only). */
  engineOnReplyLost?(): void;
  /** A connected endpoint is not dialled again. */
  engineOnOver?(endpoint: string): void;
  engineOnEvent(event: SocketEvent): void;
  /** Whether a peer may talk. A rejection counts as `false`; if absent, every peer may. */
  readonly engineAuthenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
}

/** `undefined` if the engine cannot know. */
export interface EngineStats {
  /** Peers with a complete handshake. */
  readonly peers: number | undefined;
  /** Connections restored after a loss. */
  readonly reconnects: number | undefined;
  /** In the engine's own memory. */
  readonly queuedIn: number;
  /** Not yet handed to the kernel. */
  readonly queuedOut: number | undefined;
  /** Unsuitable for the socket type, such as a request without its delimiter (REP). */
  readonly invalid?: number;
  /** Datagrams dropped at a full receive queue, and messages of departed XPUB peers. */
  readonly overflowed?: number;
  /** Messages over `maxMessageSize` or with too many frames; each ended its connection. */
  readonly tooLarge?: number;
  /** Replies to requests that had been given up (REQ). */
  readonly late?: number;
  /** Unsent accepted messages, or copies of them. */
  readonly dropped?: Readonly<Record<EngineDropReason, number>>;
}

export interface EngineCloseResult {
  /** Whether every accepted message left before the linger ended. */
  readonly drained: boolean;
  /** Accepted messages; `undefined` if the engine cannot count them. */
  readonly discarded: number | undefined;
}

export interface EngineEndpoints {
  /** @param server the program's, for ws @returns the resolved endpoint @throws TransportError */
  bind(endpoint: string, server?: HttpServerEndpoint["server"]): Promise<string>;
  bindSync(endpoint: string): string;
  /** Of a resolved endpoint. Resolves when it can be bound again. */
  unbind(resolved: string): Promise<void>;
  /**
   * @param routingId the name by which a ROUTER or STREAM will know the peer
   * @returns the id by which a PEER knows it, if assigned before the handshake
   */
  connect(endpoint: string, routingId: string | undefined): Uint8Array | undefined;
  /** Of a connected endpoint. @param bound ms for its unsent messages, if the linger has none */
  disconnect(endpoint: string, bound?: number): void;
}

/** Whether a socket keeps the process alive. Default: unref. */
export interface EngineEventLoop {
  ref(): void;
  unref(): void;
  /** Default true. */
  holdBound(on: boolean): void;
}

/** Of a SUB, or groups of a DISH. On an XPUB with `manual`: of the peer whose message was taken last. */
export interface EngineSubscriptions {
  subscribe(prefix: Buffer): void;
  unsubscribe(prefix: Buffer): void;
}

/** In wire format, for a relay without decoding. */
export interface RelaySource {
  /** @param max messages at most */
  takeBatch(max: number): FrameBatch | undefined;
}

export interface RelaySink {
  /**
   * Takes messages from the front of the batch while there is room. Unroutable and PeerFull concern one
   * message, which is removed unsent.
   */
  offerBatch(batch: FrameBatch): OfferResult;
}

/** One object per connection. */
export interface EngineSubscriber {
  /** @param prefix one character per byte */
  has(prefix: string): boolean;
  /**
   * Queues a message after earlier ones, regardless of subscriptions. Mute: half of the high-water mark is
   * used, and the other half is reserved for broadcasts. Unroutable: the peer is gone.
   */
  offer(message: OutgoingMessage): OfferResult;
  /** After a Mute: calls back once, when the peer may have room or is gone. The callback must not throw. */
  wantWritable(onWritable: () => void): void;
}

export interface TakenMessages {
  readonly messages: Buffer[][];
  /** Bytes of the frames. */
  bytes: number;
  /** By core/memory.ts. */
  cost: number;
}

export interface EnginePeer {
  /** From the handshake, such as "PULL"; empty if the peer sent none. */
  readonly socketType: string;
  /** `tcp://HOST:PORT` of the remote end, else the endpoint of this side. */
  readonly address: string;
  /** The peer's id at a ROUTER, else its identity, if any. */
  readonly routingId: Uint8Array | undefined;
  /** Unsent messages; whole received messages not yet taken. */
  readonly queuedOut: number;
  readonly queuedIn: number;
}

export interface Policing {
  /** Also for present peers; `disconnectPeers` ends connections that the policy forbids. */
  police(policy: PeerPolicy): void;
  /** Also in a handshake, once their credentials are known. @returns the number of matching peers */
  disconnectPeers(match: (peer: PeerCredentials) => boolean): number;
}

/**
 * The message path, and facets. A facet that the engine or the socket type lacks is `undefined`; the members
 * of a present facet always work.
 */
export interface EngineSocket {
  offer(message: OutgoingMessage, memory?: MessageMemory): OfferResult;
  /** @param lease lends the message's memory; without a lease the program owns it */
  take(lease?: Lease): Buffer[] | undefined;
  /**
   * @param taken receives the messages; if it stays empty, call `take` @param max messages in `taken` at most
   * @param maxCost of `taken`; the last message may exceed it
   */
  takeMany?(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void;
  /** @returns the number of discarded messages */
  discard(): number;
  /** @param max messages to take at once; 0 cancels the request */
  wantReadable(max: number): void;
  /** @param on `false` cancels the request */
  wantWritable(on: boolean): void;
  readonly readable: boolean;
  readonly writable: boolean;
  /**
   * REQ: the request's connection has ended. A REQ with a routing id may still get the reply over the next.
   */
  readonly replyLost?: boolean;
  /** REQ: the endpoint of the peer that has the unanswered request. */
  readonly asked?: string | undefined;
  /** Also changes the options the socket was opened with; nothing if it throws. @param attached bound or connected */
  setOption(name: string, value: unknown, attached: boolean): void;
  stats(): EngineStats;
  /**
   * XPUB: the subscriber that sent the message taken last; `undefined` if it has gone or the message has no sender.
   */
  sender?: (() => EngineSubscriber | undefined) | undefined;
  /**
   * ROUTER, SERVER, PEER: cost (core/memory.ts) of accepted messages for one peer that the kernel does not have; over
   * inproc 0.
   */
  queuedBytes?: ((routingId: Uint8Array) => number) | undefined;
  /** Peers with a complete handshake. @param max peers at most */
  listPeers?: ((max: number) => EnginePeer[]) | undefined;
  /**
   * Accepts no further peers, which cannot be undone.
   *
   * @param halfClose also ends the sending half of each connection: what the peers still send is received, and
   * `stats().peers` reaches 0 when all of it is in
   */
  retire?: ((halfClose: boolean) => void) | undefined;
  /** Sends accepted messages for up to `linger` ms (-1: no limit), then ends. */
  close(linger: number): Promise<EngineCloseResult>;

  readonly endpoints: EngineEndpoints;
  readonly eventLoop: EngineEventLoop;
  readonly subscriptions?: EngineSubscriptions | undefined;
  readonly relaySource?: RelaySource | undefined;
  readonly relaySink?: RelaySink | undefined;
  readonly policing?: Policing | undefined;
}

export interface EngineContext {
  open(type: SocketType, options: EngineOptions, listener: EngineListener): EngineSocket;
  getOption(name: string): unknown;
  setOption(name: string, value: unknown): void;
}

/** An engine of this package; programs only pass it to a context. */
export interface Engine {
  /** As `Context.engine` returns it. */
  readonly name: string;
  /** @internal */
  readonly capabilities: EngineCapabilities;
  /** @internal Transports, mechanisms and drafts of its build, by their names in the package `zeromq`. */
  readonly features: Readonly<Record<string, boolean>>;
  /** @internal @param transports its own @throws InvalidArgumentError, TransportError, the same on all engines */
  checkEndpoint(endpoint: unknown, use: EndpointUse, transports: readonly string[]): void;
  /** @internal @param shared the process-wide context, whose inproc names other copies of the engine share */
  createContext(options: EngineOptions, shared: boolean): EngineContext;
}

/**
 * Abilities that the package checks before a socket is open; facets report the rest. These comments fill the
 * first table of docs/engines.md.
 */
export interface EngineCapabilities {
  /** Transports of endpoints; on `libzmq` those of the addon's build. */
  readonly transports: readonly string[];
  /** Transports with events and counts of peers. */
  readonly peerEvents: readonly string[];
  /** A publisher counts and reports messages dropped for a full subscriber. */
  readonly publisherDrops: boolean;
  /** A publisher with `conflate` sees its subscriptions, so `waitForSubscribers` works there. */
  readonly conflatedSubscriptions: boolean;
  /** Socket options that must keep their default; other values are `NOT_SUPPORTED`. */
  readonly unsupportedOptions: readonly string[];
}

/**
 * Loan of received messages' memory to the program:
 *
 *   take(lease) --frames are views of pooled memory, counted in the lease--+--release()--> reused by the next messages
 *                                                                          +--keep()-----> owned by the program
 *
 * A receiver of messages of 64 KiB over ipc takes 0.25 of the processor time, of 1 KiB over tcp 0.44. Engines may
 * ignore leases.
 */
export class Lease {
  #lent: Pooled[] = [];
  #last: Pooled | undefined = undefined;

  add(memory: Pooled): void {
    if (memory === this.#last) return;
    memory.refs += 1;
    this.#last = memory;
    this.#lent.push(memory);
  }

  release(): void {
    const lent = this.#lent;
    this.#forget();
    for (const memory of lent) memory.release();
  }

  keep(): void {
    for (const memory of this.#lent) memory.pin();
    this.#forget();
  }

  #forget(): void {
    if (this.#last === undefined) return;
    this.#lent = [];
    this.#last = undefined;
  }
}
