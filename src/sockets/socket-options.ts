/**
 * The options of each socket type, for the type checker and the reader. Ranges
 * and defaults are in option-table.ts; the compiler compares names and types
 * (test/types/options.test-d.ts).
 *
 * All times are in ms and all sizes in bytes. Most options count for
 * connections made after they are set.
 */

import type { OptionName } from "../core/option-table.js";
import type { TlsCertificates } from "../core/tls-certificates.js";
import type { PeerCredentials } from "../engine/engine.js";
import type { Codec } from "./codec.js";
import type { Context } from "./context.js";

/** Options that every socket has. */
export interface CommonOptions {
  /** Bytes of the largest frame a peer may send; a larger one ends its connection. -1: no limit. Default 64 MiB. */
  maxMessageSize?: number;
  /** ms that `close`, and an endpoint's `disconnect`, leave to messages on their way out; -1: without limit. Default -1. */
  linger?: number;
  /** Queue messages only for peers whose connection stands. Default false. */
  immediate?: boolean;
  /** Connections that may wait to be accepted. Default 100. */
  backlog?: number;
  /** Connections of peers that came to this socket, at most; one more is refused, and reported. Default 65,536. */
  maxConnections?: number;
  /** Those of them that shake hands at once, and calls of `authenticate` that run at once. Default 4,096. */
  maxPendingHandshakes?: number;
  /** ms until a connect attempt is given up; 0: the system's own limit. Default 0. */
  connectTimeout?: number;
  /** ms until an unfinished handshake is given up; 0: never. Default 30,000. */
  handshakeInterval?: number;
  /** ms between two ZMTP PINGs (37/ZMTP, Heartbeating); 0: none. Default 5,000. */
  heartbeatInterval?: number;
  /**
   * Whether PINGs go while nothing is sent, too. With `false` one goes `heartbeatInterval` after the last message, further ones until it is answered,
   * and none while what is sent is answered all the time, or nothing is sent. Default true. Not on the engine `libzmq`.
   */
  heartbeatWhenIdle?: boolean;
  /**
   * ms after a PING without any traffic until the peer counts as lost. Bytes in either direction are traffic. 0: never. -1: six
   * times `heartbeatInterval`. Default -1.
   */
  heartbeatTimeout?: number;
  /** ms after which the peer may drop a silent connection, sent with each PING; 0: never. At most 65,500. Default 0. */
  heartbeatTimeToLive?: number;
  /** ms between two attempts to connect (`ZMQ_RECONNECT_IVL`), with jitter: up to 1.5 times as long. -1: no second attempt. Default 100. */
  reconnectInterval?: number;
  /**
   * Upper bound of the reconnect interval, which doubles with each failed attempt (`ZMQ_RECONNECT_IVL_MAX`). Higher values cost
   * absent peers fewer attempts, and find a returning server later. ms; 0: the interval does not grow. Default 0.
   */
  reconnectMaxInterval?: number;
  /** Allow IPv6 addresses as well as IPv4. Default false. */
  ipv6?: boolean;
  /** Network interface to bind connections to (SO_BINDTODEVICE). Default null. */
  interface?: string | null;
  /** 1: TCP keep-alive on, 0: off, -1: the system's default. Default -1. */
  tcpKeepalive?: number;
  tcpKeepaliveCount?: number;
  /** Seconds. */
  tcpKeepaliveIdle?: number;
  /** Seconds. */
  tcpKeepaliveInterval?: number;
  tcpAcceptFilter?: string | null;
  /** ms that unacknowledged data may wait before TCP gives up; 0: the system's default. Default 0. */
  tcpMaxRetransmitTimeout?: number;
  /** The IP type-of-service byte. Default 0. */
  typeOfService?: number;
  /** A SOCKS5 proxy, `HOST:PORT`. Default null. */
  socksProxy?: string | null;
  /**
   * Origins of the pages whose browsers may connect to this socket's `ws` and `wss` endpoints, with spaces or commas between
   * them, or `*` for all; null: pages of the host that they connect to. What is no browser sends no origin, and may
   * connect. Default null.
   */
  wsOrigins?: string | null;
  /** A bit set of the I/O threads to use; 0: all. Default 0. */
  affinity?: number;
  loopbackFastPath?: boolean;
  /** This end checks PLAIN user names and passwords (24/ZMTP-PLAIN). Default false. */
  plainServer?: boolean;
  plainUsername?: string | null;
  plainPassword?: string | null;
  /** This end is the CURVE server (26/CURVEZMQ). Default false. */
  curveServer?: boolean;
  /** Z85, 40 characters, or 32 bytes. */
  curvePublicKey?: string | Uint8Array | null;
  /** Z85, 40 characters, or 32 bytes. */
  curveSecretKey?: string | Uint8Array | null;
  /** The server's public key, on a client: Z85, 40 characters, or 32 bytes. */
  curveServerKey?: string | Uint8Array | null;
  /**
   * PEM: this side's certificate for `tls://`, with those that lead to its authority behind it. A server needs one. Set again,
   * it counts for the handshakes from then on. Default null. Not on the engine `libzmq`, like all of TLS.
   */
  tlsCert?: string | null;
  /** PEM: its private key. Default null. */
  tlsKey?: string | null;
  /** The passphrase of a key that is encrypted. Default null. */
  tlsPassphrase?: string | null;
  /**
   * Further certificates of a socket that binds and has several names: a list, of which the first is shown whose names fit what the
   * client asks for (SNI), or a function of that name, which may be async. Where there is none, and for clients that ask for no
   * name, `tlsCert` is shown. Set again, it counts for the handshakes from then on. A function that returns the same object again
   * has it read once. Default null.
   */
  tlsCertificates?: TlsCertificates | null;
  /**
   * PEM: the authorities whose certificates are accepted. A socket that binds requires a certificate of each peer then; one
   * that connects trusts them in place of those that the system trusts. Default null.
   */
  tlsCa?: string | null;
  /** The name of the server that is sent to it (SNI), and that its certificate has to have; null: that of the endpoint. Default null. */
  tlsServerName?: string | null;
  /** A socket that connects checks the name, or the address, in the server's certificate. Default true. */
  tlsCheckName?: boolean;
  /** Names of protocols, separated by commas, of which both ends have to have one (ALPN, RFC 7301); null: not used. Default null. */
  tlsAlpn?: string | null;
  /** The oldest version of TLS that is spoken. */
  tlsMinVersion?: "TLSv1.2" | "TLSv1.3";
  /** Given to the authentication (27/ZAP); a ZAP handler of the program's own is asked only with a domain. */
  zapDomain?: string | null;
  zapEnforceDomain?: boolean;
  gssapiServer?: boolean;
  gssapiPrincipal?: string | null;
  gssapiServicePrincipal?: string | null;
  gssapiPlainText?: boolean;
  gssapiPrincipalNameType?: "hostBased" | "userName" | "krb5Principal";
  gssapiServicePrincipalNameType?: "hostBased" | "userName" | "krb5Principal";
  /** kbit/s, multicast transports. */
  rate?: number;
  /** ms, multicast transports. */
  recoveryInterval?: number;
  multicastMaxTransportDataUnit?: number;
  vmciBufferSize?: number;
  vmciBufferMinSize?: number;
  vmciBufferMaxSize?: number;
  vmciConnectTimeout?: number;
}

/** Options of sockets that send. */
export interface WritableOptions {
  /** Messages queued for one peer before the socket is mute for it; 0: no limit. Default 1,000. */
  sendHighWaterMark?: number;
  /**
   * The same in bytes: each frame counts those that it has on the wire, and 64. What finds less than them waiting takes them past it.
   * Default 64 MiB.
   */
  sendHighWaterMarkBytes?: number;
  /** ms that `send` waits for room before it rejects with `EAGAIN`; 0: not at all, -1: without limit. Default -1. */
  sendTimeout?: number;
  /** `send` calls that may wait at once; one more rejects with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingSends?: number;
  /** The same in bytes, counted as by `sendHighWaterMarkBytes`; one send may wait, however large. Default 256 MiB. */
  maxPendingSendBytes?: number;
  /** Bytes of the kernel's send buffer; -1: the system's default. */
  sendBufferSize?: number;
  multicastHops?: number;
  /** Whether datagrams to a multicast group reach the members of this machine, too. Default true. */
  multicastLoop?: boolean;
}

/** Options of sockets that receive. */
export interface ReadableOptions {
  /** Messages queued from one peer before it is no longer read; 0: no limit. Default 1,000. */
  receiveHighWaterMark?: number;
  /** The same in bytes, counted as by `sendHighWaterMarkBytes`; a message passes, however large, where no other waits. Default 64 MiB. */
  receiveHighWaterMarkBytes?: number;
  /** Bytes queued from all peers together before a peer that brings more is no longer read; 0: no limit. Default 256 MiB. */
  maxReceiveQueueBytes?: number;
  /** ms that `receive` waits before it rejects with `EAGAIN`; 0: for what is there only, -1: without limit. Default -1. */
  receiveTimeout?: number;
  /** `receive` calls that may wait at once; one more rejects with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingReceives?: number;
  /** Bytes of the kernel's receive buffer; -1: the system's default. */
  receiveBufferSize?: number;
}

/** Keep only the newest message of a queue; messages of one frame. Default false. */
export interface ConflateOptions {
  conflate?: boolean;
}

/** The name under which a ROUTER at the other end knows this socket: 1 to 255 bytes, not beginning with a zero byte. */
export interface RoutingIdOptions {
  routingId?: string | Uint8Array | null;
}

/** Authenticates a peer before it may talk; anything but `true` refuses it (27/ZAP). */
export type Authenticate = (peer: PeerCredentials) => boolean | Promise<boolean>;

/** What `new` takes in addition to the options that are properties. */
export interface ConstructionOptions {
  /** The context to belong to. Default: the process-wide one. */
  context?: Context;
  /** Authenticates each peer before it may talk; anything but `true`, and a throw, refuses it. */
  authenticate?: Authenticate;
}

/** The options of a socket class, by the class: `SocketOptions<Dealer>`. */
export type SocketOptions<S> = Partial<Pick<S, keyof S & OptionName>> & ConstructionOptions;

/** A socket that carries values of one type. */
export interface CodecOptions<T> {
  /** What encodes and decodes the last frame of each message, and gives the socket its type. Default: frames as they are. */
  codec?: Codec<T>;
}

/** Options that can be given as bytes; as properties they are read as text. */
type TextProperty = "curvePublicKey" | "curveSecretKey" | "curveServerKey" | "routingId" | "welcomeMessage";

/** The properties that a socket has for its options, but for those that are read as text. */
export type Properties<O> = Required<Omit<O, TextProperty>>;

/** CURVE keys as properties: given as Z85 or as bytes, read as Z85. */
export interface KeyProperties {
  get curvePublicKey(): string | null;
  set curvePublicKey(value: string | Uint8Array | null);
  get curveSecretKey(): string | null;
  set curveSecretKey(value: string | Uint8Array | null);
  get curveServerKey(): string | null;
  set curveServerKey(value: string | Uint8Array | null);
}

/** The routing id as a property: given as text or as bytes, read as UTF-8 text. */
export interface RoutingIdProperty {
  get routingId(): string | null;
  set routingId(value: string | Uint8Array | null);
}
