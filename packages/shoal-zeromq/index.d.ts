/// <reference types="node" />
/** The types of the package zeromq, version 6.8, for TypeScript from 4.9 on. */

export declare const version: string;

/** What this build can do; what is absent or `false` it cannot. */
export declare const capability: Partial<
  Record<"ipc" | "pgm" | "tipc" | "norm" | "curve" | "gssapi" | "draft", boolean>
>;

/** A new pair of CURVE keys, each 40 characters of Z85. */
export declare function curveKeyPair(): { publicKey: string; secretKey: string };

type IfEqual<A, B, Then> = (<G>() => G extends A ? 1 : 2) extends <G>() => G extends B ? 1 : 2 ? Then : never;
/** Names of the properties that can be set. */
type SettableKeys<T> = {
  [K in keyof T]-?: T[K] extends Function
    ? never
    : IfEqual<{ [Q in K]: T[K] }, { -readonly [Q in K]: T[K] }, K>;
}[keyof T];
type Options<T, E = {}> = Partial<Pick<T, SettableKeys<T>> & E>;

export declare class Context {
  /** Whether the process waits at its end for messages that have not left. Default true. */
  blocky: boolean;
  ioThreads: number;
  maxMessageSize: number;
  maxSockets: number;
  ipv6: boolean;
  set threadPriority(value: number);
  set threadSchedulingPolicy(value: number);
  readonly maxSocketsLimit: number;
  constructor(options?: Options<Context>);
  protected getBoolOption(option: number): boolean;
  protected setBoolOption(option: number, value: boolean): void;
  protected getInt32Option(option: number): number;
  protected setInt32Option(option: number, value: number): void;
}

/** The context of sockets that are given no other. */
export declare const context: Context;

export type Message = Buffer;
export type MessageLike = ArrayBufferView | ArrayBuffer | SharedArrayBuffer | string | number | null;

export interface Writable<
  M extends MessageLike | MessageLike[] = MessageLike | MessageLike[],
  O extends [...object[]] = [],
> {
  multicastHops: number;
  sendBufferSize: number;
  sendHighWaterMark: number;
  sendTimeout: number;
  /** One call at a time: `EBUSY` while another one waits. */
  send(message: M, ...options: O): Promise<void>;
}

type ReceiveType<T> = T extends { receive(): Promise<infer U> } ? U : never;

export interface Readable<M extends object[] = Message[]> {
  receiveBufferSize: number;
  receiveHighWaterMark: number;
  receiveTimeout: number;
  /** One call at a time: `EBUSY` while another one waits. */
  receive(): Promise<M>;
  [Symbol.asyncIterator](): AsyncIterator<ReceiveType<this>, undefined>;
}

export type SocketOptions<S extends Socket> = Options<S, { context: Context }>;

type PrincipalNameType = "hostBased" | "userName" | "krb5Principal";

export declare abstract class Socket {
  readonly events: Observer;
  readonly context: Context;
  readonly closed: boolean;
  readonly readable: boolean;
  readonly writable: boolean;

  affinity: number;
  rate: number;
  recoveryInterval: number;
  linger: number;
  reconnectInterval: number;
  backlog: number;
  reconnectMaxInterval: number;
  maxMessageSize: number;
  tcpKeepalive: number;
  tcpKeepaliveCount: number;
  tcpKeepaliveIdle: number;
  tcpKeepaliveInterval: number;
  tcpAcceptFilter: string | null;
  immediate: boolean;
  ipv6: boolean;
  plainServer: boolean;
  plainUsername: string | null;
  plainPassword: string | null;
  curveServer: boolean;
  curvePublicKey: string | null;
  curveSecretKey: string | null;
  curveServerKey: string | null;
  gssapiServer: boolean;
  gssapiPrincipal: string | null;
  gssapiServicePrincipal: string | null;
  gssapiPlainText: boolean;
  gssapiPrincipalNameType: PrincipalNameType;
  gssapiServicePrincipalNameType: PrincipalNameType;
  zapDomain: string | null;
  typeOfService: number;
  handshakeInterval: number;
  socksProxy: string | null;
  heartbeatInterval: number;
  heartbeatTimeToLive: number;
  heartbeatTimeout: number;
  connectTimeout: number;
  tcpMaxRetransmitTimeout: number;
  multicastMaxTransportDataUnit: number;
  vmciBufferSize: number;
  vmciBufferMinSize: number;
  vmciBufferMaxSize: number;
  vmciConnectTimeout: number;
  interface: string | null;
  zapEnforceDomain: boolean;
  loopbackFastPath: boolean;
  readonly type: SocketType;
  readonly lastEndpoint: string | null;
  readonly securityMechanism: null | "plain" | "curve" | "gssapi";
  readonly threadSafe: boolean;

  protected constructor(type: SocketType, options?: {});

  bind(address: string): Promise<void>;
  bindSync(address: string): void;
  unbind(address: string): Promise<void>;
  unbindSync(address: string): void;
  connect(address: string): void;
  disconnect(address: string): void;
  close(): void;

  protected getBoolOption(option: number): boolean;
  protected setBoolOption(option: number, value: boolean): void;
  protected getInt32Option(option: number): number;
  protected setInt32Option(option: number, value: number): void;
  protected getUint32Option(option: number): number;
  protected setUint32Option(option: number, value: number): void;
  protected getInt64Option(option: number): number;
  protected setInt64Option(option: number, value: number): void;
  protected getUint64Option(option: number): number;
  protected setUint64Option(option: number, value: number): void;
  protected getStringOption(option: number): string | null;
  protected setStringOption(option: number, value: string | Buffer | null): void;
}

export declare enum SocketType {
  Pair = 0,
  Publisher = 1,
  Subscriber = 2,
  Request = 3,
  Reply = 4,
  Dealer = 5,
  Router = 6,
  Pull = 7,
  Push = 8,
  XPublisher = 9,
  XSubscriber = 10,
  Stream = 11,
  Server = 12,
  Client = 13,
  Radio = 14,
  Dish = 15,
  Gather = 16,
  Scatter = 17,
  Datagram = 18,
}

export interface ErrnoError extends Error {
  code: string;
  errno: number;
}
export interface AuthError extends Error {
  status: 300 | 400 | 500;
}
export interface ProtoError extends Error {
  code: `ERR_ZMTP_${string}` | `ERR_ZAP_${string}`;
}

interface EventAddress {
  address: string;
}
interface EventInterval {
  interval: number;
}
interface EventError<E = ErrnoError> {
  error: E;
}
type EventFor<T extends string, D = {}> = { type: T } & D;

export type Event =
  | EventFor<"accept", EventAddress>
  | EventFor<"accept:error", EventAddress & EventError>
  | EventFor<"bind", EventAddress>
  | EventFor<"bind:error", EventAddress & EventError>
  | EventFor<"connect", EventAddress>
  | EventFor<"connect:delay", EventAddress>
  | EventFor<"connect:retry", EventAddress & EventInterval>
  | EventFor<"close", EventAddress>
  | EventFor<"close:error", EventAddress & EventError>
  | EventFor<"disconnect", EventAddress>
  | EventFor<"end">
  | EventFor<"handshake", EventAddress>
  | EventFor<"handshake:error:protocol", EventAddress & EventError<ProtoError>>
  | EventFor<"handshake:error:auth", EventAddress & EventError<AuthError>>
  | EventFor<"handshake:error:other", EventAddress & EventError>
  | EventFor<"unknown">;
export type EventType = Event["type"];
export type EventOfType<E extends EventType = EventType> = Extract<Event, EventFor<E>>;

export interface EventSubscriber {
  on<E extends EventType>(type: E, listener: (data: EventOfType<E>) => void): EventSubscriber;
  off<E extends EventType>(type: E, listener: (data: EventOfType<E>) => void): EventSubscriber;
}

export declare class Observer implements EventSubscriber {
  readonly closed: boolean;
  constructor(socket: Socket);
  close(): void;
  receive(): Promise<Event>;
  on<E extends EventType>(type: E, listener: (data: EventOfType<E>) => void): EventSubscriber;
  off<E extends EventType>(type: E, listener: (data: EventOfType<E>) => void): EventSubscriber;
  [Symbol.asyncIterator](): AsyncIterator<Event, undefined>;
}

export declare class Proxy<F extends Socket = Socket, B extends Socket = Socket> {
  readonly frontEnd: F;
  readonly backEnd: B;
  constructor(frontEnd: F, backEnd: B);
  run(): Promise<void>;
  pause(): void;
  resume(): void;
  terminate(): void;
}

export declare class Pair extends Socket {
  constructor(options?: SocketOptions<Pair>);
}
export interface Pair extends Writable, Readable {}

export declare class Publisher extends Socket {
  noDrop: boolean;
  conflate: boolean;
  invertMatching: boolean;
  constructor(options?: SocketOptions<Publisher>);
}
export interface Publisher extends Writable {}

export declare class Subscriber extends Socket {
  conflate: boolean;
  invertMatching: boolean;
  constructor(options?: SocketOptions<Subscriber>);
  /** Without a prefix: all messages. */
  subscribe(...prefixes: Array<Buffer | string>): void;
  unsubscribe(...prefixes: Array<Buffer | string>): void;
}
export interface Subscriber extends Readable {}

export declare class Request extends Socket {
  routingId: string | null;
  probeRouter: boolean;
  correlate: boolean;
  relaxed: boolean;
  constructor(options?: SocketOptions<Request>);
}
export interface Request extends Readable, Writable {}

export declare class Reply extends Socket {
  routingId: string | null;
  constructor(options?: SocketOptions<Reply>);
}
export interface Reply extends Readable, Writable {}

export declare class Dealer extends Socket {
  routingId: string | null;
  probeRouter: boolean;
  conflate: boolean;
  constructor(options?: SocketOptions<Dealer>);
}
export interface Dealer extends Readable, Writable {}

export interface RouterConnectOptions {
  /** The id of the peer that answers there. */
  routingId?: string;
}
export declare class Router extends Socket {
  routingId: string | null;
  mandatory: boolean;
  probeRouter: boolean;
  handover: boolean;
  constructor(options?: SocketOptions<Router>);
  connect(address: string, options?: RouterConnectOptions): void;
}
export interface Router extends Readable, Writable {}

export declare class Pull extends Socket {
  constructor(options?: SocketOptions<Pull>);
}
export interface Pull extends Readable {
  conflate: boolean;
}

export declare class Push extends Socket {
  constructor(options?: SocketOptions<Push>);
}
export interface Push extends Writable {
  conflate: boolean;
}

export declare class XPublisher extends Socket {
  noDrop: boolean;
  manual: boolean;
  welcomeMessage: string | null;
  invertMatching: boolean;
  set verbosity(value: null | "allSubs" | "allSubsUnsubs");
  constructor(options?: SocketOptions<XPublisher>);
}
export interface XPublisher extends Readable, Writable {}

export declare class XSubscriber extends Socket {
  constructor(options?: SocketOptions<XSubscriber>);
}
export interface XSubscriber extends Readable, Writable {}

export type StreamConnectOptions = RouterConnectOptions;
export declare class Stream extends Socket {
  notify: boolean;
  constructor(options?: SocketOptions<Stream>);
  connect(address: string, options?: StreamConnectOptions): void;
}
export interface Stream extends Readable<[Message, Message]>, Writable<[MessageLike, MessageLike]> {}

declare const all: typeof import("./index");
export default all;
