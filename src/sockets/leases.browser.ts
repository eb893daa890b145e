/** Replaces sockets/leases.ts: a page never reuses memory of received messages. */
import type { Lease } from "../engine/lease.js";

/** Not worth it: a page's WebSocket costs far more. */
export const TAKES_MANY = false;

export const KEEPS_COPIES = false;

export const SPINS = false;

export const TRANSFERS = false;

export const SENDS_MANY = false;

export const READINESS = false;

/** Frames keep their memory, however small a part they use. */
const BATCH = { received: (frames: Buffer[]) => frames, keep() {}, release() {} } as Lease;

export function lendBatch(): Lease {
  return BATCH;
}
