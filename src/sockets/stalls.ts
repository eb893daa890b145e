/**
 * Warns of messages that wait because their peer cannot be reached, where the program listens to none of the events that say so.
 *
 *   first failure --> further failures --> one after REPORT_AFTER, and messages wait --> a process warning, once
 *                          ^                                                                  |
 *                          +------------------- a handshake succeeds: forgotten <-------------+
 *
 * An endpoint and a cause are reported once in a process, since patterns open a socket for each attempt.
 */
import { HandshakeError, ProtocolError, type ShoalError } from "../core/errors.js";

/** ms for which messages wait for an endpoint that fails before that is reported. */
export const REPORT_AFTER = 1_000;
/** Endpoints and causes that are remembered as reported. */
const MAX_REPORTED = 256;

const REMEDIES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Check that a peer is bound there.",
  ENOENT: "Check that a peer is bound there.",
  ENOTFOUND: "Check the host's name.",
  EAI_AGAIN: "Check the host's name, and the name server.",
  ERR_AUTHENTICATION: "Check the keys or the password at both ends.",
};

/** What has been reported, and its cause; the oldest first. */
const reported = new Map<string, string>();

/** Emits a process warning, once for what waits and its cause. @param what that waits: an endpoint, or a service of one */
export function warnOnce(what: string, cause: string, text: string, code: string, detail?: string): void {
  if (reported.get(what) === cause) return;
  reported.delete(what);
  for (const oldest of reported.keys()) {
    if (reported.size < MAX_REPORTED) break;
    reported.delete(oldest);
  }
  reported.set(what, cause);
  process.emitWarning(text, { type: "ShoalWarning", code, detail });
}

/** Whether an attempt failed for what waiting does not change: the peer refuses, or the host's name is wrong. */
export function isLasting(error: ShoalError): boolean {
  return error instanceof HandshakeError || error instanceof ProtocolError || codeOf(error) === "ENOTFOUND";
}

/** The system's code, some of which are not codes of shoal's. */
function codeOf({ code, cause }: ShoalError): string {
  const given = (cause as { readonly code?: unknown } | null | undefined)?.code;
  return typeof given === "string" ? given : code;
}

/** An endpoint has been reached: its next failure is a new one. */
export function forgetStall(endpoint: string): void {
  reported.delete(endpoint);
}

/**
 * Emits the process warning `SHOAL_UNREACHABLE`, once for an endpoint and a cause.
 *
 * @param what the socket's type, and what it waits for
 * @param error of the last attempt; `undefined`: none has failed yet
 */
export function warnOfStall(what: string, endpoint: string, error: ShoalError | undefined): void {
  const code = error === undefined ? "none" : codeOf(error);
  const text = `${what} at ${endpoint}: ${error?.message ?? "no peer is connected"}. ${remedyOf(error, code)}`;
  warnOnce(endpoint, code, text, "SHOAL_UNREACHABLE", DETAIL);
}

const DETAIL =
  'A listener of the socket\'s event "connect:retry" or "handshake:error:…" replaces this warning.';

function remedyOf(error: ShoalError | undefined, code: string): string {
  if (error === undefined) return "Check that the peer runs, and its address.";
  const known = REMEDIES[code];
  if (known !== undefined) return known;
  return error instanceof HandshakeError || error instanceof ProtocolError
    ? "Check the socket types and the security of both ends."
    : "Check the address, and the network between.";
}
