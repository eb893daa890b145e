/** Why nodes are refused, and how often refusals are reported: once per minute for each address and reason. Pure. */

import { TokenBucket } from "../../core/rate-meter.js";
import { LatestMap } from "../bounds.js";

export const REFUSED_REASONS = [
  /** The node has another password or key. */
  "password",
  "key",
  /** The node has no key, unlike this one's cluster. */
  "unsealed",
  /** The node is in another cluster. */
  "cluster",
  /** The node's certificate is missing or not accepted. */
  "certificate",
  /** Only one of the two nodes speaks TLS. */
  "tls",
  /** A packet was recorded, or belongs to another stream. */
  "replayed",
  /** A packet names a key of the cluster and was not sealed by it. */
  "forged",
  /** The node proved no key, or not the key of the member that it claims to be. */
  "identity",
  /** The node's own key is not allowed. */
  "denied",
  /** Another node is linked under the node's address. */
  "address",
  /** The other node refused this one, and reports the reason there. */
  "peer",
] as const;
export type RefusedReason = (typeof REFUSED_REASONS)[number];

export class RefusalReports {
  /** Time of the last report for each. */
  readonly #reported = new LatestMap<string, number>(256);
  readonly #bucket = new TokenBucket(8, 1, 0);

  get size(): number {
    return this.#reported.size;
  }

  allows(now: number, host: string, reason: string): boolean {
    const name = `${host} ${reason}`;
    const before = this.#reported.get(name);
    if (before !== undefined && now - before < 60_000) return false;
    if (!this.#bucket.take(now)) return false;
    this.#reported.set(name, now);
    return true;
  }
}
