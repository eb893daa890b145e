/** Replaces sockets/leases.ts: a page never reuses memory of received messages. */
import type { Lease } from "../engine/lease.js";

/** A page's WebSocket costs far more than these save. */
export const TAKES_MANY = false;

export const KEEPS_COPIES = false;

export const SPINS = false;

export const TRANSFERS = false;

export const READINESS = false;

const BATCH = { keep() {}, release() {} } as Lease;

export function lendBatch(): Lease {
  return BATCH;
}
