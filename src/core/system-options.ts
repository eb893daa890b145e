/** Socket options that pages lack; part of option-table.ts. */
import { flag, INT32, int, type OptionSpec, READABLE, text, WRITABLE } from "./option-spec.js";

/** Bytes of PEM text; more than all authorities that systems trust. */
const MAX_PEM = 1_048_576;

export const SYSTEM_OPTIONS = {
  // Connections
  backlog: int(100, 0, INT32, { zmq: 19 }),
  interface: text({ zmtp: "ignored", zmq: 92 }),
  sendBufferSize: int(-1, -1, INT32, { unit: "bytes", on: WRITABLE, zmtp: "ignored", zmq: 11 }),
  receiveBufferSize: int(-1, -1, INT32, { unit: "bytes", on: READABLE, zmtp: "ignored", zmq: 12 }),
  tcpKeepalive: int(-1, -1, 1, { zmq: 34 }),
  tcpKeepaliveCount: int(-1, -1, INT32, { zmtp: "ignored", zmq: 35 }),
  tcpKeepaliveIdle: int(-1, -1, INT32, { unit: "s", zmq: 36 }),
  tcpKeepaliveInterval: int(-1, -1, INT32, { unit: "s", zmtp: "ignored", zmq: 37 }),
  tcpAcceptFilter: text({ zmtp: "refused", zmq: 38 }),
  tcpMaxRetransmitTimeout: int(0, 0, INT32, { unit: "ms", zmtp: "ignored", zmq: 80 }),
  typeOfService: int(0, 0, 255, { zmtp: "ignored", zmq: 57 }),
  socksProxy: text({ zmtp: "refused", zmq: 68 }),
  wsOrigins: text({ only: "zmtp" }),
  loopbackFastPath: flag(false, { zmq: 94 }),

  // Security
  tlsCert: text({ max: MAX_PEM, only: "zmtp", live: true }),
  tlsKey: text({ max: MAX_PEM, only: "zmtp", live: true }),
  tlsPassphrase: text({ only: "zmtp", live: true }),
  tlsCa: text({ max: MAX_PEM, only: "zmtp", live: true }),
  tlsServerName: text({ max: 255, only: "zmtp", live: true }),
  tlsCheckName: flag(true, { only: "zmtp", live: true }),
  tlsMinVersion: {
    kind: "choice",
    default: "TLSv1.2",
    choices: ["TLSv1.2", "TLSv1.3"],
    only: "zmtp",
    live: true,
  },
  gssapiServer: flag(false, { zmtp: "refused", zmq: 62 }),
  gssapiPrincipal: text({ zmtp: "refused", zmq: 63 }),
  gssapiServicePrincipal: text({ zmtp: "refused", zmq: 64 }),
  gssapiPlainText: flag(false, { zmtp: "refused", zmq: 65 }),
  gssapiPrincipalNameType: {
    kind: "choice",
    default: "hostBased",
    choices: ["hostBased", "userName", "krb5Principal"],
    zmq: 90,
  },
  gssapiServicePrincipalNameType: {
    kind: "choice",
    default: "hostBased",
    choices: ["hostBased", "userName", "krb5Principal"],
    zmq: 91,
  },

  // Multicast and virtual machines: engines that have the transport
  rate: int(100, 1, INT32, { unit: "kbit/s", zmq: 8 }),
  recoveryInterval: int(10_000, 0, INT32, { unit: "ms", zmq: 9 }),
  multicastHops: int(1, 1, 255, { unit: "hops", on: WRITABLE, zmq: 25 }),
  multicastLoop: flag(true, { on: WRITABLE, only: "zmtp" }),
  multicastMaxTransportDataUnit: int(1_500, 1, INT32, { unit: "bytes", zmq: 84 }),
  vmciBufferSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes", zmq: 85 }),
  vmciBufferMinSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes", zmq: 86 }),
  vmciBufferMaxSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes", zmq: 87 }),
  vmciConnectTimeout: int(-1, -1, INT32, { unit: "ms", zmq: 88 }),
} as const satisfies Record<string, OptionSpec>;

export function whyNoOption(_name: string): string | undefined {
  return undefined;
}
