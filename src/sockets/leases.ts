/** Leases for batches of received messages, and constant flags that let a page's build omit code. */
import { Lease } from "../engine/lease.js";

/** Whether messages are taken in groups. */
export const TAKES_MANY = true as boolean;

/** Whether the engine copies waiting messages. */
export const KEEPS_COPIES = true as boolean;

export const SPINS = true as boolean;

/** Whether the engine passes on frames given away. */
export const TRANSFERS = true as boolean;

export const READINESS = true as boolean;

export function lendBatch(): Lease {
  return new Lease();
}
