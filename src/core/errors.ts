/**
 * All errors of shoal. Codes are API, as in the package `zeromq` where it has them. docs/errors.md is
 * generated from the codes and from the docstrings of the classes.
 */
import { constants } from "node:os";
import { ERROR_CODES, type ErrorCodeDetails } from "./error-codes.js";

export { ERROR_CODES };

/** One of the codes in {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  /** The underlying error, if any. */
  readonly cause?: unknown;
  /** The affected endpoint or peer address. */
  readonly endpoint?: string | undefined;
}

/** libzmq's numbers for errors without a number of the operating system. */
const ZMQ_ERRNO: Partial<Record<ErrorCode, number>> = {
  EFSM: 156384763,
  ENOCOMPATPROTO: 156384764,
  ETERM: 156384765,
  EMTHREAD: 156384766,
};

/** The base class of shoal's errors. `instanceof ShoalError` also holds for {@link InvalidArgumentError}. */
export class ShoalError extends Error {
  // Bundles for pages shorten class names.
  static override readonly name: string = "ShoalError";
  /** Stable, documented in docs/errors.md. */
  readonly code: ErrorCode;
  /** The system's number for `code`, as in the package `zeromq`. */
  declare readonly errno: number | undefined;
  declare readonly endpoint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, causeOf(details));
    this.name = new.target.name;
    this.code = code;
    // A printed error shows no field that is undefined.
    const errno = errnoOf(code);
    if (errno !== undefined) this.errno = errno;
    if (details.endpoint !== undefined) this.endpoint = details.endpoint;
  }

  /** Same as `endpoint`, under its name in the package `zeromq`. */
  get address(): string | undefined {
    return this.endpoint;
  }

  /**
   * Whether the same call may succeed later although the program changes nothing, from the table in docs/errors.md. The
   * failed call may have taken effect: a repeated request can be handled twice.
   */
  get retryable(): boolean {
    // A program's class may have a code of its own.
    const details: ErrorCodeDetails | undefined = ERROR_CODES[this.code];
    const retryable = details?.retryable ?? false;
    if (typeof retryable === "boolean") return retryable;
    return "reason" in this && retryable.includes(String(this.reason));
  }
}

/**
 * The caller passed an invalid argument. Nothing has changed. Code `EINVAL`. The class extends `TypeError`, as in the
 * package `zeromq`, and counts as a {@link ShoalError}.
 */
export class InvalidArgumentError extends TypeError implements ShoalError {
  static override readonly name: string = "InvalidArgumentError";
  readonly code = "EINVAL";
  readonly errno: number | undefined = errnoOf("EINVAL");
  declare readonly endpoint: string | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, causeOf(details));
    this.name = new.target.name;
    if (details.endpoint !== undefined) this.endpoint = details.endpoint;
  }

  /** Same as `endpoint`, under its name in the package `zeromq`. */
  get address(): string | undefined {
    return this.endpoint;
  }

  get retryable(): boolean {
    return false;
  }
}

const isInstance = Function.prototype[Symbol.hasInstance];

// Only the base class also matches InvalidArgumentError.
Object.defineProperty(ShoalError, Symbol.hasInstance, {
  value(this: Function, value: unknown): boolean {
    if (isInstance.call(this, value)) return true;
    const { prototype } = InvalidArgumentError;
    return this === ShoalError && (value === prototype || isInstance.call(InvalidArgumentError, value));
  },
});

function errnoOf(code: ErrorCode): number | undefined {
  return (constants.errno as Partial<Record<string, number>>)[code] ?? ZMQ_ERRNO[code];
}

function causeOf({ cause }: ErrorDetails): ErrorOptions | undefined {
  return cause === undefined ? undefined : { cause };
}

/** The call does not fit the socket's state. Codes `EFSM`, `ERR_TOO_MANY_PENDING`. */
export class InvalidStateError extends ShoalError {
  static override readonly name: string = "InvalidStateError";
}

/**
 * The socket is closed (`EBADF`), it was closed while the call waited (`EAGAIN`), or the engine's context was terminated
 * (`ETERM`). Not retryable: it stays closed.
 */
export class ClosedError extends ShoalError {
  static override readonly name: string = "ClosedError";
  // biome-ignore lint/complexity/noUselessConstructor: it narrows the codes to those that mean this
  constructor(code: "EBADF" | "EAGAIN" | "ETERM", message: string, details?: ErrorDetails) {
    super(code, message, details);
  }

  override get retryable(): boolean {
    return false;
  }
}

/**
 * The timeout passed, a queue is full, or the awaited event cannot come any more. Codes `EAGAIN` (send, receive) and
 * `ETIMEDOUT` (everything else).
 */
export class TimeoutError extends ShoalError {
  static override readonly name: string = "TimeoutError";
}

/**
 * The caller's signal ended the wait; `cause` is the signal's reason, and `name` is `AbortError`, as of the platform's own
 * error. Code `ABORT_ERR`.
 */
export class AbortedError extends ShoalError {
  constructor(reason: unknown) {
    super("ABORT_ERR", "The operation was aborted", { cause: reason });
    this.name = "AbortError";
  }
}

/** No peer has this routing id. Code `EHOSTUNREACH`. */
export class UnroutableError extends ShoalError {
  static override readonly name: string = "UnroutableError";
  constructor(message: string, details?: ErrorDetails) {
    super("EHOSTUNREACH", message, details);
  }
}

/** The operating system or the network refused an endpoint. Its code is the system's, `ERR_SOURCE` or `ERR_TRANSPORT`. */
export class TransportError extends ShoalError {
  static override readonly name: string = "TransportError";
}

/**
 * The engine or socket type lacks this feature, or a required package is missing. Codes `NOT_SUPPORTED`,
 * `ERR_ENGINE_UNAVAILABLE`, `ERR_PACKAGE_UNAVAILABLE`.
 */
export class NotSupportedError extends ShoalError {
  static override readonly name: string = "NotSupportedError";
  constructor(
    message: string,
    code: "NOT_SUPPORTED" | "ERR_ENGINE_UNAVAILABLE" | "ERR_PACKAGE_UNAVAILABLE" = "NOT_SUPPORTED",
    details?: ErrorDetails,
  ) {
    super(code, message, details);
  }
}

/** A message does not pass the socket's codec or schema; `cause` has the issues. Code `ERR_INVALID_MESSAGE`. */
export class InvalidMessageError extends ShoalError {
  static override readonly name: string = "InvalidMessageError";
  constructor(message: string, details?: ErrorDetails) {
    super("ERR_INVALID_MESSAGE", message, details);
  }
}

/** The package `zeromq` has the same. */
export type ProtocolErrorCode = Extract<
  ErrorCode,
  "ERR_PROTOCOL" | `ERR_ZMTP_${string}` | `ERR_ZAP_${string}`
>;

/** A peer broke the protocol; its connection is closed. Codes `ERR_PROTOCOL`, `ERR_ZMTP_…`, `ERR_ZAP_…`. */
export class ProtocolError extends ShoalError {
  static override readonly name: string = "ProtocolError";
  constructor(message: string, code: ProtocolErrorCode = "ERR_PROTOCOL", details?: ErrorDetails) {
    super(code, message, details);
  }
}

/** A connection could not be set up. Codes `ERR_HANDSHAKE`, and `ERR_AUTHENTICATION` with `status`. */
export class HandshakeError extends ShoalError {
  static override readonly name: string = "HandshakeError";
  /** The ZAP status, for a refusal: 300, 400 or 500 (27/ZAP, The Reply). */
  readonly status: number | undefined;

  constructor(
    code: "ERR_HANDSHAKE" | "ERR_AUTHENTICATION",
    message: string,
    details: ErrorDetails & { readonly status?: number } = {},
  ) {
    super(code, message, details);
    this.status = details.status;
  }

  /** Also `ERR_AUTHENTICATION` with the status 300, a temporary failure. */
  override get retryable(): boolean {
    return this.status === 300 || super.retryable;
  }
}
