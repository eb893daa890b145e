/**
 * Warns of messages that wait for an unreachable peer, unless the program listens to a reporting event.
 *
 *   first failure --> further failures --> one after REPORT_AFTER, and messages wait --> a process warning, once
 *                          ^                                                                  |
 *                          +------------------- a handshake succeeds: forgotten <-------------+
 *
 * Each pair of endpoint and cause is reported once per process, since patterns open a socket per attempt.
 */
import { HandshakeError, ProtocolError, type ShoalError } from "../core/errors.js";

/** ms of failures before a warning. */
export const REPORT_AFTER = 1_000;
const MAX_REPORTED = 256;

const REMEDIES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Check that a peer is bound there.",
  ENOENT: "Check that a peer is bound there.",
  ENOTFOUND: "Check the host's name.",
  EAI_AGAIN: "Check the host's name, and the name server.",
  ERR_AUTHENTICATION: "Check the keys or the password at both ends.",
};

/** Endpoint -> cause, oldest first. */
const reported = new Map<string, string>();

/** Whether waiting cannot help. */
export function isLasting(error: ShoalError): boolean {
  return error instanceof HandshakeError || error instanceof ProtocolError || codeOf(error) === "ENOTFOUND";
}

function codeOf({ code, cause }: ShoalError): string {
  const given = (cause as { readonly code?: unknown } | null | undefined)?.code;
  return typeof given === "string" ? given : code;
}

/** Forgets a reached endpoint, so that its next failure is reported. */
export function forgetStall(endpoint: string): void {
  reported.delete(endpoint);
}

/**
 * Emits the process warning `SHOAL_UNREACHABLE`, once per endpoint and cause.
 * @param error of the last attempt, if one has failed
 */
export function warnOfStall(what: string, endpoint: string, error: ShoalError | undefined): void {
  const code = error === undefined ? "none" : codeOf(error);
  if (reported.get(endpoint) === code) return;
  reported.delete(endpoint);
  for (const oldest of reported.keys()) {
    if (reported.size < MAX_REPORTED) break;
    reported.delete(oldest);
  }
  reported.set(endpoint, code);
  const text = `${what} at ${endpoint}: ${error?.message ?? "no peer is connected"}. ${remedyOf(error, code)}`;
  process.emitWarning(text, { type: "ShoalWarning", code: "SHOAL_UNREACHABLE", detail: DETAIL });
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
