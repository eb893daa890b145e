/**
 * The options of each socket type, for the type checker and the reader. Ranges and defaults are in option-table.ts; the compiler
 * compares names and types (test/types/options.test-d.ts). Most options count for connections made later.
 */

import type { OptionName } from "../core/option-table.js";
import type { TlsCertificates } from "../core/tls-certificates.js";
import type { PeerCredentials } from "../engine/engine.js";
import type { Codec } from "./codec.js";
import type { Context } from "./context.js";

/** Options of every socket. A name such as `ZMQ_MAXMSGSIZE` is libzmq's name for the same option. */
export interface CommonOptions {
  /** The largest frame of a peer, in bytes; a larger one ends the connection (`ZMQ_MAXMSGSIZE`). -1: no limit. Default 64 MiB. */
  maxMessageSize?: number;
  /** The time for messages to leave after `close`, and after `disconnect`, in ms (`ZMQ_LINGER`). -1: without limit. Default -1. */
  linger?: number;
  /** Messages are queued only for connected peers (`ZMQ_IMMEDIATE`). Default false. */
  immediate?: boolean;
  /** Connections before the system accepts them, at most (`ZMQ_BACKLOG`). Default 100. */
  backlog?: number;
  /** Incoming connections at most; a further one is refused, and reported. Default 65,536. Only engine `zmtp`. */
  maxConnections?: number;
  /** Handshakes of incoming connections, and calls of `authenticate`, at the same time. Default 4,096. Only engine `zmtp`. */
  maxPendingHandshakes?: number;
  /** The time for one attempt to connect, in ms (`ZMQ_CONNECT_TIMEOUT`). 0: the system's own limit. Default 0. */
  connectTimeout?: number;
  /** The time for a handshake, in ms (`ZMQ_HANDSHAKE_IVL`). 0: without limit. Default 30,000. */
  handshakeInterval?: number;
  /** The time between two PINGs, in ms (37/ZMTP, Heartbeating; `ZMQ_HEARTBEAT_IVL`). 0: no PINGs. Default 5,000. */
  heartbeatInterval?: number;
  /**
   * Whether PINGs go out on an idle connection. With `false`, the first PING goes out `heartbeatInterval` after the last message,
   * and further ones until an answer comes; none goes out while the peer answers messages. Default true. Only engine `zmtp`.
   */
  heartbeatWhenIdle?: boolean;
  /**
   * The time of silence after a PING, in ms, until the connection ends (`ZMQ_HEARTBEAT_TIMEOUT`). 0: without limit. -1: six times
   * `heartbeatInterval`. Default -1.
   */
  heartbeatTimeout?: number;
  /** The time of silence until the peer may end the connection, in ms; each PING announces it (`ZMQ_HEARTBEAT_TTL`). 0: without limit. At most 65,500. Default 0. */
  heartbeatTimeToLive?: number;
  /** The time between two attempts to connect, in ms, with jitter up to 1.5 times as long (`ZMQ_RECONNECT_IVL`). -1: no second attempt. Default 100. */
  reconnectInterval?: number;
  /**
   * The upper limit of the reconnect interval, in ms; the interval doubles with each failed attempt (`ZMQ_RECONNECT_IVL_MAX`).
   * Higher values cost absent peers fewer attempts, and find a returning server later. 0: the interval stays. Default 0.
   */
  reconnectMaxInterval?: number;
  /** Names and wildcards of endpoints stand for addresses of IPv6, too (`ZMQ_IPV6`). Default false. */
  ipv6?: boolean;
  /** The network interface of all connections (`ZMQ_BINDTODEVICE`). Engine `zmtp`: a process warning, and no effect. Default null. */
  interface?: string | null;
  /** Keep-alive of TCP: 1 on, 0 off, -1 the system's default (`ZMQ_TCP_KEEPALIVE`). Default -1. */
  tcpKeepalive?: number;
  /** Unanswered probes of keep-alive until the connection ends (`ZMQ_TCP_KEEPALIVE_CNT`). -1: the system's default. Engine `zmtp`: a process warning, and no effect. Default -1. */
  tcpKeepaliveCount?: number;
  /** The time without traffic until the first probe of keep-alive, in seconds (`ZMQ_TCP_KEEPALIVE_IDLE`). -1: the system's default. Default -1. */
  tcpKeepaliveIdle?: number;
  /** The time between two probes of keep-alive, in seconds (`ZMQ_TCP_KEEPALIVE_INTVL`). -1: the system's default. Engine `zmtp`: a process warning, and no effect. Default -1. */
  tcpKeepaliveInterval?: number;
  /** The address or network of peers with permission to connect (`ZMQ_TCP_ACCEPT_FILTER`). Engine `zmtp`: `NOT_SUPPORTED`; use `authenticate`. Default null. */
  tcpAcceptFilter?: string | null;
  /** The time for TCP to get an acknowledgement, in ms (`ZMQ_TCP_MAXRT`). 0: the system's default. Engine `zmtp`: a process warning, and no effect. Default 0. */
  tcpMaxRetransmitTimeout?: number;
  /** The type of service in the header of IP, 0 to 255 (`ZMQ_TOS`). Engine `zmtp`: a process warning, and no effect. Default 0. */
  typeOfService?: number;
  /** A SOCKS5 proxy for connections, `HOST:PORT` (`ZMQ_SOCKS_PROXY`). Engine `zmtp`: `NOT_SUPPORTED`. Default null. */
  socksProxy?: string | null;
  /**
   * Origins of pages with permission to connect to `ws` and `wss` endpoints, separated by spaces or commas; `*`: all origins;
   * null: pages of the endpoint's own host. Programs send no origin, and may connect. Default null. Only engine `zmtp`.
   */
  wsOrigins?: string | null;
  /** The I/O threads of libzmq for the socket, as a bit set (`ZMQ_AFFINITY`). 0: all. Engine `zmtp`: no effect. Default 0. */
  affinity?: number;
  /** The fast path of Windows for loopback (`ZMQ_LOOPBACK_FASTPATH`). Engine `zmtp`: no effect. Default false. */
  loopbackFastPath?: boolean;
  /** This end checks the user names and passwords of PLAIN (24/ZMTP-PLAIN; `ZMQ_PLAIN_SERVER`). Default false. */
  plainServer?: boolean;
  /** The user name of a client, at most 255 bytes; the socket then uses PLAIN (`ZMQ_PLAIN_USERNAME`). Default null. */
  plainUsername?: string | null;
  /** The password of a client, at most 255 bytes (`ZMQ_PLAIN_PASSWORD`). Default null. */
  plainPassword?: string | null;
  /** This end is the server of CURVE, and needs `curveSecretKey` (26/CURVEZMQ; `ZMQ_CURVE_SERVER`). Default false. */
  curveServer?: boolean;
  /** The public key of a client: 40 characters of Z85, or 32 bytes (`ZMQ_CURVE_PUBLICKEY`). Default null. */
  curvePublicKey?: string | Uint8Array | null;
  /** The secret key of this end: 40 characters of Z85, or 32 bytes (`ZMQ_CURVE_SECRETKEY`). Default null. */
  curveSecretKey?: string | Uint8Array | null;
  /** The server's public key, for a client: 40 characters of Z85, or 32 bytes; the socket then uses CURVE (`ZMQ_CURVE_SERVERKEY`). Default null. */
  curveServerKey?: string | Uint8Array | null;
  /**
   * The certificate of this end for `tls` and `wss`, as PEM, with those up to its authority behind it. Servers need one. Later
   * handshakes use a new value. Default null. Only engine `zmtp`, like all options of TLS.
   */
  tlsCert?: string | null;
  /** The private key of `tlsCert`, as PEM. Default null. */
  tlsKey?: string | null;
  /** The passphrase of an encrypted `tlsKey`. Default null. */
  tlsPassphrase?: string | null;
  /**
   * Further certificates of a server with several names: a list, or a function of the name asked for (SNI), also an async one. The
   * first fitting certificate of the list is shown. `tlsCert` is shown if none fits, and to clients without SNI. Later handshakes
   * use a new value. An object from the function is read once, however often the function returns it. Default null.
   */
  tlsCertificates?: TlsCertificates | null;
  /**
   * The accepted authorities of peers' certificates, as PEM. A server then requires a certificate of each peer; a client trusts
   * these authorities in place of the system's. Default null.
   */
  tlsCa?: string | null;
  /** The name of the server for SNI and in its certificate, at most 255 bytes; null: the host of the endpoint. Default null. */
  tlsServerName?: string | null;
  /** A client checks the name, or the address, in the server's certificate. Default true. */
  tlsCheckName?: boolean;
  /** Names of protocols, separated by commas; both ends need one in common (ALPN, RFC 7301). null: not used. Default null. */
  tlsAlpn?: string | null;
  /** The oldest accepted version of TLS. Default `TLSv1.2`. */
  tlsMinVersion?: "TLSv1.2" | "TLSv1.3";
  /** The domain in questions to the authentication, at most 255 bytes (27/ZAP; `ZMQ_ZAP_DOMAIN`). With NULL, a handler of ZAP is asked only about sockets with a domain. Default null. */
  zapDomain?: string | null;
  /** A socket of NULL with a `zapDomain` refuses peers without a bound handler of ZAP (`ZMQ_ZAP_ENFORCE_DOMAIN`). Default false. */
  zapEnforceDomain?: boolean;
  /** This end is the server of GSSAPI (38/ZMTP-GSSAPI; `ZMQ_GSSAPI_SERVER`). Engine `zmtp`: `NOT_SUPPORTED`, like all options of GSSAPI. Default false. */
  gssapiServer?: boolean;
  /** The principal of this end (`ZMQ_GSSAPI_PRINCIPAL`). Default null. */
  gssapiPrincipal?: string | null;
  /** The principal of the server, for a client (`ZMQ_GSSAPI_SERVICE_PRINCIPAL`). Default null. */
  gssapiServicePrincipal?: string | null;
  /** Frames are authenticated without encryption (`ZMQ_GSSAPI_PLAINTEXT`). Default false. */
  gssapiPlainText?: boolean;
  /** The kind of name in `gssapiPrincipal` (`ZMQ_GSSAPI_PRINCIPAL_NAMETYPE`). Default `hostBased`. */
  gssapiPrincipalNameType?: "hostBased" | "userName" | "krb5Principal";
  /** The kind of name in `gssapiServicePrincipal` (`ZMQ_GSSAPI_SERVICE_PRINCIPAL_NAMETYPE`). Default `hostBased`. */
  gssapiServicePrincipalNameType?: "hostBased" | "userName" | "krb5Principal";
  /** The rate of libzmq's multicast transports, in kbit/s (`ZMQ_RATE`). Engine `zmtp`: no effect. Default 100. */
  rate?: number;
  /** The time for repetitions on libzmq's multicast transports, in ms (`ZMQ_RECOVERY_IVL`). Engine `zmtp`: no effect. Default 10,000. */
  recoveryInterval?: number;
  /** The size of a packet on libzmq's multicast transports, in bytes (`ZMQ_MULTICAST_MAXTPDU`). Engine `zmtp`: no effect. Default 1,500. */
  multicastMaxTransportDataUnit?: number;
  /** The size of VMCI's buffer, in bytes (`ZMQ_VMCI_BUFFER_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferSize?: number;
  /** The smallest size of VMCI's buffer, in bytes (`ZMQ_VMCI_BUFFER_MIN_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferMinSize?: number;
  /** The largest size of VMCI's buffer, in bytes (`ZMQ_VMCI_BUFFER_MAX_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferMaxSize?: number;
  /** The time for one attempt to connect over VMCI, in ms (`ZMQ_VMCI_CONNECT_TIMEOUT`). -1: the system's default. Engine `zmtp`: no effect. Default -1. */
  vmciConnectTimeout?: number;
}

/** Options of sending sockets. */
export interface WritableOptions {
  /** Messages in the queue of one peer until the socket is mute for it (`ZMQ_SNDHWM`). 0: no limit. Default 1,000. */
  sendHighWaterMark?: number;
  /**
   * The same mark in bytes: each frame counts its bytes on the wire and 64 more. A message may pass the mark if the queue has fewer
   * bytes. 0: no limit. Default 64 MiB. Only engine `zmtp`.
   */
  sendHighWaterMarkBytes?: number;
  /** The time for `send` to wait for room, in ms; then it rejects with `EAGAIN` (`ZMQ_SNDTIMEO`). 0: no waiting. -1: without limit. Default -1. */
  sendTimeout?: number;
  /** Waiting calls of `send` at most; a further one rejects with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingSends?: number;
  /** The same in bytes, counted as in `sendHighWaterMarkBytes`; one call may wait with a message of any size. Default 256 MiB. */
  maxPendingSendBytes?: number;
  /** The size of the kernel's buffer for sending, in bytes (`ZMQ_SNDBUF`). -1: the system's default. Engine `zmtp`: a process warning, and no effect. Default -1. */
  sendBufferSize?: number;
  /** Networks on the way of a multicast datagram at most, 1 to 255 (`ZMQ_MULTICAST_HOPS`). Default 1. */
  multicastHops?: number;
  /** Members of a multicast group on this machine get its datagrams, too (`ZMQ_MULTICAST_LOOP`). Default true. Only engine `zmtp`. */
  multicastLoop?: boolean;
}

/** Options of receiving sockets. */
export interface ReadableOptions {
  /** Messages in the queue from one peer until its connection is no longer read (`ZMQ_RCVHWM`). 0: no limit. Default 1,000. */
  receiveHighWaterMark?: number;
  /** The same mark in bytes, counted as in `sendHighWaterMarkBytes`; a single message may have any size. 0: no limit. Default 64 MiB. Only engine `zmtp`. */
  receiveHighWaterMarkBytes?: number;
  /** Bytes in the queues from all peers until the connections of further messages are no longer read. 0: no limit. Default 256 MiB. Only engine `zmtp`. */
  maxReceiveQueueBytes?: number;
  /** The time for `receive` to wait, in ms; then it rejects with `EAGAIN` (`ZMQ_RCVTIMEO`). 0: no waiting. -1: without limit. Default -1. */
  receiveTimeout?: number;
  /** Waiting calls of `receive` at most; a further one rejects with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingReceives?: number;
  /** The size of the kernel's buffer for receiving, in bytes (`ZMQ_RCVBUF`). -1: the system's default. Engine `zmtp`: a process warning, and no effect. Default -1. */
  receiveBufferSize?: number;
}

/** The option for queues of one message. */
export interface ConflateOptions {
  /** A queue keeps only its newest message; messages have one frame (`ZMQ_CONFLATE`). Default false. */
  conflate?: boolean;
}

/** The option for a socket's name at a ROUTER. */
export interface RoutingIdOptions {
  /** The socket's name at a ROUTER: 1 to 255 bytes, without a zero byte at the start (`ZMQ_ROUTING_ID`). null: the ROUTER invents one. Default null. */
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
