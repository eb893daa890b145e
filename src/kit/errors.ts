/**
 * Service errors and the reply that carries them:
 *
 *   error reply   "shoal.error" | reason | text
 *                 "shoal.error" | reason | text | details     the handler's error has a `code` or `data`
 *
 * `details` is JSON: `{ "code": text, "data": anything }`, both optional, omitted above `MAX_DETAILS` bytes. Foreign
 * clients of protocols without errors see an ordinary reply.
 */
import { thrownText } from "../core/arguments.js";
import { type ErrorDetails, InvalidMessageError, ShoalError, TimeoutError } from "../core/errors.js";

/** Failure reasons, also on the wire. */
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

export type FailureReason = keyof typeof FAILURES;

/** Fields of a handler's error that clients get. */
export interface HandlerErrorDetails {
  /** `code` of the handler's error. */
  readonly code?: string;
  /** `data` of the handler's error; must be JSON. */
  readonly data?: unknown;
}

/**
 * A request failed at the server or broker, for `reason`, with `handlerCode` and `data` of the handler's error. Code
 * `ERR_SERVICE`.
 */
export class ServiceError extends ShoalError {
  readonly reason: FailureReason;
  /** The service, or the endpoint of a server without services. */
  readonly service: string;
  /** `code` of the handler's error, if any. */
  declare readonly handlerCode: string | undefined;
  /** `data` of the handler's error, if any. */
  declare readonly data: unknown;

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
    // A printed error shows no field that is undefined.
    if (handler.code !== undefined) this.handlerCode = handler.code;
    if (handler.data !== undefined) this.data = handler.data;
  }
}

const MAX_NAMED = 8;

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

/** @returns `worker-failed` for an unknown name */
export function toReason(text: string): FailureReason {
  return Object.hasOwn(FAILURES, text) ? (text as FailureReason) : "worker-failed";
}

/** Characters of an error for a client: longer ones could be refused with the whole message, and end its connection. */
const MAX_TEXT = 1_024;

const refusals = new WeakSet<ServiceError>();

/**
 * Makes an error with which a worker answers in place of the handler. The reason of a ServiceError thrown by a handler
 * is not passed on: it belongs to another call.
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

/** Whether {@link refuse} made the error. */
export function isRefusal(error: unknown): error is ServiceError {
  return refusals.has(error as ServiceError);
}

/** First frame of an error reply. */
export const ERROR_MARK: Buffer = Buffer.from("shoal.error");

/** Larger details are omitted. */
export const MAX_DETAILS = 65_536;

export function errorReply(reason: FailureReason, text: string = FAILURES[reason]): Buffer[] {
  return [ERROR_MARK, Buffer.from(reason), Buffer.from(text)];
}

export interface HandlerFailure {
  readonly reason: FailureReason;
  readonly text: string;
  readonly details: Buffer | undefined;
}

export function failure(reason: FailureReason, text: string = FAILURES[reason]): HandlerFailure {
  return { reason, text, details: undefined };
}

/**
 * The parts of a handler's error for its client: `code` and `data`, and the message only of a `ServiceError` or with
 * `expose: true`, since messages may hold secrets.
 */
export function handlerFailure(error: unknown): HandlerFailure {
  const details = encodeDetails(error);
  const { code } = decodeDetails(details);
  const hidden = `The worker's handler failed${code === undefined ? "" : ` (${code})`}.`;
  const reason = isRefusal(error) ? error.reason : "worker-failed";
  return { reason, text: (exposedText(error) ?? hidden).slice(0, MAX_TEXT), details };
}

export function exposedText(error: unknown): string | undefined {
  try {
    if (error instanceof ServiceError) {
      const prefix = `${error.service}: `;
      const { message } = error;
      return message.startsWith(prefix) ? message.slice(prefix.length) : message;
    }
    const { expose } = (error ?? {}) as { readonly expose?: unknown };
    return expose === true ? thrownText(error) : undefined;
  } catch {
    return undefined; // A getter threw.
  }
}

/** Includes the codec's message. */
export function requestFailure(error: unknown): HandlerFailure {
  const isWrapped = error instanceof InvalidMessageError && error.cause instanceof Error;
  const why = isWrapped ? error.cause : error;
  const text = `The request does not pass the service's codec: ${thrownText(why)}`;
  return { reason: "invalid-request", text: text.slice(0, MAX_TEXT), details: encodeDetails(why) };
}

export function failureReply({ reason, text, details }: HandlerFailure): Buffer[] {
  const reply = errorReply(reason, text);
  if (details !== undefined) reply.push(details);
  return reply;
}

/**
 * The error of an error reply; `undefined` for any other.
 * @param service requested service
 */
export function parseErrorReply(body: readonly Buffer[], service: string): ServiceError | undefined {
  const [mark, reason, text, details] = body;
  if (body.length < 3 || body.length > 4 || !ERROR_MARK.equals(mark as Buffer)) return undefined;
  return new ServiceError(toReason(String(reason)), service, String(text), decodeDetails(details));
}

const MAX_STACK = 4_096;

/** Without control characters, since clients may influence the message. */
export function stackOf(error: unknown): string {
  let stack: unknown;
  try {
    stack = error instanceof Error ? error.stack : undefined;
  } catch {
    // A getter threw.
  }
  const text = typeof stack === "string" && stack !== "" ? stack : thrownText(error);
  return text.slice(0, MAX_STACK).replace(/[^\P{Cc}\n]/gu, " ");
}

/** `undefined` if missing or too large. */
export function encodeDetails(error: unknown): Buffer | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  try {
    const { data } = error as { readonly data?: unknown };
    const { code } =
      error instanceof ServiceError ? { code: error.handlerCode } : (error as { code?: unknown });
    const known = typeof code === "string" ? { code } : {};
    if (data === undefined && typeof code !== "string") return undefined;
    const details = Buffer.from(JSON.stringify({ ...known, data }));
    return details.length <= MAX_DETAILS ? details : undefined;
  } catch {
    return undefined; // Not JSON: a cycle, a BigInt.
  }
}

/** Malformed parts are ignored. */
export function decodeDetails(frame: Buffer | undefined): HandlerErrorDetails {
  if (frame === undefined || frame.length === 0 || frame.length > MAX_DETAILS) return {};
  try {
    const details: unknown = JSON.parse(frame.toString());
    if (typeof details !== "object" || details === null) return {};
    const { code, data } = details as { readonly code?: unknown; readonly data?: unknown };
    return { ...(typeof code === "string" ? { code } : {}), ...(data === undefined ? {} : { data }) };
  } catch {
    return {}; // Not JSON.
  }
}
