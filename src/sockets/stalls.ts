/**
 * Explains why an endpoint cannot be reached, and warns of calls that wait for one, unless the program listens to a
 * reporting event.
 *
 *   first failure, or a dial --> REPORT_AFTER without a handshake, and a call or messages wait --> a process warning, once
 *                          ^                                                                  |
 *                          +------------------- a handshake succeeds: forgotten <-------------+
 *
 * Each pair of endpoint and cause is reported once per process, since patterns open a socket per attempt.
 */
import { HandshakeError, ProtocolError, type ShoalError } from "../core/errors.js";

/** ms of failures before a warning. */
export const REPORT_AFTER = 1_000;
/** The same where a program only waits to receive: its sender may start later. */
export const REPORT_RECEIVERS_AFTER = 10_000;
const MAX_REPORTED = 256;

const BIND = "Check that a peer is bound there";
const NETWORK = "Check the address, and the network between";
const BOTH_ENDS = "Check the socket types and the security of both ends";

/** By code: the cause (absent: the error's text) and what to do. */
const KNOWN: Readonly<Record<string, readonly [cause: string | undefined, remedy: string]>> = {
  ECONNREFUSED: ["connection refused", BIND],
  ENOENT: ["no such path", BIND],
  EACCES: ["permission denied", "Check the permissions of the path"],
  EHOSTUNREACH: ["no route to the host", NETWORK],
  ENETUNREACH: ["no route to the network", NETWORK],
  ETIMEDOUT: ["no answer", NETWORK],
  ENOTFOUND: ["name not found", "Check the host's name"],
  EAI_AGAIN: ["the name server does not answer", "Check the host's name, and the name server"],
  ERR_AUTHENTICATION: [undefined, "Check the keys or the password at both ends"],
};

/** Endpoint -> cause, oldest first. */
const reported = new Map<string, string>();

/** Whether waiting cannot help. */
export function isLasting(error: ShoalError | undefined): boolean {
  return error !== undefined && (isRefusal(error) || codeOf(error) === "ENOTFOUND");
}

function isRefusal(error: unknown): boolean {
  return error instanceof HandshakeError || error instanceof ProtocolError;
}

function codeOf({ code, cause }: ShoalError): string {
  const given = (cause as { readonly code?: unknown } | null | undefined)?.code;
  return typeof given === "string" ? given : code;
}

/** Why an endpoint was not reached, in words, without the endpoint: `name not found`. */
export function causeOf(error: ShoalError): string {
  const text = error.message.replace(/^(?:Cannot connect to|Handshake at) \S+?(?: failed)?: /, "");
  // An abbreviation, such as CURVE, keeps its capitals.
  return KNOWN[codeOf(error)]?.[0] ?? text.replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase());
}

/** What to do about an endpoint that is not reached, without a full stop. */
export function remedyOf(error: ShoalError): string {
  return KNOWN[codeOf(error)]?.[1] ?? (isRefusal(error) ? BOTH_ENDS : NETWORK);
}

/** Forgets a reached endpoint, so that its next failure is reported. */
export function forgetStall(endpoint: string): void {
  reported.delete(endpoint);
}

/**
 * Emits the process warning `SHOAL_UNREACHABLE`, once per endpoint and cause.
 * @param what waits: `Push: 1 message queued for`
 * @param error of the last attempt, if one has failed
 * @param more what else to do
 */
export function warnOfStall(what: string, endpoint: string, error: ShoalError | undefined, more = ""): void {
  warn(what, endpoint, error, { more, detail: DETAIL });
}

function warn(
  what: string,
  endpoint: string,
  error: ShoalError | undefined,
  { more = "", detail }: { readonly more?: string; readonly detail?: string },
): void {
  const code = error === undefined ? "none" : codeOf(error);
  if (reported.get(endpoint) === code) return;
  reported.delete(endpoint);
  for (const oldest of reported.keys()) {
    if (reported.size < MAX_REPORTED) break;
    reported.delete(oldest);
  }
  reported.set(endpoint, code);
  const cause = error === undefined ? "no answer" : causeOf(error);
  const remedy = error === undefined ? "Check that the peer runs, and its address" : remedyOf(error);
  const text = `${what} ${endpoint} (${cause}). ${remedy}${more}.`;
  process.emitWarning(text, { type: "ShoalWarning", code: "SHOAL_UNREACHABLE", detail });
}

/** Warns of the servers of a driver whose sockets last for one attempt, once none was reached for `REPORT_AFTER`. */
export class UnreachedServers {
  readonly #what: string;
  #since: number | undefined = undefined;
  /** Endpoint of an attempt without an outcome. */
  #attempt: string | undefined = undefined;
  /** Of the last attempt; `undefined` once connected. */
  error: ShoalError | undefined = undefined;

  /** @param what waits: `CloneClient waits for` */
  constructor(what: string) {
    this.#what = what;
  }

  /** The attempt before may have had no answer. @param isHeard whether a listener tells the program as much */
  began(endpoint: string, isHeard = false): void {
    if (this.#attempt !== undefined) this.failed(this.#attempt, undefined, isHeard);
    this.#attempt = endpoint;
  }

  failed(endpoint: string, error: ShoalError | undefined, isHeard = false): void {
    const now = performance.now();
    this.#since ??= now;
    this.#attempt = undefined;
    this.error = error;
    if (!isHeard && now - this.#since >= REPORT_AFTER) warn(this.#what, endpoint, error, {});
  }

  connected(endpoint: string): void {
    this.#since = undefined;
    this.#attempt = undefined;
    this.error = undefined;
    forgetStall(endpoint);
  }
}

const DETAIL =
  'A socket whose event "connect:retry" or "handshake:error:…" has a listener gives no such warning.';
