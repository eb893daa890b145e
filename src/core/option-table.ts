/**
 * Every socket option: its type, range, unit, default and the sockets that have
 * it. `resolveOptions` validates from this table, the property accessors on the
 * socket classes and the table in docs/limits.md are made from it. The
 * values of one socket are in option-values.ts.
 * Names and meanings are those of the package `zeromq`; where a default differs,
 * `zeromqDefault` says what it is there, and the comment says why (docs/engines.md).
 */
import { bytes, flag, INT32, int, key, type OptionSpec, READABLE, text, WRITABLE } from "./option-spec.js";
import type { SocketTypeName } from "./socket-type.js";
import { SYSTEM_OPTIONS } from "./system-options.js";
import type { TlsCertificates } from "./tls-certificates.js";

const ROUTED = ["Request", "Reply", "Router", "Dealer"] as const;
const CONFLATING = ["Pull", "Push", "Subscriber", "Publisher", "Dealer", "Scatter", "Gather"] as const;

/** All options by name. */
export const OPTIONS = {
  // Queues and waits
  sendHighWaterMark: int(1_000, 0, INT32, { unit: "messages", on: WRITABLE, live: true }),
  receiveHighWaterMark: int(1_000, 0, INT32, { unit: "messages", on: READABLE, live: true }),
  sendHighWaterMarkBytes: int(67_108_864, 0, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: WRITABLE,
    only: "zmtp",
    live: true,
  }),
  receiveHighWaterMarkBytes: int(67_108_864, 0, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: READABLE,
    only: "zmtp",
    live: true,
  }),
  maxReceiveQueueBytes: int(268_435_456, 0, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: READABLE,
    only: "zmtp",
    live: true,
  }),
  sendTimeout: int(-1, -1, INT32, { unit: "ms", on: WRITABLE, live: true }),
  receiveTimeout: int(-1, -1, INT32, { unit: "ms", on: READABLE, live: true }),
  maxPendingSends: int(10_000, 1, INT32, { unit: "calls", on: WRITABLE, local: true }),
  maxPendingSendBytes: int(268_435_456, 1, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: WRITABLE,
    local: true,
  }),
  maxPendingReceives: int(10_000, 1, INT32, { unit: "calls", on: READABLE, local: true }),
  /** A bound on what one peer can make the process hold. */
  maxMessageSize: int(67_108_864, -1, Number.MAX_SAFE_INTEGER, { unit: "bytes", zeromqDefault: -1 }),
  linger: int(-1, -1, INT32, { unit: "ms", live: true }),
  immediate: flag(false),
  conflate: flag(false, { on: CONFLATING }),

  // Connections
  maxConnections: int(65_536, 1, INT32, { unit: "connections", only: "zmtp", live: true }),
  maxPendingHandshakes: int(4_096, 1, INT32, { unit: "connections", only: "zmtp", live: true }),
  connectTimeout: int(0, 0, INT32, { unit: "ms" }),
  handshakeInterval: int(30_000, 0, INT32, { unit: "ms" }),
  /** A dead host is noticed in at most seven intervals. */
  heartbeatInterval: int(5_000, 0, INT32, { unit: "ms", zeromqDefault: 0 }),
  heartbeatWhenIdle: flag(true, { only: "zmtp" }),
  /** -1 is six intervals here and one there: a peer that is busy for seconds is not lost. */
  heartbeatTimeout: int(-1, -1, INT32, { unit: "ms", zeromqDefault: -1 }),
  heartbeatTimeToLive: int(0, 0, 65_500, { unit: "ms" }),
  reconnectInterval: int(100, -1, INT32, { unit: "ms" }),
  reconnectMaxInterval: int(0, 0, INT32, { unit: "ms" }),
  ipv6: flag(false),
  affinity: int(0, 0, 2 ** 64),

  // Routing
  routingId: bytes({ on: ROUTED }),
  mandatory: flag(false, { on: ["Router"], live: true }),
  handover: flag(false, { on: ["Router"], live: true }),
  probeRouter: flag(false, { on: ["Router", "Dealer", "Request"], live: true }),
  correlate: flag(false, { on: ["Request"], live: true }),
  relaxed: flag(false, { on: ["Request"], live: true }),
  notify: flag(true, { on: ["Stream"] }),

  // Publish-subscribe
  noDrop: flag(false, { on: ["Publisher", "XPublisher", "Radio"], live: true }),
  manual: flag(false, { on: ["XPublisher"], live: true }),
  welcomeMessage: bytes({ on: ["XPublisher"], max: 65_535, live: true }),
  verbosity: {
    kind: "choice",
    default: null,
    choices: [null, "allSubs", "allSubsUnsubs"],
    on: ["XPublisher"],
    live: true,
  },
  invertMatching: flag(false, { on: ["Publisher", "Subscriber", "XPublisher"] }),

  // Security
  plainServer: flag(false),
  plainUsername: text({ max: 255 }),
  plainPassword: text({ max: 255 }),
  curveServer: flag(false),
  curvePublicKey: key({ live: true }),
  curveSecretKey: key({ live: true }),
  curveServerKey: key(),
  zapDomain: text({ max: 255 }),
  zapEnforceDomain: flag(false),

  ...SYSTEM_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

export type { OptionKind, OptionSpec } from "./option-spec.js";
export { READABLE, WRITABLE } from "./option-spec.js";

/** The name of a socket option. */
export type OptionName = keyof typeof OPTIONS;

type ValueOf<S> = S extends { readonly kind: "boolean" }
  ? boolean
  : S extends { readonly kind: "integer" }
    ? number
    : S extends { readonly kind: "string" }
      ? string | null
      : S extends { readonly kind: "choice"; readonly choices: readonly (infer C)[] }
        ? C
        : S extends { readonly kind: "certificates" }
          ? TlsCertificates | null
          : string | Uint8Array | null;

/** The values of all options, by name, as the table has their types. */
export type OptionValues = { [N in OptionName]: ValueOf<(typeof OPTIONS)[N]> };

/** Whether sockets of a type have the option. */
export function hasOption(type: SocketTypeName, name: string): name is OptionName {
  if (!Object.hasOwn(OPTIONS, name)) return false;
  const spec: OptionSpec = OPTIONS[name as OptionName];
  return spec.on === undefined || spec.on.includes(type);
}

/** Options whose values nobody may read in a log: those of keys and passwords. */
const SECRETS: readonly OptionName[] = [
  "curveSecretKey",
  "plainPassword",
  "tlsKey",
  "tlsPassphrase",
  "tlsCertificates",
];

/** Whether an option's value is a secret. */
export function isSecret(option: string): boolean {
  return (SECRETS as readonly string[]).includes(option);
}
