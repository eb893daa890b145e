/** Options that this engine lacks, and those that come too late for the connections there are. */
import { NotSupportedError } from "../../core/errors.js";
import type { OptionName, OptionValues } from "../../core/option-table.js";
import { MARKS } from "./options.js";

/** Options this engine cannot have, with the only value of each that it takes. */
const UNSUPPORTED: Readonly<Partial<OptionValues>> = {
  interface: null,
  sendBufferSize: -1,
  receiveBufferSize: -1,
  tcpKeepaliveCount: -1,
  tcpKeepaliveInterval: -1,
  tcpAcceptFilter: null,
  tcpMaxRetransmitTimeout: 0,
  typeOfService: 0,
  socksProxy: null,
  gssapiServer: false,
  gssapiPrincipal: null,
  gssapiServicePrincipal: null,
  gssapiPlainText: false,
};

/** Their names, for the capability table. */
export const UNSUPPORTED_OPTIONS: readonly string[] = Object.keys(UNSUPPORTED);

/** @throws NotSupportedError `NOT_SUPPORTED` */
export function assertSupported(name: string, value: unknown): void {
  if (!Object.hasOwn(UNSUPPORTED, name)) return;
  if (value === undefined || value === null || value === UNSUPPORTED[name as OptionName]) return;
  throw new NotSupportedError(
    `The zmtp engine cannot set the option ${name}: Node.js has no call for it; the libzmq engine can`,
  );
}

/** The same of all options that a new socket was given: the others have their defaults, which this engine takes. @throws NotSupportedError `NOT_SUPPORTED` */
export function assertAllSupported(options: Readonly<OptionValues>): void {
  for (const name of Object.getOwnPropertyNames(options)) assertSupported(name, options[name as OptionName]);
}

/** Options that take effect on connections that stand, too; the others wait for the next connection. */
const IMMEDIATE: ReadonlySet<string> = new Set<OptionName>([
  "linger",
  "sendTimeout",
  "receiveTimeout",
  ...MARKS,
  "maxReceiveQueueBytes",
  "maxConnections",
  "maxPendingHandshakes",
  "mandatory",
  "handover",
  "probeRouter",
  "correlate",
  "relaxed",
  "noDrop",
  "manual",
  // Of the next handshake: a server that is bound takes new keys and certificates without another bind.
  "tlsCert",
  "tlsKey",
  "tlsPassphrase",
  "tlsCertificates",
  "tlsCa",
  "tlsServerName",
  "tlsCheckName",
  "tlsAlpn",
  "tlsMinVersion",
  "curvePublicKey",
  "curveSecretKey",
  "verbosity",
  "welcomeMessage",
]);

/**
 * Warns of an option that comes too late for the connections there are, and of a number that is not exact. The texts are
 * those of the package `zeromq`, for programs that look for them.
 *
 * @param attached whether the socket is bound or connected, or about to be
 */
export function warnOfOption(name: string, value: unknown, attached: boolean): void {
  if (typeof value === "number" && value > Number.MAX_SAFE_INTEGER)
    process.emitWarning(
      "Value is larger than Number.MAX_SAFE_INTEGER and may have been rounded inaccurately.",
    );
  if (attached && !IMMEDIATE.has(name))
    process.emitWarning("Socket option will not take effect until next connect/bind.");
}
