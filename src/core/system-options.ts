/** Socket options that pages lack; part of option-table.ts. */
import { flag, INT32, int, type OptionSpec, READABLE, text, WRITABLE } from "./option-spec.js";

/** Bytes of a list of origins: a thousand, and more. */
const MAX_ORIGINS = 65_536;

/** Bytes of PEM text; more than all authorities that systems trust. */
const MAX_PEM = 1_048_576;

export const SYSTEM_OPTIONS = {
  // Connections
  /** Connections waiting for the system's accept (`ZMQ_BACKLOG`). Default 100. */
  backlog: int(100, 0, INT32),
  /** Network interface of all connections (`ZMQ_BINDTODEVICE`). Engine `zmtp` only warns. Default null. */
  interface: text({ zmtp: "ignored" }),
  /** Kernel send buffer bytes (`ZMQ_SNDBUF`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  sendBufferSize: int(-1, -1, INT32, { unit: "bytes", on: WRITABLE, zmtp: "ignored" }),
  /** Kernel receive buffer bytes (`ZMQ_RCVBUF`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  receiveBufferSize: int(-1, -1, INT32, { unit: "bytes", on: READABLE, zmtp: "ignored" }),
  /** TCP keep-alive: 1 on, 0 off, -1 the system's default (`ZMQ_TCP_KEEPALIVE`). Default -1. */
  tcpKeepalive: int(-1, -1, 1),
  /** Unanswered keep-alive probes until the connection ends (`ZMQ_TCP_KEEPALIVE_CNT`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  tcpKeepaliveCount: int(-1, -1, INT32, { zmtp: "ignored" }),
  /** Seconds without traffic until the first keep-alive probe (`ZMQ_TCP_KEEPALIVE_IDLE`). -1: the system's default. Default -1. */
  tcpKeepaliveIdle: int(-1, -1, INT32, { unit: "s" }),
  /** Seconds between two keep-alive probes (`ZMQ_TCP_KEEPALIVE_INTVL`). -1: the system's default. Engine `zmtp` only warns. Default -1. */
  tcpKeepaliveInterval: int(-1, -1, INT32, { unit: "s", zmtp: "ignored" }),
  /** Address or network of peers that may connect (`ZMQ_TCP_ACCEPT_FILTER`). Engine `zmtp`: `NOT_SUPPORTED`; use `authenticate`. Default null. */
  tcpAcceptFilter: text({ zmtp: "refused" }),
  /** ms for TCP to get an acknowledgement (`ZMQ_TCP_MAXRT`). 0: the system's default. Engine `zmtp` only warns. Default 0. */
  tcpMaxRetransmitTimeout: int(0, 0, INT32, { unit: "ms", zmtp: "ignored" }),
  /** IP type of service, 0 to 255 (`ZMQ_TOS`). Engine `zmtp` only warns. Default 0. */
  typeOfService: int(0, 0, 255, { zmtp: "ignored" }),
  /** SOCKS5 proxy for connections, `HOST:PORT` (`ZMQ_SOCKS_PROXY`). Engine `zmtp`: `NOT_SUPPORTED`. Default null. */
  socksProxy: text({ zmtp: "refused" }),
  /**
   * Origins of pages that may connect to `ws` and `wss` endpoints, separated by spaces or commas. `*`: all; null: the
   * endpoint's host. Programs send no origin and may connect. Default null. Only engine `zmtp`.
   */
  wsOrigins: text({ max: MAX_ORIGINS, only: "zmtp" }),
  /** Windows' fast path for loopback (`ZMQ_LOOPBACK_FASTPATH`). Engine `zmtp`: no effect. Default false. */
  loopbackFastPath: flag(false),

  // Security
  /**
   * Certificate for `tls` and `wss`, as PEM, followed by its intermediates; required by servers. Later handshakes use a
   * new value. Default null. All TLS options: only engine `zmtp`.
   */
  tlsCert: text({ max: MAX_PEM, only: "zmtp", live: true }),
  /** Private key of `tlsCert`, as PEM. Default null. */
  tlsKey: text({ max: MAX_PEM, only: "zmtp", live: true }),
  /** Passphrase of an encrypted `tlsKey`. Default null. */
  tlsPassphrase: text({ only: "zmtp", live: true }),
  /**
   * Accepted authorities of peers' certificates, as PEM. Servers then require client certificates; clients trust these
   * instead of the system's. Default null.
   */
  tlsCa: text({ max: MAX_PEM, only: "zmtp", live: true }),
  /** Server name for SNI and in its certificate, at most 255 bytes; null: the endpoint's host. Default null. */
  tlsServerName: text({ max: 255, only: "zmtp", live: true }),
  /** Makes a client check the name or address in the server's certificate. Default true. */
  tlsCheckName: flag(true, { only: "zmtp", live: true }),
  /** Oldest accepted TLS version. Default `TLSv1.2`. */
  tlsMinVersion: {
    kind: "choice",
    default: "TLSv1.2",
    choices: ["TLSv1.2", "TLSv1.3"],
    only: "zmtp",
    live: true,
  },
  /** Makes this end the GSSAPI server (38/ZMTP-GSSAPI; `ZMQ_GSSAPI_SERVER`). All GSSAPI options: `NOT_SUPPORTED` on engine `zmtp`. Default false. */
  gssapiServer: flag(false, { zmtp: "refused" }),
  /** This end's principal (`ZMQ_GSSAPI_PRINCIPAL`). Default null. */
  gssapiPrincipal: text({ zmtp: "refused" }),
  /** The server's principal, for a client (`ZMQ_GSSAPI_SERVICE_PRINCIPAL`). Default null. */
  gssapiServicePrincipal: text({ zmtp: "refused" }),
  /** Authenticates frames without encrypting them (`ZMQ_GSSAPI_PLAINTEXT`). Default false. */
  gssapiPlainText: flag(false, { zmtp: "refused" }),
  /** Kind of name in `gssapiPrincipal` (`ZMQ_GSSAPI_PRINCIPAL_NAMETYPE`). Default `hostBased`. */
  gssapiPrincipalNameType: {
    kind: "choice",
    default: "hostBased",
    choices: ["hostBased", "userName", "krb5Principal"],
  },
  /** Kind of name in `gssapiServicePrincipal` (`ZMQ_GSSAPI_SERVICE_PRINCIPAL_NAMETYPE`). Default `hostBased`. */
  gssapiServicePrincipalNameType: {
    kind: "choice",
    default: "hostBased",
    choices: ["hostBased", "userName", "krb5Principal"],
  },

  // Multicast and virtual machines: engines that have the transport
  /** Rate of libzmq's multicast transports, in kbit/s (`ZMQ_RATE`). Engine `zmtp`: no effect. Default 100. */
  rate: int(100, 1, INT32, { unit: "kbit/s" }),
  /** ms for repetitions on libzmq's multicast transports (`ZMQ_RECOVERY_IVL`). Engine `zmtp`: no effect. Default 10,000. */
  recoveryInterval: int(10_000, 0, INT32, { unit: "ms" }),
  /** Networks that a multicast datagram may cross, 1 to 255 (`ZMQ_MULTICAST_HOPS`). Default 1. */
  multicastHops: int(1, 1, 255, { unit: "hops", on: WRITABLE }),
  /** Delivers multicast datagrams to group members on this machine, too (`ZMQ_MULTICAST_LOOP`). Default true. Only engine `zmtp`. */
  multicastLoop: flag(true, { on: WRITABLE, only: "zmtp" }),
  /** Packet bytes on libzmq's multicast transports (`ZMQ_MULTICAST_MAXTPDU`). Engine `zmtp`: no effect. Default 1,500. */
  multicastMaxTransportDataUnit: int(1_500, 1, INT32, { unit: "bytes" }),
  /** VMCI buffer bytes (`ZMQ_VMCI_BUFFER_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes" }),
  /** Smallest VMCI buffer, in bytes (`ZMQ_VMCI_BUFFER_MIN_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferMinSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes" }),
  /** Largest VMCI buffer, in bytes (`ZMQ_VMCI_BUFFER_MAX_SIZE`). 0: the system's default. Engine `zmtp`: no effect. Default 0. */
  vmciBufferMaxSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes" }),
  /** ms for one connection attempt over VMCI (`ZMQ_VMCI_CONNECT_TIMEOUT`). -1: the system's default. Engine `zmtp`: no effect. Default -1. */
  vmciConnectTimeout: int(-1, -1, INT32, { unit: "ms" }),
} as const satisfies Record<string, OptionSpec>;

export function whyNoOption(_name: string): string | undefined {
  return undefined;
}
