/**
 * The option `copy`: of a send, the message is copied within the call; of a receive, frames are copied out of memory that they
 * would keep although they are a small part of it.
 */
import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { WAIT_OPTIONS } from "../core/waiter.js";
import type { OutgoingMessage } from "../engine/engine.js";
import type { Lease } from "../engine/lease.js";
import { copyOf } from "../engine/message-copy.js";
import { COPYING } from "./leases.js";

interface WithCopy {
  readonly copy?: boolean | undefined;
}

/** The names of the options of `receive`, `send` and `reply`, of `trySend`, and of `messages`. */
export const CALL_OPTIONS: readonly string[] = ["copy", ...WAIT_OPTIONS];
export const TRY_OPTIONS: readonly string[] = ["copy"];
export const MESSAGES_OPTIONS: readonly string[] = ["copy", "signal"];

/** @throws InvalidArgumentError `EINVAL` for an option `copy` that is invalid */
export function checkCopy({ copy }: { readonly copy?: unknown }): void {
  if (copy !== undefined && typeof copy !== "boolean")
    throw new InvalidArgumentError(`copy is true or false; got ${describe(copy)}`);
}

/** @returns what the option asks for at a receive @throws InvalidArgumentError `EINVAL` */
export function leaseFor(options: WithCopy | undefined): Lease | undefined {
  if (options === undefined) return undefined;
  checkCopy(options);
  return options.copy ? COPYING : undefined;
}

/** @returns the message for a call that waits with it: the program writes to its own again where it is copied */
export function owned(message: OutgoingMessage, options: WithCopy | undefined): OutgoingMessage {
  return options?.copy ? copyOf(message) : message;
}
