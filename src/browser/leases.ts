/** What becomes of the memory that messages were received in: a page uses none again; stands in for sockets/leases.ts. */
import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { WAIT_OPTIONS } from "../core/waiter.js";
import type { Lease } from "../engine/lease.js";

/** Frames have their memory, however little of it they are. */
const BATCH = lease((frame) => frame);
/** A frame is copied where it would keep memory of more than twice its size. */
const COPYING = lease((frame) => (frame.buffer.byteLength > 2 * frame.length ? Buffer.from(frame) : frame));

function lease(received: (frame: Buffer) => Buffer): Lease {
  return { received: (frames: Buffer[]) => frames.map(received), keep() {}, release() {} } as Lease;
}

/** The names of the options of `receive`. */
export const RECEIVE_OPTIONS: readonly string[] = ["copy", ...WAIT_OPTIONS];

/** @returns what the option `copy` asks for @throws InvalidArgumentError `EINVAL` */
export function leaseFor(options: { readonly copy?: boolean } | undefined): Lease | undefined {
  const copy: unknown = options?.copy;
  if (copy !== undefined && typeof copy !== "boolean")
    throw new InvalidArgumentError(`copy is true or false; got ${describe(copy)}`);
  return copy ? COPYING : undefined;
}

/** A lease for the messages of one batch. */
export function lendBatch(): Lease {
  return BATCH;
}
