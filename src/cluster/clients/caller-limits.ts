/**
 * How often a source address may be wrong. Pure; the caller has the clock. Each address has a bucket of failures that
 * refills with time, in a table that is bounded: the address that failed least recently gives way.
 *
 *   level > 0             its credentials are looked at
 *   level ≤ 0             refused unseen, but for credentials that were right before
 *   level ≤ -BLOCKED      not let in at all, before a handshake or a request is read
 */
import { isIPv4 } from "node:net";
import { plainIp } from "./addresses.js";

/** Failures that an address has at once, and one more after so many ms. */
export const FAILURES = 10;
export const FAILURE_INTERVAL = 1_000;
/** Failures past its own for which an address is not let in; its debt grows no further. */
export const BLOCKED = 50;
/** Source addresses that are remembered; of IPv6, networks of 64 bits. */
export const MAX_SOURCES = 4_096;

/** What an address may do now. */
export type SourceState = "open" | "limited" | "blocked";

interface Bucket {
  level: number;
  at: number;
}

export class CallerLimits {
  readonly #sources = new Map<string, Bucket>();

  get size(): number {
    return this.#sources.size;
  }

  state(now: number, address: string): SourceState {
    const bucket = this.#sources.get(keyOf(address));
    if (bucket === undefined) return "open";
    fill(bucket, now);
    if (bucket.level > 0) return "open";
    return bucket.level > -BLOCKED ? "limited" : "blocked";
  }

  /** Counts a refusal. */
  onFailure(now: number, address: string): void {
    const key = keyOf(address);
    const bucket = this.#sources.get(key) ?? { level: FAILURES, at: now };
    fill(bucket, now);
    bucket.level = Math.max(-BLOCKED - 1, bucket.level - 1);
    this.#sources.delete(key);
    this.#sources.set(key, bucket);
    for (const oldest of this.#sources.keys()) {
      if (this.#sources.size <= MAX_SOURCES) break;
      this.#sources.delete(oldest);
    }
  }
}

function fill(bucket: Bucket, now: number): void {
  bucket.level = Math.min(FAILURES, bucket.level + Math.max(0, now - bucket.at) / FAILURE_INTERVAL);
  bucket.at = now;
}

/** An address, or of IPv6 its network: one host has a whole one. */
function keyOf(address: string): string {
  const ip = plainIp(address);
  if (isIPv4(ip) || !ip.includes(":")) return ip;
  const [head = "", tail = ""] = ip.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === "" ? [] : tail.split(":");
  const zeros = ip.includes("::") ? Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0") : [];
  return [...first, ...zeros, ...last].slice(0, 4).join(":");
}
