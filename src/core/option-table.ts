/**
 * The table of all socket options, from which `resolveOptions`, accessors and docs/limits.md derive. Names
 * and meanings follow the package `zeromq`; `zeromqDefault` marks a different default (docs/engines.md).
 */
import { bytes, flag, INT32, int, key, type OptionSpec, READABLE, text, WRITABLE } from "./option-spec.js";
import type { SocketTypeName } from "./socket-type.js";
import { SYSTEM_OPTIONS } from "./system-options.js";

const ROUTED = ["Request", "Reply", "Router", "Dealer"] as const;
const CONFLATING = ["Pull", "Push", "Subscriber", "Publisher", "Dealer", "Scatter", "Gather"] as const;

export const OPTIONS = {
  // Queues and waits
  sendHighWaterMark: int(1_000, 0, INT32, { unit: "messages", on: WRITABLE, live: true, zmq: 23 }),
  receiveHighWaterMark: int(1_000, 0, INT32, { unit: "messages", on: READABLE, live: true, zmq: 24 }),
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
  sendTimeout: int(-1, -1, INT32, { unit: "ms", on: WRITABLE, live: true, zmq: 28 }),
  receiveTimeout: int(-1, -1, INT32, { unit: "ms", on: READABLE, live: true, zmq: 27 }),
  maxPendingSends: int(10_000, 1, INT32, { unit: "calls", on: WRITABLE, local: true }),
  maxPendingSendBytes: int(268_435_456, 1, Number.MAX_SAFE_INTEGER, {
    unit: "bytes",
    on: WRITABLE,
    local: true,
  }),
  maxPendingReceives: int(10_000, 1, INT32, { unit: "calls", on: READABLE, local: true }),
  /** A bound on what one peer can make the process hold. */
  maxMessageSize: int(67_108_864, -1, Number.MAX_SAFE_INTEGER, { unit: "bytes", zeromqDefault: -1, zmq: 22 }),
  linger: int(-1, -1, INT32, { unit: "ms", live: true, zmq: 17 }),
  immediate: flag(false, { zmq: 39 }),
  conflate: flag(false, { on: CONFLATING, zmq: 54 }),

  // Connections
  maxConnections: int(65_536, 1, INT32, { unit: "connections", only: "zmtp", live: true }),
  maxPendingHandshakes: int(4_096, 1, INT32, { unit: "connections", only: "zmtp", live: true }),
  connectTimeout: int(0, 0, INT32, { unit: "ms", zmq: 79 }),
  handshakeInterval: int(30_000, 0, INT32, { unit: "ms", zmq: 66 }),
  /** A dead host is noticed in at most seven intervals. */
  heartbeatInterval: int(5_000, 0, INT32, { unit: "ms", zeromqDefault: 0, zmq: 75 }),
  /** -1 is six intervals here and one there: a peer that is busy for seconds is not lost. */
  heartbeatTimeout: int(-1, -1, INT32, { unit: "ms", zeromqDefault: -1, zmq: 77 }),
  heartbeatTimeToLive: int(0, 0, 65_500, { unit: "ms", zmq: 76 }),
  reconnectInterval: int(100, -1, INT32, { unit: "ms", zmq: 18 }),
  reconnectMaxInterval: int(0, 0, INT32, { unit: "ms", zmq: 21 }),
  ipv6: flag(false, { zmq: 42 }),
  affinity: int(0, 0, 2 ** 64, { zmq: 4 }),

  // Routing
  routingId: bytes({ on: ROUTED, zmq: 5 }),
  mandatory: flag(false, { on: ["Router"], live: true, zmq: 33 }),
  handover: flag(false, { on: ["Router"], live: true, zmq: 56 }),
  probeRouter: flag(false, { on: ["Router", "Dealer", "Request"], live: true, zmq: 51 }),
  correlate: flag(false, { on: ["Request"], live: true, zmq: 52 }),
  relaxed: flag(false, { on: ["Request"], live: true, zmq: 53 }),
  notify: flag(true, { on: ["Stream"], zmq: 73 }),

  // Publish-subscribe
  noDrop: flag(false, { on: ["Publisher", "XPublisher", "Radio"], live: true, zmq: 69 }),
  manual: flag(false, { on: ["XPublisher"], live: true, zmq: 71 }),
  welcomeMessage: bytes({ on: ["XPublisher"], max: 65_535, live: true, zmq: 72 }),
  verbosity: {
    kind: "choice",
    default: null,
    choices: [null, "allSubs", "allSubsUnsubs"],
    on: ["XPublisher"],
    live: true,
  },
  invertMatching: flag(false, { on: ["Publisher", "Subscriber", "XPublisher"], zmq: 74 }),

  // Security
  plainServer: flag(false, { zmq: 44 }),
  plainUsername: text({ max: 255, zmq: 45 }),
  plainPassword: text({ max: 255, zmq: 46 }),
  curveServer: flag(false, { zmq: 47 }),
  curvePublicKey: key({ live: true, zmq: 48 }),
  curveSecretKey: key({ live: true, zmq: 49 }),
  curveServerKey: key({ zmq: 50 }),
  zapDomain: text({ max: 255, zmq: 55 }),
  zapEnforceDomain: flag(false, { zmq: 93 }),

  ...SYSTEM_OPTIONS,
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

export type OptionValues = { [N in OptionName]: ValueOf<(typeof OPTIONS)[N]> };

export function hasOption(type: SocketTypeName, name: string): name is OptionName {
  if (!Object.hasOwn(OPTIONS, name)) return false;
  const spec: OptionSpec = OPTIONS[name as OptionName];
  return spec.on === undefined || spec.on.includes(type);
}

const SECRETS: readonly OptionName[] = ["curveSecretKey", "plainPassword", "tlsKey", "tlsPassphrase"];

export function isSecret(option: string): boolean {
  return (SECRETS as readonly string[]).includes(option);
}
