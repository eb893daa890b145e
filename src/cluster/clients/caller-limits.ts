/**
 * Limits failed authentication (docs/discovery.md). Each source address has a bucket of failures that
 * refills.
 *
 *   level > 0             credentials are checked
 *   level ≤ 0             refused unchecked, except credentials that succeeded before
 *   level ≤ -BLOCKED      not admitted: neither handshake nor request is read
 *
 * If unknown addresses (without a success), of one network or in total, fail too often, only a share of them
 * is admitted. Each window draws others with a secret: each gets a turn, and attackers cannot choose. Blocked
 * known addresses are admitted once per KNOWN_INTERVAL. Full tables evict the least recently used entry.
 */
import { isIPv4 } from "node:net";
import { plainIp } from "./addresses.js";

/** Initial level of an address, and ms until another failure. */
export const FAILURES = 10;
const FAILURE_INTERVAL = 1_000;
/** Failures beyond the limit that block an address. */
export const BLOCKED = 50;
/** ms between connections of a blocked known address, and how far they may run ahead. */
const KNOWN_INTERVAL = 20;
const KNOWN_DEBT = 64;
/** IPv6 addresses by /64. */
export const MAX_SOURCES = 4_096;
/** Failures per second of unknown addresses, per network and in total. */
export const NETWORK_FAILURES = 100;
export const STRANGER_FAILURES = 400;
export const MAX_NETWORKS = 1_024;
export const MAX_KNOWN = 16_384;
const BURST_SECONDS = 3;
/** ms of a draw. */
const WINDOW = 250;
/** Smallest admitted share, and its growth per window with few failures. */
const MIN_SHARE = 0.001;
const SHARE_GROWTH = 1.5;

export type SourceState = "open" | "limited" | "blocked";

interface Bucket {
  level: number;
  at: number;
}

export class CallerLimits {
  readonly #secret: number;
  readonly #sources = new Map<string, Bucket>();
  readonly #known = new Set<string>();
  readonly #networks = new Map<string, StrangerShare>();
  readonly #all = new StrangerShare(STRANGER_FAILURES);

  constructor(secret: number) {
    this.#secret = secret;
  }

  get sizes(): { readonly sources: number; readonly known: number; readonly networks: number } {
    return { sources: this.#sources.size, known: this.#known.size, networks: this.#networks.size };
  }

  state(now: number, address: string): SourceState {
    return this.#stateOf(now, keyOf(address));
  }

  /** Returns the same for the same time. */
  admits(now: number, address: string): boolean {
    const key = keyOf(address);
    if (this.#stateOf(now, key) === "blocked") return false;
    if (this.#known.has(key)) return true;
    if (!this.#all.admits(now, key, this.#secret)) return false;
    return this.#networks.get(networkOf(key))?.admits(now, key, this.#secret) !== false;
  }

  onFailure(now: number, address: string): void {
    const key = keyOf(address);
    const bucket = this.#sources.get(key) ?? { level: FAILURES, at: now };
    const isKnown = this.#known.has(key);
    fill(bucket, now, isKnown);
    const isOwn = bucket.level <= 0;
    bucket.level = Math.max(-BLOCKED - (isKnown ? KNOWN_DEBT : 1), bucket.level - 1);
    renew(this.#sources, key, bucket, MAX_SOURCES);
    // One address must not block its network.
    if (isOwn || isKnown) return;
    const network = networkOf(key);
    const share = this.#networks.get(network) ?? new StrangerShare(NETWORK_FAILURES);
    renew(this.#networks, network, share, MAX_NETWORKS);
    share.onFailure(now);
    this.#all.onFailure(now);
  }

  onSuccess(address: string): void {
    const key = keyOf(address);
    this.#known.delete(key);
    this.#known.add(key);
    for (const oldest of this.#known) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(oldest);
    }
  }

  #stateOf(now: number, key: string): SourceState {
    const bucket = this.#sources.get(key);
    if (bucket === undefined) return "open";
    fill(bucket, now, this.#known.has(key));
    if (bucket.level > 0) return "open";
    return bucket.level > -BLOCKED ? "limited" : "blocked";
  }
}

/**
 * Failures drain a bucket; while it is empty, the share falls after windows with many failures and rises
 * after others.
 */
class StrangerShare {
  readonly #allowed: number;
  readonly #most: number;
  #level: number;
  #window = 0;
  #failures = 0;
  #share = 1;

  constructor(rate: number) {
    this.#allowed = (rate * WINDOW) / 1_000;
    this.#most = rate * BURST_SECONDS;
    this.#level = this.#most;
  }

  admits(now: number, key: string, secret: number): boolean {
    this.#turnTo(now);
    return this.#share >= 1 || drawOf(key, secret, this.#window) < this.#share;
  }

  onFailure(now: number): void {
    this.#turnTo(now);
    this.#failures += 1;
    this.#level -= 1;
  }

  #turnTo(now: number): void {
    const window = Math.floor(now / WINDOW);
    const passed = window - this.#window;
    if (passed <= 0) return;
    this.#window = window;
    const isTooMuch = this.#level < 0 && this.#failures > this.#allowed;
    if (isTooMuch) this.#share = Math.max(MIN_SHARE, (this.#share * this.#allowed) / this.#failures);
    this.#share = Math.min(1, this.#share * SHARE_GROWTH ** (passed - (isTooMuch ? 1 : 0)));
    this.#failures = 0;
    this.#level = Math.min(this.#most, Math.max(0, this.#level) + passed * this.#allowed);
  }
}

/** Blocked known addresses recover faster, for their honest clients. */
function fill(bucket: Bucket, now: number, isKnown: boolean): void {
  let passed = Math.max(0, now - bucket.at);
  bucket.at = now;
  const edge = 1 - BLOCKED;
  if (isKnown && bucket.level < edge) {
    const fast = Math.min(passed, (edge - bucket.level) * KNOWN_INTERVAL);
    bucket.level += fast / KNOWN_INTERVAL;
    passed -= fast;
  }
  bucket.level = Math.min(FAILURES, bucket.level + passed / FAILURE_INTERVAL);
}

/** Evicts the oldest. */
function renew<V>(table: Map<string, V>, key: string, value: V, most: number): void {
  table.delete(key);
  table.set(key, value);
  for (const oldest of table.keys()) {
    if (table.size <= most) break;
    table.delete(oldest);
  }
}

/** Pseudorandom, 0 to 1: FNV-1a with the secret, finalized as in MurmurHash3. */
function drawOf(key: string, secret: number, window: number): number {
  let hash = secret ^ Math.imul(window, 0x9e3779b1);
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** IPv6 by /64, as one host has all of it. */
function keyOf(address: string): string {
  const ip = plainIp(address);
  if (isIPv4(ip) || !ip.includes(":")) return ip;
  const [head = "", tail = ""] = ip.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === "" ? [] : tail.split(":");
  const zeros = ip.includes("::") ? Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0") : [];
  return [...first, ...zeros, ...last].slice(0, 4).join(":");
}

/** First 16 bits of IPv4, 32 of IPv6. */
function networkOf(key: string): string {
  const separator = key.includes(":") ? ":" : ".";
  const second = key.indexOf(separator, key.indexOf(separator) + 1);
  return second < 0 ? key : key.slice(0, second);
}
