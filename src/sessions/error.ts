/** Why a session refused a call, or ended. */
import { type ErrorDetails, ShoalError } from "../core/errors.js";

/** The reasons, as they stand on the wire and in {@link SessionError.reason}. */
export const SESSION_FAILURES = {
  taken: "Another connection has the session now.",
  refused: "The server does not let this client have this session.",
  full: "The store, or a session that should get the message and whose policy is to refuse, has no room.",
  "too-large": "The message, or what is subscribed to, is larger than the server takes.",
  invalid: "The server does not understand what it got.",
  unavailable: "The store of the sessions fails or cannot be reached.",
  stopping: "The server stops.",
  gone: "The session was removed.",
} as const;

/** Why a session refused a call, or ended. */
export type SessionFailure = keyof typeof SESSION_FAILURES;

/** A session refused a call, or ended; `reason` says why. Code `ERR_SESSION`. */
export class SessionError extends ShoalError {
  /** What went wrong. */
  readonly reason: SessionFailure;

  constructor(reason: SessionFailure, text: string = SESSION_FAILURES[reason], details: ErrorDetails = {}) {
    super("ERR_SESSION", text, details);
    this.reason = reason;
  }
}
