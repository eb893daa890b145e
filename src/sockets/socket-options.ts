/**
 * Option types of socket types; option-table.ts has ranges and defaults (equality: test/types/options.test-d.ts). Most
 * options count for later connections.
 */

import type { OptionName } from "../core/option-table.js";
import type { PeerCredentials } from "../engine/engine.js";
import type { Codec } from "./codec.js";
import type { Context } from "./context.js";

/** Options of every socket, with libzmq's names. */
export interface CommonOptions {
  /** Largest message from a peer, in bytes of its frames together (engine libzmq: of each); a larger one ends the connection (`ZMQ_MAXMSGSIZE`). -1: no limit. Default 64 MiB. */
  maxMessageSize?: number;
  /** ms for messages to leave after `close` and `disconnect` (`ZMQ_LINGER`). -1: no limit. Default -1. */
  linger?: number;
  /** Queues messages only for connected peers (`ZMQ_IMMEDIATE`). Default false. */
  immediate?: boolean;
  /** Connections waiting for the system's accept (`ZMQ_BACKLOG`). Default 100. */
  backlog?: number;
  /** Incoming connections; further ones are refused and reported. Default 65,536. Only engine `zmtp`. */
  maxConnections?: number;
  /** Concurrent incoming handshakes and `authenticate` calls. Default 4,096. Only engine `zmtp`. */
  maxPendingHandshakes?: number;
  /** ms for one connection attempt (`ZMQ_CONNECT_TIMEOUT`). 0: the system's limit. Default 0. */
  connectTimeout?: number;
  /** ms for a handshake (`ZMQ_HANDSHAKE_IVL`). 0: no limit. Default 30,000. */
  handshakeInterval?: number;
  /** ms between two PINGs (37/ZMTP, Heartbeating; `ZMQ_HEARTBEAT_IVL`). 0: no PINGs. Default 5,000. */
  heartbeatInterval?: number;
  /**
   * ms of silence after a PING until the connection ends (`ZMQ_HEARTBEAT_TIMEOUT`). 0: no limit. -1: six times
   * `heartbeatInterval`. Default -1.
   */
  heartbeatTimeout?: number;
  /** ms of silence after which the peer may end the connection, announced in each PING (`ZMQ_HEARTBEAT_TTL`). 0: no limit. At most 65,500. Default 0. */
  heartbeatTimeToLive?: number;
  /** ms between two connection attempts, jittered up to 1.5 times (`ZMQ_RECONNECT_IVL`). -1: no second attempt. Default 100. */
  reconnectInterval?: number;
  /**
   * Limit in ms of the reconnect interval, which doubles with each failure (`ZMQ_RECONNECT_IVL_MAX`). Higher values
   * cost fewer attempts, and find a returning server later. 0: no doubling. Default 0.
   */
  reconnectMaxInterval?: number;
  /** Host names and wildcards also resolve to IPv6 (`ZMQ_IPV6`). Default false. */
  ipv6?: boolean;
  /** Network interface of all connections (`ZMQ_BINDTODEVICE`). Engine `zmtp` only warns. Default null. */
  interface?: string | null;
  /** TCP keep-alive: 1 on, 0 off, -1 the system's default (`ZMQ_TCP_KEEPALIVE`). Default -1. */
  tcpKeepalive?: number;
  /** Unanswered keep-alive probes until the connection ends (`ZMQ_TCP_KEEPALIVE_CNT`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  tcpKeepaliveCount?: number;
  /** Seconds without traffic until the first keep-alive probe (`ZMQ_TCP_KEEPALIVE_IDLE`). -1: the system's default. Default -1. */
  tcpKeepaliveIdle?: number;
  /** Seconds between two keep-alive probes (`ZMQ_TCP_KEEPALIVE_INTVL`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  tcpKeepaliveInterval?: number;
  /** Address or network of peers that may connect (`ZMQ_TCP_ACCEPT_FILTER`). Engine `zmtp`: `NOT_SUPPORTED`; use `authenticate`. Default null. */
  tcpAcceptFilter?: string | null;
  /** ms for TCP to get an acknowledgement (`ZMQ_TCP_MAXRT`). 0: the system's default. Engine `zmtp` only warns. Default 0. */
  tcpMaxRetransmitTimeout?: number;
  /** IP type of service, 0 to 255 (`ZMQ_TOS`). Engine `zmtp` only warns. Default 0. */
  typeOfService?: number;
  /** SOCKS5 proxy for connections, `HOST:PORT` (`ZMQ_SOCKS_PROXY`). Engine `zmtp`: `NOT_SUPPORTED`. Default null. */
  socksProxy?: string | null;
  /**
   * Origins of pages that may connect to `ws` and `wss` endpoints, separated by spaces or commas. `*`: all; null: the
   * endpoint's host. Programs send no origin and may connect. Default null. Only engine `zmtp`.
   */
  wsOrigins?: string | null;
  /** Bit set of libzmq's I/O threads for the socket (`ZMQ_AFFINITY`). 0: all. Engine `zmtp`: no effect. Default 0. */
  affinity?: number;
  /** Windows' fast path for loopback (`ZMQ_LOOPBACK_FASTPATH`). Engine `zmtp`: no effect. Default false. */
  loopbackFastPath?: boolean;
  /** Makes this end the PLAIN server (24/ZMTP-PLAIN; `ZMQ_PLAIN_SERVER`). Default false. */
  plainServer?: boolean;
  /** A client's user name, at most 255 bytes; selects PLAIN (`ZMQ_PLAIN_USERNAME`). Default null. */
  plainUsername?: string | null;
  /** A client's password, at most 255 bytes (`ZMQ_PLAIN_PASSWORD`). Default null. */
  plainPassword?: string | null;
  /** Makes this end the CURVE server, which needs `curveSecretKey` (26/CURVEZMQ; `ZMQ_CURVE_SERVER`). Default false. */
  curveServer?: boolean;
  /** A client's public key: 40 characters of Z85, or 32 bytes (`ZMQ_CURVE_PUBLICKEY`). Default null. */
  curvePublicKey?: string | Uint8Array | null;
  /** This end's secret key: 40 characters of Z85, or 32 bytes (`ZMQ_CURVE_SECRETKEY`). Default null. */
  curveSecretKey?: string | Uint8Array | null;
  /** The server's public key, for a client: 40 characters of Z85, or 32 bytes; selects CURVE (`ZMQ_CURVE_SERVERKEY`). Default null. */
  curveServerKey?: string | Uint8Array | null;
  /**
   * Certificate for `tls` and `wss`, as PEM, followed by its intermediates; required by servers. Later handshakes use a
   * new value. Default null. All TLS options: only engine `zmtp`.
   */
  tlsCert?: string | null;
  /** Private key of `tlsCert`, as PEM. Default null. */
  tlsKey?: string | null;
  /** Passphrase of an encrypted `tlsKey`. Default null. */
  tlsPassphrase?: string | null;
  /**
   * Accepted authorities of peers' certificates, as PEM. Servers then require client certificates; clients trust these
   * instead of the system's. Default null.
   */
  tlsCa?: string | null;
  /** Server name for SNI and in its certificate, at most 255 bytes; null: the endpoint's host. Default null. */
  tlsServerName?: string | null;
  /** Makes a client check the name or address in the server's certificate. Default true. */
  tlsCheckName?: boolean;
  /** Oldest accepted TLS version. Default `TLSv1.2`. */
  tlsMinVersion?: "TLSv1.2" | "TLSv1.3";
  /** Domain in authentication requests, at most 255 bytes (27/ZAP; `ZMQ_ZAP_DOMAIN`). NULL sockets ask the ZAP handler only with a domain. Default null. */
  zapDomain?: string | null;
  /** NULL sockets with a `zapDomain` refuse peers while no ZAP handler is bound (`ZMQ_ZAP_ENFORCE_DOMAIN`). Default false. */
  zapEnforceDomain?: boolean;
  /** Makes this end the GSSAPI server (38/ZMTP-GSSAPI; `ZMQ_GSSAPI_SERVER`). All GSSAPI options: `NOT_SUPPORTED` on engine `zmtp`. Default false. */
  gssapiServer?: boolean;
  /** This end's principal (`ZMQ_GSSAPI_PRINCIPAL`). Default null. */
  gssapiPrincipal?: string | null;
  /** The server's principal, for a client (`ZMQ_GSSAPI_SERVICE_PRINCIPAL`). Default null. */
  gssapiServicePrincipal?: string | null;
  /** Authenticates frames without encrypting them (`ZMQ_GSSAPI_PLAINTEXT`). Default false. */
  gssapiPlainText?: boolean;
  /** Kind of name in `gssapiPrincipal` (`ZMQ_GSSAPI_PRINCIPAL_NAMETYPE`). Default `hostBased`. */
  gssapiPrincipalNameType?: "hostBased" | "userName" | "krb5Principal";
  /** Kind of name in `gssapiServicePrincipal` (`ZMQ_GSSAPI_SERVICE_PRINCIPAL_NAMETYPE`). Default `hostBased`. */
  gssapiServicePrincipalNameType?: "hostBased" | "userName" | "krb5Principal";
  /** Rate of libzmq's multicast transports, in kbit/s (`ZMQ_RATE`). Engine `zmtp`: no effect. Default 100. */
  rate?: number;
  /** ms for repetitions on libzmq's multicast transports (`ZMQ_RECOVERY_IVL`). Engine `zmtp`: no effect. Default 10,000. */
  recoveryInterval?: number;
  /** Packet bytes on libzmq's multicast transports (`ZMQ_MULTICAST_MAXTPDU`). Engine `zmtp`: no effect. Default 1,500. */
  multicastMaxTransportDataUnit?: number;
  /** VMCI buffer bytes (`ZMQ_VMCI_BUFFER_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferSize?: number;
  /** Smallest VMCI buffer, in bytes (`ZMQ_VMCI_BUFFER_MIN_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferMinSize?: number;
  /** Largest VMCI buffer, in bytes (`ZMQ_VMCI_BUFFER_MAX_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferMaxSize?: number;
  /** ms for one connection attempt over VMCI (`ZMQ_VMCI_CONNECT_TIMEOUT`). -1: the system's default. Engine `zmtp`: no effect. Default -1. */
  vmciConnectTimeout?: number;
}

/** Options of sending sockets. */
export interface WritableOptions {
  /** Messages queued for one peer before the socket is mute for it (`ZMQ_SNDHWM`). 0: no limit. Default 1,000. */
  sendHighWaterMark?: number;
  /**
   * Bytes queued for one peer before the socket is mute for it; each frame counts 64 more than its wire bytes. One
   * message may pass the mark. 0: no limit. Default 64 MiB. Only engine `zmtp`.
   */
  sendHighWaterMarkBytes?: number;
  /** ms for `send` to wait for room before it rejects with `EAGAIN` (`ZMQ_SNDTIMEO`). 0: no waiting. -1: no limit. Default -1. */
  sendTimeout?: number;
  /** Waiting `send` calls; further ones reject with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingSends?: number;
  /**
   * Bytes in waiting `send` calls, counted as in `sendHighWaterMarkBytes`; one call of any size may wait. Default 256
   * MiB.
   */
  maxPendingSendBytes?: number;
  /** Kernel send buffer bytes (`ZMQ_SNDBUF`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  sendBufferSize?: number;
  /** Networks that a multicast datagram may cross, 1 to 255 (`ZMQ_MULTICAST_HOPS`). Default 1. */
  multicastHops?: number;
  /** Delivers multicast datagrams to group members on this machine, too (`ZMQ_MULTICAST_LOOP`). Default true. Only engine `zmtp`. */
  multicastLoop?: boolean;
}

/** Options of receiving sockets. */
export interface ReadableOptions {
  /** Messages queued from one peer before its connection is no longer read (`ZMQ_RCVHWM`). 0: no limit. Default 1,000. */
  receiveHighWaterMark?: number;
  /**
   * Bytes queued from one peer before its connection is no longer read, counted as in `sendHighWaterMarkBytes`; one
   * message may have any size. 0: no limit. Default 64 MiB. Only engine `zmtp`.
   */
  receiveHighWaterMarkBytes?: number;
  /** Bytes queued from all peers before connections with further messages are no longer read. 0: no limit. Default 256 MiB. Only engine `zmtp`. */
  maxReceiveQueueBytes?: number;
  /** ms for `receive` to wait before it rejects with `EAGAIN` (`ZMQ_RCVTIMEO`). 0: no waiting. -1: no limit. Default -1. */
  receiveTimeout?: number;
  /** Waiting `receive` calls; further ones reject with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingReceives?: number;
  /** Kernel receive buffer bytes (`ZMQ_RCVBUF`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  receiveBufferSize?: number;
}

/** Option for queues of one message. */
export interface ConflateOptions {
  /** Keeps only a queue's newest message; messages have one frame (`ZMQ_CONFLATE`). Default false. */
  conflate?: boolean;
}

/** Option for a socket's name at a ROUTER. */
export interface RoutingIdOptions {
  /** The socket's name at a ROUTER: 1 to 255 bytes, the first not zero (`ZMQ_ROUTING_ID`). null: the ROUTER invents one. Default null. */
  routingId?: string | Uint8Array | null;
}

/** Authenticates a peer before it may talk; anything but `true` refuses it (27/ZAP). */
export type Authenticate = (peer: PeerCredentials) => boolean | Promise<boolean>;

/** Construction options that are not properties. */
export interface ConstructionOptions {
  /** Default: the process-wide context. */
  context?: Context;
  /** Anything but `true`, and a throw, refuses the peer. */
  authenticate?: Authenticate;
}

/** Options of a socket class: `SocketOptions<Dealer>`. */
export type SocketOptions<S> = Partial<Pick<S, keyof S & OptionName>> & ConstructionOptions;

/** Option for typed values. */
export interface CodecOptions<T> {
  /** Encodes and decodes the last frame of each message, and types the socket. Default: plain frames. */
  codec?: Codec<T>;
}

/** Options that accept bytes but are read as text. */
type TextProperty = "curvePublicKey" | "curveSecretKey" | "curveServerKey" | "routingId" | "welcomeMessage";

/** Properties for options that are read as they are set. */
export type Properties<O> = Required<Omit<O, TextProperty>>;

/** CURVE keys as properties: set as Z85 or bytes, read as Z85. */
export interface KeyProperties {
  get curvePublicKey(): string | null;
  set curvePublicKey(value: string | Uint8Array | null);
  get curveSecretKey(): string | null;
  set curveSecretKey(value: string | Uint8Array | null);
  get curveServerKey(): string | null;
  set curveServerKey(value: string | Uint8Array | null);
}

/** Routing id as a property: set as text or bytes, read as UTF-8 text. */
export interface RoutingIdProperty {
  get routingId(): string | null;
  set routingId(value: string | Uint8Array | null);
}
