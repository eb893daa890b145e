/** The package's errors as shoal's, with advice. */
import {
  ClosedError,
  ERROR_CODES,
  type ErrorCode,
  HandshakeError,
  InvalidArgumentError,
  InvalidStateError,
  NotSupportedError,
  ProtocolError,
  type ProtocolErrorCode,
  type ShoalError,
  TransportError,
} from "../../core/errors.js";
import type { NativeEvent } from "./native.js";

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** @param doing an infinitive, such as "bind" */
export function toShoalError(cause: unknown, doing: string, endpoint?: string): ShoalError {
  const code = codeOf(cause);
  const at = endpoint === undefined ? "" : ` ${endpoint}`;
  const details = { cause, endpoint };
  switch (code) {
    case "EADDRINUSE":
      return new TransportError(code, `Cannot ${doing}${at}: the address is in use`, details);
    case "EINVAL":
      return new InvalidArgumentError(`Cannot ${doing}${at}: the engine refuses the argument`, details);
    case "EBADF":
    case "ETERM":
      return new ClosedError(code, `Cannot ${doing}${at}: the socket is closed`, details);
    case "EFSM":
      return new InvalidStateError(code, `Cannot ${doing}${at} in the socket's present state`, details);
    case "NOT_SUPPORTED":
      return new NotSupportedError(`Cannot ${doing}${at}`, code, details);
    default: {
      const known: ErrorCode = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "ERR_TRANSPORT";
      const reason = cause instanceof Error ? cause.message : String(cause);
      return new TransportError(known, `Cannot ${doing}${at}: ${reason}`, details);
    }
  }
}

export function eventError(event: NativeEvent): ShoalError {
  const endpoint = event.address;
  const cause = event.error;
  const reason = cause?.message ?? "no detail";
  switch (event.type) {
    case "handshake:error:auth":
      return new HandshakeError(
        "ERR_AUTHENTICATION",
        `Handshake at ${endpoint} failed: authentication failed (status ${cause?.status ?? "unknown"})`,
        {
          cause,
          endpoint,
          status: cause?.status ?? 400,
        },
      );
    case "handshake:error:protocol": {
      const code = codeOf(cause);
      const known = Object.hasOwn(ERROR_CODES, code) ? (code as ProtocolErrorCode) : "ERR_PROTOCOL";
      return new ProtocolError(`Handshake failed: ${code}`, known, { cause, endpoint });
    }
    case "handshake:error:other":
      return new HandshakeError("ERR_HANDSHAKE", `Handshake failed: ${reason}`, { cause, endpoint });
    default:
      return toShoalError(cause, event.type.split(":", 1)[0] ?? "use", endpoint);
  }
}
