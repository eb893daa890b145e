/**
 * Why a service could not answer, and the reply that reports it:
 *
 *   error reply   "shoal.error" | reason | text
 *                 "shoal.error" | reason | text | details     the handler's error has a `code` or `data`
 *
 * `details` is JSON: `{ "code": text, "data": anything }`, both optional, at most `MAX_DETAILS` bytes, else left out.
 * The Pirates' and the load balancer's protocols have no errors, and MDP has none for clients, so a client of another
 * make takes it for a reply of a form that it does not know.
 */
import { type ErrorDetails, ShoalError, TimeoutError } from "../../core/errors.js";

/** The reasons, as they stand on the wire and in {@link ServiceError.reason}. */
export const FAILURES = {
  "no-service": "No worker of this service came in time.",
  overloaded: "The queue for this service is full.",
  expired: "The request waited too long for a worker.",
  "worker-failed": "The worker's handler failed.",
  "invalid-request": "The request does not conform to the service's schema or codec.",
  "no-method": "The service has no such method.",
  "invalid-reply": "The handler's reply does not conform to the service's schema.",
  "worker-lost": "The workers that had the request were lost, as often as it may be delivered.",
  incomplete: "Pieces of the answer are missing.",
  "slow-reader": "The client reads too slowly: what waits for it is at its bound.",
  "too-large": "The request or its reply is larger than the broker takes.",
  duplicate: "The request was answered before, and its reply is no longer kept.",
  stopping: "The broker or the worker is stopping.",
  "broker-lost": "No broker answers.",
} as const;

/** One of {@link FAILURES}. */
export type FailureReason = keyof typeof FAILURES;

/** What a handler's own error has in addition to its message. */
export interface HandlerErrorDetails {
  /** The `code` of the handler's error. */
  readonly code?: string;
  /** The `data` of the handler's error: what JSON can hold. */
  readonly data?: unknown;
}

/**
 * A request ended without a reply, and its server or broker reported why: `reason`, with the `handlerCode` and `data` of what
 * the handler threw. Code `ERR_SERVICE`.
 */
export class ServiceError extends ShoalError {
  /** What went wrong. */
  readonly reason: FailureReason;
  /** The service that was asked; of a server without services its endpoint. */
  readonly service: string;
  /** The `code` of the error that the handler threw, if it had one. */
  readonly handlerCode: string | undefined;
  /** The `data` of the error that the handler threw, if it had any. */
  readonly data: unknown;

  constructor(
    reason: FailureReason,
    service: string,
    text: string = FAILURES[reason],
    handler: HandlerErrorDetails = {},
    details: ErrorDetails = {},
  ) {
    super("ERR_SERVICE", `${service}: ${text}`, details);
    this.reason = reason;
    this.service = service;
    this.handlerCode = handler.code;
    this.data = handler.data;
  }
}

/** Endpoints that an error names. */
const MAX_NAMED = 8;

/** The error of a call that no server answered in time: where it was asked, and why the last attempt to connect failed. */
export function lateError(
  text: string,
  endpoints: readonly string[],
  cause: ShoalError | undefined,
): TimeoutError {
  const more = endpoints.length > MAX_NAMED ? `, and ${endpoints.length - MAX_NAMED} more` : "";
  const at = endpoints.length === 0 ? "" : ` from ${endpoints.slice(0, MAX_NAMED).join(", ")}${more}`;
  const why = cause === undefined ? "" : `; last: ${cause.message}`;
  const endpoint = endpoints.length === 1 ? endpoints[0] : undefined;
  return new TimeoutError("ETIMEDOUT", `${text}${at}${why}`, { cause, endpoint });
}

/** @returns the reason of this name; `worker-failed` for one that is not known here */
export function toReason(text: string): FailureReason {
  return Object.hasOwn(FAILURES, text) ? (text as FailureReason) : "worker-failed";
}

/** The message of what was thrown and cannot be read. */
const NO_TEXT = "an error without a message";

/** Characters of a handler's own message that are sent. */
const MAX_TEXT = 1_024;

/** The errors that {@link refuse} made. */
const refusals = new WeakSet<ServiceError>();

/**
 * The error of a worker that answers in place of its handler, or of the handler's reply: clients get its reason. The
 * reason of a ServiceError that a handler throws is that of another call, and so is not passed on.
 */
export function refuse(
  reason: FailureReason,
  service: string,
  text: string,
  handler: HandlerErrorDetails = {},
  details: ErrorDetails = {},
): ServiceError {
  const error = new ServiceError(reason, service, text.slice(0, MAX_TEXT), handler, details);
  refusals.add(error);
  return error;
}

/** Whether {@link refuse} made it. */
export function isRefusal(error: unknown): error is ServiceError {
  return isInstance(error, ServiceError) && refusals.has(error);
}

/** Whether the handler was not called, since its contract refuses the request: the client's mistake, not the handler's. */
export function isRefusedRequest(error: unknown): boolean {
  return isRefusal(error) && error.reason !== "invalid-reply";
}

/** First frame of an error reply. */
export const ERROR_MARK: Buffer = Buffer.from("shoal.error");

/** Bytes of a handler's own `code` and `data` that are sent; larger ones are left out. */
const MAX_DETAILS = 65_536;

/** The body of an error reply. */
export function errorReply(reason: FailureReason, text: string = FAILURES[reason]): Buffer[] {
  return [ERROR_MARK, Buffer.from(reason), Buffer.from(text.slice(0, MAX_TEXT))];
}

/** What a client gets of a failed request. */
export interface HandlerFailure {
  readonly reason: FailureReason;
  readonly text: string;
  /** Code and data, encoded. */
  readonly details: Buffer | undefined;
}

/**
 * What clients get of an error that a handler threw, in every pattern and in clusters: its `code` and `data`, and its message only where the
 * error is a `ServiceError` or has `expose: true`, since others may contain what is not meant for clients. What {@link refuse} made keeps its
 * reason.
 *
 * @param expose whether clients get each message
 */
export function handlerFailure(error: unknown, expose: boolean): HandlerFailure {
  const text = exposedText(error, expose) ?? FAILURES["worker-failed"];
  if (!isInstance(error, ServiceError))
    return { reason: "worker-failed", text, details: encodeDetails(error) };
  const reason = isRefusal(error) ? error.reason : "worker-failed";
  return { reason, text, details: encodeDetails({ code: error.handlerCode, data: error.data }) };
}

/** The message that clients get of what a handler threw; `undefined`: none. */
export function exposedText(error: unknown, expose: boolean): string | undefined {
  if (isInstance(error, ServiceError)) {
    const message = messageOf(error);
    const prefix = `${error.service}: `;
    return message.startsWith(prefix) ? message.slice(prefix.length) : message;
  }
  return expose || isExposed(error) ? messageOf(error) : undefined;
}

function isExposed(error: unknown): boolean {
  try {
    return (error as { readonly expose?: unknown } | null | undefined)?.expose === true;
  } catch {
    return false; // A getter threw.
  }
}

/** What a client gets of its request that the codec or its schema refuses: the client's mistake, so it gets the message. */
export function requestFailure(error: unknown): HandlerFailure {
  const text = `The request does not pass the service's codec: ${messageOf(error)}`;
  return { reason: "invalid-request", text, details: encodeDetails(error) };
}

/** The error reply of a {@link handlerFailure}. */
export function handlerErrorReply(error: unknown, expose: boolean): Buffer[] {
  return failureReply(handlerFailure(error, expose));
}

/** The error reply of a {@link requestFailure}. */
export function requestErrorReply(error: unknown): Buffer[] {
  return failureReply(requestFailure(error));
}

function failureReply({ reason, text, details }: HandlerFailure): Buffer[] {
  const reply = errorReply(reason, text);
  if (details !== undefined) reply.push(details);
  return reply;
}

/** The error of an error reply, or `undefined` for any other reply. @param service that was asked */
export function parseErrorReply(body: readonly Buffer[], service: string): ServiceError | undefined {
  const [mark, reason, text, details] = body;
  if (body.length < 3 || body.length > 4 || !ERROR_MARK.equals(mark as Buffer)) return undefined;
  return new ServiceError(toReason(String(reason)), service, String(text), decodeDetails(details));
}

/** The text of anything that was thrown, even of what has none: an object without a prototype, a getter that throws. */
export function messageOf(error: unknown): string {
  try {
    return String(isInstance(error, Error) ? error.message : error);
  } catch {
    return NO_TEXT;
  }
}

/** Characters of a stack that are shown. */
const MAX_STACK = 4_096;

/** The stack of anything that was thrown, or its text, without control characters: clients may have had a hand in the message. */
export function stackOf(error: unknown): string {
  let stack: unknown;
  try {
    stack = isInstance(error, Error) ? error.stack : undefined;
  } catch {
    // A getter threw.
  }
  const text = typeof stack === "string" && stack !== "" ? stack : messageOf(error);
  return text.slice(0, MAX_STACK).replace(/[^\P{Cc}\n]/gu, " ");
}

/** `instanceof` for anything that was thrown: a Proxy may throw when it is asked. */
export function isInstance<T>(error: unknown, type: new (...parameters: never[]) => T): error is T {
  try {
    return error instanceof type;
  } catch {
    return false; // What refuses to say what it is, is not one of ours.
  }
}

/** The `code` and `data` of what a handler threw, as they are sent; `undefined` when there are none, or too many bytes. */
export function encodeDetails(error: unknown): Buffer | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  try {
    const { code, data } = error as { readonly code?: unknown; readonly data?: unknown };
    const known = typeof code === "string" ? { code } : {};
    if (data === undefined && typeof code !== "string") return undefined;
    const details = Buffer.from(JSON.stringify({ ...known, data }));
    return details.length <= MAX_DETAILS ? details : undefined;
  } catch {
    return undefined; // The data are not JSON's: a cycle, a BigInt; or cannot be read.
  }
}

/** What `encodeDetails` sent; nothing of what is malformed. */
export function decodeDetails(frame: Buffer | undefined): HandlerErrorDetails {
  if (frame === undefined || frame.length === 0 || frame.length > MAX_DETAILS) return {};
  try {
    const details: unknown = JSON.parse(frame.toString());
    if (typeof details !== "object" || details === null) return {};
    const { code, data } = details as { readonly code?: unknown; readonly data?: unknown };
    return { ...(typeof code === "string" ? { code } : {}), ...(data === undefined ? {} : { data }) };
  } catch {
    return {}; // Not JSON: the error itself is still reported, without details.
  }
}
