/** Why a service could not answer: what a client gets in place of silence. */
import { ShoalError } from "../../core/errors.js";

/** The reasons, as they stand on the wire and in {@link ServiceError.reason}. */
export const FAILURES = {
  "no-service": "No worker of this service came in time.",
  overloaded: "The queue for this service is full.",
  expired: "The request waited too long for a worker.",
  "worker-failed": "The worker's handler failed.",
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

/** A request ended without a reply, and somebody said why. Code `ERR_SERVICE`. */
export class ServiceError extends ShoalError {
  /** What went wrong. */
  readonly reason: FailureReason;
  /** The service that was asked. */
  readonly service: string;

  constructor(reason: FailureReason, service: string, text: string = FAILURES[reason]) {
    super("ERR_SERVICE", `${service}: ${text}`);
    this.reason = reason;
    this.service = service;
  }
}

/** @returns the reason of this name; `worker-failed` for one that is not known here */
export function toReason(text: string): FailureReason {
  return Object.hasOwn(FAILURES, text) ? (text as FailureReason) : "worker-failed";
}
