import { type ErrorDetails, ShoalError } from "../core/errors.js";

/** {@link SessionError.reason}, also on the wire. */
export const SESSION_FAILURES = {
  taken: "Another connection has the session now.",
  refused: "The server does not give this session to this client.",
  full: 'The store, or a session with the policy "refuse" that should get the message, is full.',
  "too-large": "The message, or the list of filters, is larger than the server allows.",
  invalid: "The server received a malformed message.",
  unavailable: "The store of the sessions fails or cannot be reached.",
  stopping: "The server stops.",
  gone: "The session was removed.",
} as const;

export type SessionFailure = keyof typeof SESSION_FAILURES;

/** A session refused a call, or ended; `reason` says why. Code `ERR_SESSION`. */
export class SessionError extends ShoalError {
  readonly reason: SessionFailure;

  constructor(reason: SessionFailure, text = "", details: ErrorDetails = {}) {
    super("ERR_SESSION", text === "" ? SESSION_FAILURES[reason] : text, details);
    this.reason = reason;
  }
}
