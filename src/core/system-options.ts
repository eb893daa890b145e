/**
 * Options of what only programs outside of pages have: sockets of TCP, certificates, multicast, virtual machines. A part of
 * option-table.ts.
 */
import { flag, INT32, int, type OptionSpec, READABLE, text, WRITABLE } from "./option-spec.js";

/** Bytes of keys, certificates and authorities in PEM: more than all of those that systems trust. */
const MAX_PEM = 1_048_576;

export const SYSTEM_OPTIONS = {
  // Connections
  backlog: int(100, 0, INT32),
  interface: text({ zmtp: "ignored" }),
  sendBufferSize: int(-1, -1, INT32, { unit: "bytes", on: WRITABLE, zmtp: "ignored" }),
  receiveBufferSize: int(-1, -1, INT32, { unit: "bytes", on: READABLE, zmtp: "ignored" }),
  tcpKeepalive: int(-1, -1, 1),
  tcpKeepaliveCount: int(-1, -1, INT32, { zmtp: "ignored" }),
  tcpKeepaliveIdle: int(-1, -1, INT32, { unit: "s" }),
  tcpKeepaliveInterval: int(-1, -1, INT32, { unit: "s", zmtp: "ignored" }),
  tcpAcceptFilter: text({ zmtp: "refused" }),
  tcpMaxRetransmitTimeout: int(0, 0, INT32, { unit: "ms", zmtp: "ignored" }),
  typeOfService: int(0, 0, 255, { zmtp: "ignored" }),
  socksProxy: text({ zmtp: "refused" }),
  wsOrigins: text({ only: "zmtp" }),
  loopbackFastPath: flag(false),

  // Security
  tlsCert: text({ max: MAX_PEM, only: "zmtp", live: true }),
  tlsKey: text({ max: MAX_PEM, only: "zmtp", live: true }),
  tlsPassphrase: text({ only: "zmtp", live: true }),
  tlsCertificates: { kind: "certificates", default: null, only: "zmtp", live: true },
  tlsCa: text({ max: MAX_PEM, only: "zmtp", live: true }),
  tlsServerName: text({ max: 255, only: "zmtp", live: true }),
  tlsCheckName: flag(true, { only: "zmtp", live: true }),
  tlsAlpn: text({ max: 255, only: "zmtp", live: true }),
  tlsMinVersion: {
    kind: "choice",
    default: "TLSv1.2",
    choices: ["TLSv1.2", "TLSv1.3"],
    only: "zmtp",
    live: true,
  },
  gssapiServer: flag(false, { zmtp: "refused" }),
  gssapiPrincipal: text({ zmtp: "refused" }),
  gssapiServicePrincipal: text({ zmtp: "refused" }),
  gssapiPlainText: flag(false, { zmtp: "refused" }),
  gssapiPrincipalNameType: {
    kind: "choice",
    default: "hostBased",
    choices: ["hostBased", "userName", "krb5Principal"],
  },
  gssapiServicePrincipalNameType: {
    kind: "choice",
    default: "hostBased",
    choices: ["hostBased", "userName", "krb5Principal"],
  },

  // Multicast and virtual machines: engines that have the transport
  rate: int(100, 1, INT32, { unit: "kbit/s" }),
  recoveryInterval: int(10_000, 0, INT32, { unit: "ms" }),
  multicastHops: int(1, 1, 255, { unit: "hops", on: WRITABLE }),
  multicastLoop: flag(true, { on: WRITABLE, only: "zmtp" }),
  multicastMaxTransportDataUnit: int(1_500, 1, INT32, { unit: "bytes" }),
  vmciBufferSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes" }),
  vmciBufferMinSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes" }),
  vmciBufferMaxSize: int(0, 0, Number.MAX_SAFE_INTEGER, { unit: "bytes" }),
  vmciConnectTimeout: int(-1, -1, INT32, { unit: "ms" }),
} as const satisfies Record<string, OptionSpec>;

/** Why there is no such option here, where another platform has it. */
export function whyNoOption(_name: string): string | undefined {
  return undefined;
}
