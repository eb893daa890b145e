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
const BATCH = { received: (frames: Buffer[]) => frames, keep() {}, release() {} } as Lease;

/** A lease for the messages of one batch. */
export function lendBatch(): Lease {
  return BATCH;
}
