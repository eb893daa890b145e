/** Options that this engine lacks, and those that come too late for the connections there are. */
import { NotSupportedError } from "../../core/errors.js";
import type { OptionName, OptionValues } from "../../core/option-table.js";
import { MARKS } from "./options.js";

/** Options this engine cannot have, with the only value of each that it takes: they decide who connects, and through what. */
const UNSUPPORTED: Readonly<Partial<OptionValues>> = {
  tcpAcceptFilter: null,
  socksProxy: null,
  gssapiServer: false,
  gssapiPrincipal: null,
  gssapiServicePrincipal: null,
  gssapiPlainText: false,
};

/** Options that tune the system's sockets, which Node.js has no call for: taken, kept, and without effect. */
const WITHOUT_EFFECT: Readonly<Partial<OptionValues>> = {
  interface: null,
  sendBufferSize: -1,
  receiveBufferSize: -1,
  tcpKeepaliveCount: -1,
  tcpKeepaliveInterval: -1,
  tcpMaxRetransmitTimeout: 0,
  typeOfService: 0,
};

/** Options without effect that the process was warned of. */
const warned = new Set<string>();

/** Their names, for `EngineCapabilities`. */
export const UNSUPPORTED_OPTIONS: readonly string[] = Object.keys(UNSUPPORTED);

/** Warns of an option without effect, once a process. @throws NotSupportedError `NOT_SUPPORTED` */
export function assertSupported(name: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (Object.hasOwn(UNSUPPORTED, name) && value !== UNSUPPORTED[name as OptionName])
    throw new NotSupportedError(
      `The zmtp engine cannot set the option ${name}: Node.js has no call for it; the libzmq engine can`,
    );
  if (!Object.hasOwn(WITHOUT_EFFECT, name) || value === WITHOUT_EFFECT[name as OptionName]) return;
  if (warned.has(name)) return;
  warned.add(name);
  process.emitWarning(`The option ${name} has no effect: Node.js has no call for it; the libzmq engine has`, {
    type: "ShoalWarning",
    code: "SHOAL_NO_EFFECT",
  });
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
