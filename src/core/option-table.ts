/**
 * The tables of the options of sockets and contexts, from which their types, checks, accessors and docs/limits.md derive.
 * Names and meanings follow the package `zeromq`; `zeromqDefault` marks a different default (docs/engines.md). Most
 * options of sockets count for later connections.
 *
 * The option values of a socket inherit the defaults, so iterate over `OPTIONS` to get all.
 */
import { bytes, flag, INT32, int, key, type OptionSpec, READABLE, text, WRITABLE } from "./option-spec.js";
import type { SocketTypeName } from "./socket-type.js";
import { SYSTEM_OPTIONS } from "./system-options.js";

const ROUTED = ["Request", "Reply", "Router", "Dealer"] as const;
const CONFLATING = ["Pull", "Push", "Subscriber", "Publisher", "Dealer", "Scatter", "Gather"] as const;

const OWN_OPTIONS = {
  // Queues and waits
  /** Messages queued for one peer before the socket is mute for it (`ZMQ_SNDHWM`). 0: no limit. Default 1,000. */
  sendHighWaterMark: int(1_000, 0, INT32, { unit: "messages", on: WRITABLE, live: true }),
  /** Messages queued from one peer before its connection is no longer read (`ZMQ_RCVHWM`). 0: no limit. Default 1,000. */
  receiveHighWaterMark: int(1_000, 0, INT32, { unit: "messages", on: READABLE, live: true }),
  /**
   * Bytes queued for one peer before the socket is mute for it; each frame counts 64 more than its wire bytes. One
   * message may pass the mark. 0: no limit. Default 64 MiB. Only engine `zmtp`.
   */
  sendHighWaterMarkBytes: int(67_108_864, 0, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: WRITABLE,
    only: "zmtp",
    live: true,
  }),
  /**
   * Bytes queued from one peer before its connection is no longer read, counted as in `sendHighWaterMarkBytes`; one
   * message may have any size. 0: no limit. Default 64 MiB. Only engine `zmtp`.
   */
  receiveHighWaterMarkBytes: int(67_108_864, 0, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: READABLE,
    only: "zmtp",
    live: true,
  }),
  /** Bytes queued from all peers before connections with further messages are no longer read. 0: no limit. Default 256 MiB. Only engine `zmtp`. */
  maxReceiveQueueBytes: int(268_435_456, 0, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: READABLE,
    only: "zmtp",
    live: true,
  }),
  /** ms for `send` to wait for room before it rejects with `EAGAIN` (`ZMQ_SNDTIMEO`). 0: no waiting. -1: no limit. Default -1. */
  sendTimeout: int(-1, -1, INT32, { unit: "ms", on: WRITABLE, live: true }),
  /** ms for `receive` to wait before it rejects with `EAGAIN` (`ZMQ_RCVTIMEO`). 0: no waiting. -1: no limit. Default -1. */
  receiveTimeout: int(-1, -1, INT32, { unit: "ms", on: READABLE, live: true }),
  /** Waiting `send` calls; further ones reject with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingSends: int(10_000, 1, INT32, { unit: "calls", on: WRITABLE, local: true }),
  /**
   * Bytes in waiting `send` calls, counted as in `sendHighWaterMarkBytes`; one call of any size may wait. Default 256
   * MiB.
   */
  maxPendingSendBytes: int(268_435_456, 1, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: WRITABLE,
    local: true,
  }),
  /** Waiting `receive` calls; further ones reject with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPendingReceives: int(10_000, 1, INT32, { unit: "calls", on: READABLE, local: true }),
  /**
   * Largest message from a peer, in bytes of its frames together (engine libzmq: of each); a larger one ends the
   * connection (`ZMQ_MAXMSGSIZE`). -1: no limit. Default 64 MiB.
   */
  maxMessageSize: int(67_108_864, -1, Number.MAX_SAFE_INTEGER, { unit: "bytes", zeromqDefault: -1 }),
  /** ms for messages to leave after `close` and `disconnect` (`ZMQ_LINGER`). -1: no limit. Default -1. */
  linger: int(-1, -1, INT32, { unit: "ms", live: true }),
  /** Queues messages only for connected peers (`ZMQ_IMMEDIATE`). Default false. */
  immediate: flag(false),
  /** Keeps only a queue's newest message; messages have one frame (`ZMQ_CONFLATE`). Default false. */
  conflate: flag(false, { on: CONFLATING }),

  // Connections
  /** Incoming connections; further ones are refused and reported. Default 65,536. Only engine `zmtp`. */
  maxConnections: int(65_536, 1, INT32, { unit: "connections", only: "zmtp", live: true }),
  /** Concurrent incoming handshakes and `authenticate` calls. Default 4,096. Only engine `zmtp`. */
  maxPendingHandshakes: int(4_096, 1, INT32, { unit: "connections", only: "zmtp", live: true }),
  /** ms for one connection attempt (`ZMQ_CONNECT_TIMEOUT`). 0: the system's limit. Default 0. */
  connectTimeout: int(0, 0, INT32, { unit: "ms" }),
  /** ms for a handshake (`ZMQ_HANDSHAKE_IVL`). 0: no limit. Default 30,000. */
  handshakeInterval: int(30_000, 0, INT32, { unit: "ms" }),
  /**
   * ms of silence before a PING, or between two if they have a time to live (37/ZMTP, Heartbeating;
   * `ZMQ_HEARTBEAT_IVL`). 0: no PINGs. Default 5,000.
   */
  heartbeatInterval: int(5_000, 0, INT32, { unit: "ms", zeromqDefault: 0 }),
  /**
   * ms of silence after a PING until the connection ends (`ZMQ_HEARTBEAT_TIMEOUT`). 0: no limit. -1: six times
   * `heartbeatInterval`. Default -1.
   */
  heartbeatTimeout: int(-1, -1, INT32, { unit: "ms", zeromqDefault: -1 }),
  /** ms of silence after which the peer may end the connection, announced in each PING (`ZMQ_HEARTBEAT_TTL`). 0: no limit. At most 65,500. Default 0. */
  heartbeatTimeToLive: int(0, 0, 65_500, { unit: "ms" }),
  /** ms between two connection attempts, jittered up to 1.5 times (`ZMQ_RECONNECT_IVL`). -1: no second attempt, and what is queued for the endpoint is dropped. Default 100. */
  reconnectInterval: int(100, -1, INT32, { unit: "ms" }),
  /**
   * Limit in ms of the reconnect interval, which doubles with each failure (`ZMQ_RECONNECT_IVL_MAX`). Higher values
   * cost fewer attempts, and find a returning server later. 0: no doubling. Default 0.
   */
  reconnectMaxInterval: int(0, 0, INT32, { unit: "ms" }),
  /** Host names and wildcards also resolve to IPv6 (`ZMQ_IPV6`). Default false. */
  ipv6: flag(false),
  /** Bit set of libzmq's I/O threads for the socket (`ZMQ_AFFINITY`). 0: all. Engine `zmtp`: no effect. Default 0. */
  affinity: int(0, 0, 2 ** 64),

  // Routing
  /** The socket's name at a ROUTER: 1 to 255 bytes, the first not zero (`ZMQ_ROUTING_ID`). null: the ROUTER invents one. Default null. */
  routingId: bytes({ on: ROUTED }),
  /**
   * Messages to unknown peers reject with `EHOSTUNREACH`, to full ones with `EAGAIN`; with `false` both are counted
   * drops (`ZMQ_ROUTER_MANDATORY`). Default false.
   */
  mandatory: flag(false, { on: ["Router"], live: true }),
  /** A new peer takes over a routing id in use (`ZMQ_ROUTER_HANDOVER`). Default false. */
  handover: flag(false, { on: ["Router"], live: true }),
  /** Sends an empty message to each new peer, so that a ROUTER learns its routing id (`ZMQ_PROBE_ROUTER`). Default false. */
  probeRouter: flag(false, { on: ["Router", "Dealer", "Request"], live: true }),
  /** Puts an id before a request's delimiter; only the reply with this id counts (`ZMQ_REQ_CORRELATE`). Default false; `request` sets it. */
  correlate: flag(false, { on: ["Request"], live: true }),
  /** Allows another request before the reply, replacing the earlier one (`ZMQ_REQ_RELAXED`). Default false; `request` sets it. */
  relaxed: flag(false, { on: ["Request"], live: true }),
  /** Reports each connection's start and end by a message `[routing id, ""]` (`ZMQ_STREAM_NOTIFY`). Default true. */
  notify: flag(true, { on: ["Stream"] }),

  // Publish-subscribe
  /**
   * Full subscribers or members block the sender instead of missing messages (`ZMQ_XPUB_NODROP`). Only for `new`.
   * Default false.
   */
  noDrop: flag(false, { on: ["Publisher", "XPublisher", "Radio"], live: true }),
  /** Only `subscribe` and `unsubscribe` set peers' topics, not their own requests (`ZMQ_XPUB_MANUAL`). Default false. */
  manual: flag(false, { on: ["XPublisher"], live: true }),
  /** First frame for each new subscriber, at most 65,535 bytes (`ZMQ_XPUB_WELCOME_MSG`). Default null. */
  welcomeMessage: bytes({ on: ["XPublisher"], max: 65_535, live: true }),
  /**
   * Requests that `receive` returns. null: a topic's first subscription and last cancellation. `allSubs`: all
   * subscriptions (`ZMQ_XPUB_VERBOSE`). `allSubsUnsubs`: all cancellations, too (`ZMQ_XPUB_VERBOSER`). Default null.
   */
  verbosity: {
    kind: "choice",
    default: null,
    choices: [null, "allSubs", "allSubsUnsubs"],
    on: ["XPublisher"],
    live: true,
  },
  /** Delivers messages that match *none* of a subscriber's topics; for both ends (`ZMQ_INVERT_MATCHING`). Default false. */
  invertMatching: flag(false, { on: ["Publisher", "Subscriber", "XPublisher"] }),

  // Security
  /** Makes this end the PLAIN server (24/ZMTP-PLAIN; `ZMQ_PLAIN_SERVER`). Default false. */
  plainServer: flag(false),
  /** A client's user name, at most 255 bytes; selects PLAIN (`ZMQ_PLAIN_USERNAME`). Default null. */
  plainUsername: text({ max: 255 }),
  /** A client's password, at most 255 bytes (`ZMQ_PLAIN_PASSWORD`). Default null. */
  plainPassword: text({ max: 255 }),
  /** Makes this end the CURVE server, which needs `curveSecretKey` (26/CURVEZMQ; `ZMQ_CURVE_SERVER`). Default false. */
  curveServer: flag(false),
  /** A client's public key: 40 characters of Z85, or 32 bytes (`ZMQ_CURVE_PUBLICKEY`). Default null. */
  curvePublicKey: key({ live: true }),
  /** This end's secret key: 40 characters of Z85, or 32 bytes (`ZMQ_CURVE_SECRETKEY`). Default null. */
  curveSecretKey: key({ live: true }),
  /** The server's public key, for a client: 40 characters of Z85, or 32 bytes; selects CURVE (`ZMQ_CURVE_SERVERKEY`). Default null. */
  curveServerKey: key(),
  /** Domain in authentication requests, at most 255 bytes (27/ZAP; `ZMQ_ZAP_DOMAIN`). NULL sockets ask the ZAP handler only with a domain. Default null. */
  zapDomain: text({ max: 255 }),
  /** NULL sockets with a `zapDomain` refuse peers while no ZAP handler is bound (`ZMQ_ZAP_ENFORCE_DOMAIN`). Default false. */
  zapEnforceDomain: flag(false),
} as const satisfies Record<string, OptionSpec>;

export const OPTIONS = { ...OWN_OPTIONS, ...SYSTEM_OPTIONS } as const;

/** A context's options. */
export const CONTEXT_OPTIONS = {
  /** `false` sets the default linger of new sockets to 0, so that the process ends at once (`ZMQ_BLOCKY`). Default true. */
  blocky: flag(true),
  /** I/O threads (`ZMQ_IO_THREADS`). Engine `zmtp`: no effect. Default 1. */
  ioThreads: int(1, 0, INT32),
  /**
   * Largest message in bytes that new sockets send (more is `EINVAL`), and their default `maxMessageSize`
   * (`ZMQ_MAX_MSGSZ`). Default 2,147,483,647, which changes neither.
   */
  maxMessageSize: int(INT32, 0, INT32),
  /** Most open sockets (`ZMQ_MAX_SOCKETS`). Default 1,023. */
  maxSockets: int(1_023, 1, INT32),
  /** Default of `ipv6` for new sockets (`ZMQ_IPV6`). Default false. */
  ipv6: flag(false),
  /** Priority of libzmq's I/O threads (`ZMQ_THREAD_PRIORITY`); write-only. -1: the system's. Engine `zmtp`: no effect. Default -1. */
  threadPriority: int(-1, -INT32, INT32),
  /** Scheduling policy of libzmq's I/O threads (`ZMQ_THREAD_SCHED_POLICY`); write-only. -1: the system's. Engine `zmtp`: no effect. Default -1. */
  threadSchedulingPolicy: int(-1, -INT32, INT32),
  /**
   * New sockets poll instead of sleeping while the next message is probably less than 1 ms away. This saves the
   * wake-up, half of a round trip or more, for up to 1 ms of CPU time per wait. The event loop sleeps while messages
   * are rare, on one core, on Windows, and for a second after other work needed its core. `NOT_SUPPORTED` on the
   * engine `libzmq`, no effect in a page. Default false.
   */
  lowLatency: flag(false),
} as const satisfies Record<string, OptionSpec>;

export type { OptionKind, OptionSpec } from "./option-spec.js";
export { READABLE, WRITABLE } from "./option-spec.js";

export type OptionName = keyof typeof OPTIONS;

type ValueOf<S> = S extends { readonly kind: "boolean" }
  ? boolean
  : S extends { readonly kind: "integer" }
    ? number
    : S extends { readonly kind: "string" }
      ? string | null
      : S extends { readonly kind: "choice"; readonly choices: readonly (infer C)[] }
        ? C
        : string | Uint8Array | null;

/** Keeps the docstrings of rows, which a spread loses in declarations. */
export type ValuesOf<R> = { -readonly [N in keyof R]: ValueOf<R[N]> };

export type OptionValues = ValuesOf<typeof OWN_OPTIONS> & ValuesOf<typeof SYSTEM_OPTIONS>;

type SocketsWith<N extends OptionName> = (typeof OPTIONS)[N] extends { readonly on?: readonly (infer S)[] }
  ? unknown extends S
    ? SocketTypeName
    : S
  : SocketTypeName;

type NamesFor<S extends SocketTypeName> = {
  [N in OptionName]: [S] extends [SocketsWith<N>] ? N : never;
}[OptionName];

/** Options that all these socket types have. */
export type OptionsFor<S extends SocketTypeName> = Partial<Pick<OptionValues, NamesFor<S>>>;

export function hasOption(type: SocketTypeName, name: string): name is OptionName {
  if (!Object.hasOwn(OPTIONS, name)) return false;
  const spec: OptionSpec = OPTIONS[name as OptionName];
  return spec.on === undefined || spec.on.includes(type);
}

const SECRETS: readonly OptionName[] = ["curveSecretKey", "plainPassword", "tlsKey", "tlsPassphrase"];

export function isSecret(option: string): boolean {
  return (SECRETS as readonly string[]).includes(option);
}

/** Includes other types' options: they also bound its peers. */
const DEFAULTS: OptionValues = Object.freeze(
  Object.fromEntries(Object.entries(OPTIONS).map(([name, spec]) => [name, spec.default])),
) as unknown as OptionValues;

/** Heartbeat intervals of silence until a peer is lost, by default. */
const SILENT_INTERVALS = 6;

/** Values by name; `undefined` counts as absent. */
export type GivenOptions = Readonly<Record<string, unknown>>;

/** The same object if it inherits the defaults. */
export function optionValues(given: GivenOptions): OptionValues {
  if (Object.getPrototypeOf(given) === DEFAULTS) return given as OptionValues;
  const options = Object.create(DEFAULTS) as OptionValues;
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (value !== undefined) setOption(options, name, value);
  }
  return options;
}

export function copyOptions(options: Readonly<OptionValues>): OptionValues {
  const copy = Object.create(DEFAULTS) as OptionValues;
  for (const name of Object.getOwnPropertyNames(options)) setOption(copy, name, options[name as OptionName]);
  return copy;
}

/** Secrets are not enumerable, and so not shown. */
export function setOption(options: OptionValues, name: string, value: unknown): void {
  // The inherited default is read-only.
  Object.defineProperty(options, name, {
    value,
    writable: true,
    enumerable: !isSecret(name),
    configurable: true,
  });
}

/** ms from a PING until a silent peer is lost; 0 for never. */
export function heartbeatTimeoutOf(options: {
  readonly heartbeatInterval: number;
  readonly heartbeatTimeout: number;
}): number {
  const { heartbeatInterval, heartbeatTimeout } = options;
  return heartbeatTimeout >= 0 ? heartbeatTimeout : Math.min(INT32, SILENT_INTERVALS * heartbeatInterval);
}
