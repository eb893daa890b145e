/**
 * Every error that shoal raises. Codes are API: `ERROR_CODES` lists them, and a
 * test keeps docs/errors.md equal to it. Where the npm package `zeromq` has a
 * code for a situation, that code is used, so that existing handlers work.
 */
import { constants } from "node:os";

/** Every `code` an error of shoal can carry, with what it means. */
export const ERROR_CODES = {
  EINVAL: "An argument, option, endpoint or message has the wrong type, unit or range.",
  EAGAIN:
    "The wait ended without a result: `sendTimeout` or `receiveTimeout` ran out, the peer's queue is full, or the socket closed while the call waited.",
  EBADF: "The socket, context or observer is closed.",
  EADDRINUSE: "The endpoint is already bound by this or another process.",
  EADDRNOTAVAIL: "The address to bind does not belong to this machine.",
  EACCES: "The process has no permission for this endpoint.",
  ENODEV: "The network interface in the endpoint does not exist.",
  ENOENT:
    "The endpoint was never bound or connected on this socket, or the ipc path, or its folder, is not there.",
  ENAMETOOLONG: "The ipc path is longer than the system allows.",
  ECONNREFUSED: "Nothing listens at the endpoint.",
  EPROTONOSUPPORT: "The endpoint's transport is unknown to this engine.",
  ENOCOMPATPROTO: "The transport does not fit this socket type.",
  EHOSTUNREACH: "No peer with this routing id is connected.",
  EMFILE: "The context or the process has no room for another socket.",
  EMTHREAD: "The context could not start its input and output threads.",
  ETERM: "The engine's context was terminated.",
  EFSM: "The socket is in the wrong state for this call.",
  ETIMEDOUT: "No answer came in time: a request, a wait for subscribers or for readiness.",
  ABORT_ERR: "The caller's AbortSignal was aborted before the operation took effect.",
  NOT_SUPPORTED: "The engine or the socket type cannot do this; the capability table says which can.",
  ERR_ENGINE_UNAVAILABLE: "The engine could not be loaded on this machine.",
  ERR_PACKAGE_UNAVAILABLE:
    "A store or another part needs an optional package that is not installed, or does not load on this machine.",
  ERR_TOO_MANY_PENDING:
    "More sends or receives wait on the socket than `maxPendingSends`, `maxPendingSendBytes` or `maxPendingReceives` allows.",
  ERR_INVALID_MESSAGE: "A message does not pass the socket's codec or schema.",
  ERR_HANDSHAKE: "The connection's handshake failed.",
  ERR_AUTHENTICATION: "The peer refused this socket's credentials, or this socket refused the peer's.",
  ERR_PROTOCOL: "The peer broke the wire protocol.",
  ERR_ZMTP_UNSPECIFIED: "Handshake: a protocol error without detail.",
  ERR_ZMTP_UNEXPECTED_COMMAND: "Handshake: a command that does not belong there.",
  ERR_ZMTP_INVALID_SEQUENCE: "Handshake: commands or nonces out of order.",
  ERR_ZMTP_KEY_EXCHANGE: "Handshake: the CURVE key exchange failed.",
  ERR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED: "Handshake: a malformed command.",
  ERR_ZMTP_MALFORMED_COMMAND_MESSAGE: "A malformed CURVE MESSAGE.",
  ERR_ZMTP_MALFORMED_COMMAND_HELLO: "Handshake: a malformed HELLO.",
  ERR_ZMTP_MALFORMED_COMMAND_INITIATE: "Handshake: a malformed INITIATE.",
  ERR_ZMTP_MALFORMED_COMMAND_ERROR: "Handshake: a malformed ERROR.",
  ERR_ZMTP_MALFORMED_COMMAND_READY: "Handshake: a malformed READY.",
  ERR_ZMTP_MALFORMED_COMMAND_WELCOME: "Handshake: a malformed WELCOME.",
  ERR_ZMTP_INVALID_METADATA:
    "Handshake: metadata that is malformed or does not fit, such as the socket type.",
  ERR_ZMTP_CRYPTOGRAPHIC: "Handshake: a CURVE box does not open.",
  ERR_ZMTP_MECHANISM_MISMATCH: "Handshake: the two ends use different security mechanisms.",
  ERR_ZAP_UNSPECIFIED: "Authentication: the ZAP handler failed.",
  ERR_ZAP_MALFORMED_REPLY: "Authentication: the ZAP handler's reply is malformed.",
  ERR_ZAP_BAD_REQUEST_ID: "Authentication: the ZAP handler answered another request.",
  ERR_ZAP_BAD_VERSION: "Authentication: the ZAP handler speaks another version.",
  ERR_ZAP_INVALID_STATUS_CODE: "Authentication: the ZAP handler's status is not 200, 300, 400 or 500.",
  ERR_ZAP_INVALID_METADATA: "Authentication: the ZAP handler's metadata is malformed.",
  ERR_CONFLICT: "An update of a Clone was not made: its key does not have the revision that was asked for.",
  ERR_VETOED: "A hook of a cluster's messaging vetoed the message, query or service.",
  ERR_SERVICE: "A service could not answer a request; `reason` says why.",
  ERR_STORE:
    "A store refused or failed; `reason` says full, overloaded, taken, failed, outcome-unknown or damaged.",
  ERR_SIMULATION:
    "A simulation of `shoal/testing` failed; the message has the seed that repeats it. Or a simulated node went down under a call.",
  ERR_SOURCE: "A source of endpoints threw, or has more of them than are used.",
  ERR_TRANSPORT: "The operating system reported a transport error that has no code of its own here.",
} as const;

/** One of the codes in {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** What else an error has. */
export interface ErrorDetails {
  /** The error underneath, if any. */
  readonly cause?: unknown;
  /** The endpoint or peer address the error is about. */
  readonly endpoint?: string | undefined;
}

/** libzmq's own numbers for errors that the operating system has none for. */
const ZMQ_ERRNO: Partial<Record<ErrorCode, number>> = {
  EFSM: 156384763,
  ENOCOMPATPROTO: 156384764,
  ETERM: 156384765,
  EMTHREAD: 156384766,
};

/**
 * The base of every error of shoal: a `code` that is API, and a `cause` where there is one.
 * `instanceof ShoalError` holds for {@link InvalidArgumentError}, too, whose base is the language's `TypeError`.
 */
export class ShoalError extends Error {
  /** Stable, documented in docs/errors.md. */
  readonly code: ErrorCode;
  /** The system's number for `code`, where it has one, as the package `zeromq` gives it. */
  readonly errno: number | undefined;
  /** The endpoint concerned, where known. */
  readonly endpoint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, causeOf(details));
    this.name = new.target.name;
    this.code = code;
    this.errno = errnoOf(code);
    this.endpoint = details.endpoint;
  }

  /** The same as `endpoint`; the package `zeromq` calls it so. */
  get address(): string | undefined {
    return this.endpoint;
  }
}

/**
 * The caller passed something that cannot be right. Nothing has changed. Code `EINVAL`.
 * It is a `TypeError`, as the package `zeromq` throws one for wrong arguments, and a {@link ShoalError}.
 */
export class InvalidArgumentError extends TypeError implements ShoalError {
  readonly code = "EINVAL";
  readonly errno: number | undefined = errnoOf("EINVAL");
  /** The endpoint concerned, where known. */
  readonly endpoint: string | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, causeOf(details));
    this.name = new.target.name;
    this.endpoint = details.endpoint;
  }

  /** The same as `endpoint`; the package `zeromq` calls it so. */
  get address(): string | undefined {
    return this.endpoint;
  }
}

const isInstance = Function.prototype[Symbol.hasInstance];

// Subclasses inherit it; each but the base means its own prototype alone.
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
export class InvalidStateError extends ShoalError {}

/** The socket is closed (`EBADF`), or closed while the call waited (`EAGAIN`). */
export class ClosedError extends ShoalError {
  // biome-ignore lint/complexity/noUselessConstructor: it narrows the codes to those that mean this
  constructor(code: "EBADF" | "EAGAIN" | "ETERM", message: string, details?: ErrorDetails) {
    super(code, message, details);
  }
}

/** The wait ran out of time. Codes `EAGAIN` (send, receive) and `ETIMEDOUT` (everything else). */
export class TimeoutError extends ShoalError {}

/** The caller's signal ended the wait; `cause` is the signal's reason. Code `ABORT_ERR`. */
export class AbortedError extends ShoalError {
  constructor(reason: unknown) {
    super("ABORT_ERR", "The operation was aborted", { cause: reason });
    this.name = "AbortError";
  }
}

/** No peer has this routing id. Code `EHOSTUNREACH`. */
export class UnroutableError extends ShoalError {
  constructor(message: string, details?: ErrorDetails) {
    super("EHOSTUNREACH", message, details);
  }
}

/** The operating system or the network refused an endpoint. Its code is the system's. */
export class TransportError extends ShoalError {}

/**
 * The engine or socket type lacks this, or a package that it needs is missing. Codes `NOT_SUPPORTED`,
 * `ERR_ENGINE_UNAVAILABLE`, `ERR_PACKAGE_UNAVAILABLE`.
 */
export class NotSupportedError extends ShoalError {
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
  constructor(message: string, details?: ErrorDetails) {
    super("ERR_INVALID_MESSAGE", message, details);
  }
}

/** The codes that a {@link ProtocolError} can carry; the package `zeromq` has the same. */
export type ProtocolErrorCode = Extract<
  ErrorCode,
  "ERR_PROTOCOL" | `ERR_ZMTP_${string}` | `ERR_ZAP_${string}`
>;

/** A peer broke the protocol; its connection is closed. Codes `ERR_PROTOCOL`, `ERR_ZMTP_…`, `ERR_ZAP_…`. */
export class ProtocolError extends ShoalError {
  constructor(message: string, code: ProtocolErrorCode = "ERR_PROTOCOL", details?: ErrorDetails) {
    super(code, message, details);
  }
}

/** A connection could not be set up. Codes `ERR_HANDSHAKE`, `ERR_AUTHENTICATION`. */
export class HandshakeError extends ShoalError {
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
}
