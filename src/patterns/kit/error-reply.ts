/**
 * The reply that says why there is none: `shoal.error` | reason | text, as a plain
 * Majordomo client gets it, too. The Pirates' protocols have no errors, so a client of
 * another make takes it for a reply of a form that it does not know.
 */

import type { JobDropReason } from "./dispatcher.js";
import { FAILURES, type FailureReason, ServiceError, toReason } from "./service-error.js";

const MARK = Buffer.from("shoal.error");

/** Characters of a handler's own message that are passed on. */
const MAX_TEXT = 1_024;

/** The body of an error reply. */
export function errorReply(reason: FailureReason, text: string = FAILURES[reason]): Buffer[] {
  return [MARK, Buffer.from(reason), Buffer.from(text.slice(0, MAX_TEXT))];
}

/** What an error reply says, or `undefined` for any other reply. @param endpoint of the server that was asked */
export function parseErrorReply(body: readonly Buffer[], endpoint: string): ServiceError | undefined {
  if (body.length !== 3 || !MARK.equals(body[0] as Buffer)) return undefined;
  return new ServiceError(toReason(String(body[1])), endpoint, String(body[2]));
}

/** What a client is told of a request that was dropped. */
export function reasonOf(reason: Exclude<JobDropReason, "client-left">): FailureReason {
  return reason === "deliveries" ? "worker-lost" : "stopping";
}
