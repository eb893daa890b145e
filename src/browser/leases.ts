/** What becomes of the memory that messages were received in: a page uses none again; stands in for sockets/leases.ts. */
import type { Lease } from "../engine/lease.js";

/** A page takes messages one by one: its WebSocket costs far more than that. */
export const TAKES_MANY = false;

export const KEEPS_COPIES = false;

export const SPINS = false;

export const TRANSFERS = false;

export const SENDS_MANY = false;

export const READINESS = false;

/** Frames have their memory, however little of it they are. */
const BATCH = lease((frame) => frame);
/** A frame is copied where it would keep memory of more than twice its size. */
export const COPYING: Lease = lease((frame) =>
  frame.buffer.byteLength > 2 * frame.length ? Buffer.from(frame) : frame,
);

function lease(received: (frame: Buffer) => Buffer): Lease {
  return { received: (frames: Buffer[]) => frames.map(received), keep() {}, release() {} } as Lease;
}

/** A lease for the messages of one batch. */
export function lendBatch(): Lease {
  return BATCH;
}
