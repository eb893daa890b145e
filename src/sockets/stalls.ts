/**
 * Explains why an endpoint cannot be reached, and warns of calls that wait for one, unless the program listens to a
 * reporting event.
 *
 *   first failure, or a dial --> STALLED_AFTER without a handshake, and a call or messages wait --> a process warning, once
 *                          ^                                                                  |
 *                          +------------------- a handshake succeeds: forgotten <-------------+
 *
 * The record is the process's, since patterns open a socket per attempt.
 */
import { HandshakeError, ProtocolError, type ShoalError } from "../core/errors.js";

/** ms without a connection before a warning: a peer may start later. */
export const STALLED_AFTER = 3_000;
/** ms between two looks at dials without an answer. */
export const LOOK_EVERY = 1_000;
/** ms without attempts, as of a program that opens a socket now and then. */
const FORGOTTEN_AFTER = 60_000;
const MAX_UNREACHED = 1_024;

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

interface Unreached {
  /** Time of the first attempt, in ms. */
  since: number;
  /** Time of the last one that began or failed. */
  last: number;
  /** The last attempt has not failed. */
  isSilent: boolean;
  /** Of the last failed attempt of any socket. */
  error: ShoalError | undefined;
  /** Codes of the causes. */
  readonly reported: Set<string>;
}

/** By endpoint, that of the oldest attempt first. */
const unreached = new Map<string, Unreached>();

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
  const isRefusal = error instanceof HandshakeError || error instanceof ProtocolError;
  return KNOWN[codeOf(error)]?.[1] ?? (isRefusal ? BOTH_ENDS : NETWORK);
}

/** Without room the entry is not kept: if those that are still dialled made room, none would ever be 3 s old. */
function entryOf(endpoint: string): Unreached {
  const now = performance.now();
  const entry = unreached.get(endpoint) ?? {
    since: now,
    last: now,
    isSilent: false,
    error: undefined,
    reported: new Set(),
  };
  unreached.delete(endpoint);
  const [oldest] = unreached;
  if (oldest !== undefined && unreached.size >= MAX_UNREACHED && now - oldest[1].last > FORGOTTEN_AFTER)
    unreached.delete(oldest[0]);
  if (unreached.size < MAX_UNREACHED) unreached.set(endpoint, entry);
  return entry;
}

/**
 * Notes an attempt that began or failed.
 *
 * @param isFirst of this socket: without attempts of others shortly before, the endpoint may have been reachable since
 * @returns whether the endpoint has not been reached for `STALLED_AFTER`; a beginning tells so only after silence, since
 *   one that follows a failure may succeed
 */
export function isStalled(endpoint: string, error: ShoalError | undefined, isFirst: boolean): boolean {
  const now = performance.now();
  const entry = entryOf(endpoint);
  if (isFirst && now - entry.last > FORGOTTEN_AFTER) entry.since = now;
  const isTold = error !== undefined || entry.isSilent;
  entry.last = now;
  entry.isSilent = error === undefined;
  entry.error = error ?? entry.error;
  return isTold && now - entry.since >= STALLED_AFTER;
}

/** Forgets a reached endpoint, so that its next failure is reported. */
export function forgetStall(endpoint: string): void {
  unreached.delete(endpoint);
}

/**
 * Emits the process warning `SHOAL_UNREACHABLE`, once per endpoint and cause.
 * @param what waits: `Push has 1 message to send, and no connection to`
 * @param given error of the last attempt, if one has failed
 * @param more what else to do
 */
export function warnOfStall(what: string, endpoint: string, given: ShoalError | undefined, more = ""): void {
  const entry = entryOf(endpoint);
  const error = given ?? entry.error;
  const code = error === undefined ? "none" : codeOf(error);
  if (entry.reported.has(code)) return;
  entry.reported.add(code);
  const cause = error === undefined ? "no answer" : causeOf(error);
  const remedy = error === undefined ? "Check that the peer runs, and its address" : remedyOf(error);
  const text = `${what} ${endpoint} (${cause}). ${remedy}${more}.`;
  process.emitWarning(text, { type: "ShoalWarning", code: "SHOAL_UNREACHABLE", detail: DETAIL });
}

const DETAIL =
  'A socket whose event "connect:retry" or "handshake:error:…" has a listener gives no such warning.';
