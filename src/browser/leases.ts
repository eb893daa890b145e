/** What becomes of the memory that messages were received in: a page uses none again; stands in for sockets/leases.ts. */
import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { WAIT_OPTIONS } from "../core/waiter.js";
import type { OutgoingMessage } from "../engine/engine.js";
import type { Lease } from "../engine/lease.js";
import { copyOf } from "../engine/message-copy.js";

/** Frames have their memory, however little of it they are. */
const BATCH = lease((frame) => frame);
/** A frame is copied where it would keep memory of more than twice its size. */
const COPYING = lease((frame) => (frame.buffer.byteLength > 2 * frame.length ? Buffer.from(frame) : frame));

function lease(received: (frame: Buffer) => Buffer): Lease {
  return { received: (frames: Buffer[]) => frames.map(received), keep() {}, release() {} } as Lease;
}

/** The names of the options of `receive` and `send`, of `trySend`, and of `messages`. */
export const RECEIVE_OPTIONS: readonly string[] = ["copy", ...WAIT_OPTIONS];
export const TRY_OPTIONS: readonly string[] = ["copy"];
export const MESSAGES_OPTIONS: readonly string[] = ["copy", "signal"];

/** @throws InvalidArgumentError `EINVAL` for an option `copy` that is invalid */
export function checkCopy({ copy }: { readonly copy?: unknown }): void {
  if (copy !== undefined && typeof copy !== "boolean")
    throw new InvalidArgumentError(`copy is true or false; got ${describe(copy)}`);
}

/** @returns what the option `copy` asks for @throws InvalidArgumentError `EINVAL` */
export function leaseFor(options: { readonly copy?: boolean } | undefined): Lease | undefined {
  if (options === undefined) return undefined;
  checkCopy(options);
  return options.copy ? COPYING : undefined;
}

/** What is sent at once is copied in any case. */
export function copyOption(): undefined {}

/** @returns the message for a call that waits with it: the program writes to its own again where it is copied */
export function owned(
  message: OutgoingMessage,
  options: { readonly copy?: boolean | undefined } | undefined,
): OutgoingMessage {
  return options?.copy ? copyOf(message) : message;
}

/** A lease for the messages of one batch. */
export function lendBatch(): Lease {
  return BATCH;
}
