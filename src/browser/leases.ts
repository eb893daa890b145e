/** What becomes of the memory that messages were received in: a page has no choice; stands in for sockets/leases.ts. */
import { WAIT_OPTIONS } from "../core/waiter.js";

export { WAIT_OPTIONS as RECEIVE_OPTIONS };

export function leaseFor(): undefined {}
