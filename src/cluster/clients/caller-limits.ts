/**
 * How often callers may be wrong. Pure; the caller has the clock. Each source address has a bucket of failures that refills
 * with time; under an attack from many addresses, only a share of those that never were right is let in.
 *
 *   level > 0             its credentials are looked at
 *   level ≤ 0             refused unseen, but for credentials that were right before
 *   level ≤ -BLOCKED      not let in at all, before a handshake or a request is read
 *
 * A stranger is an address without a success. While strangers of one network (a /16 of IPv4, a /32 of IPv6) fail more than
 * NETWORK_FAILURES a second for long, or all of them more than STRANGER_FAILURES, only a part of them is let in: in each window of time
 * other addresses, drawn with a secret, so each has its turn and an attacker cannot choose. Addresses that were right before
 * have their own bucket alone, and while they are blocked one connection each KNOWN_INTERVAL is let in, for credentials that
 * were right before. All tables are bounded: what was used least recently gives way.
 */
import { isIPv4 } from "node:net";
import { plainIp } from "./addresses.js";

/** Failures that an address has at once, and one more after so many ms. */
export const FAILURES = 10;
export const FAILURE_INTERVAL = 1_000;
/** Failures past its own for which an address is not let in; its debt grows no further. */
export const BLOCKED = 50;
/** ms between two connections that are let in of a blocked address that was right before; how far they may be ahead of it. */
export const KNOWN_INTERVAL = 20;
const KNOWN_DEBT = 64;
/** Source addresses that are remembered; of IPv6, networks of 64 bits. */
export const MAX_SOURCES = 4_096;
/** Failures a second of strangers: of one network, and of all. */
export const NETWORK_FAILURES = 100;
export const STRANGER_FAILURES = 400;
/** Networks of strangers that failed, and addresses that were right, that are remembered. */
export const MAX_NETWORKS = 1_024;
export const MAX_KNOWN = 16_384;
/** Seconds of failures at the full rate that may come at once. */
const BURST_SECONDS = 3;
/** ms for which one draw of the strangers that are let in holds. */
const WINDOW = 250;
/** The least share of strangers that is let in; growth of the share in a window with fewer failures. */
const MIN_SHARE = 0.001;
const SHARE_GROWTH = 1.5;

/** What an address may do now. */
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

  /** @param secret a whole number of 32 bits that callers do not know */
  constructor(secret: number) {
    this.#secret = secret;
  }

  /** What is remembered. */
  get sizes(): { readonly sources: number; readonly known: number; readonly networks: number } {
    return { sources: this.#sources.size, known: this.#known.size, networks: this.#networks.size };
  }

  /** What the address has done itself. */
  state(now: number, address: string): SourceState {
    return this.#stateOf(now, keyOf(address));
  }

  /** Whether connections of an address are let in now: the same answer however often it is asked at one time. */
  admits(now: number, address: string): boolean {
    const key = keyOf(address);
    if (this.#stateOf(now, key) === "blocked") return false;
    if (this.#known.has(key)) return true;
    if (!this.#all.admits(now, key, this.#secret)) return false;
    return this.#networks.get(networkOf(key))?.admits(now, key, this.#secret) !== false;
  }

  /** Counts a refusal, or a peer that broke the protocol. */
  onFailure(now: number, address: string): void {
    const key = keyOf(address);
    const bucket = this.#sources.get(key) ?? { level: FAILURES, at: now };
    const isKnown = this.#known.has(key);
    fill(bucket, now, isKnown);
    const isOwn = bucket.level <= 0;
    bucket.level = Math.max(-BLOCKED - (isKnown ? KNOWN_DEBT : 1), bucket.level - 1);
    renew(this.#sources, key, bucket, MAX_SOURCES);
    // One address that has used up its own failures is no reason to keep its network out.
    if (isOwn || isKnown) return;
    const network = networkOf(key);
    const share = this.#networks.get(network) ?? new StrangerShare(NETWORK_FAILURES);
    renew(this.#networks, network, share, MAX_NETWORKS);
    share.onFailure(now);
    this.#all.onFailure(now);
  }

  /** Credentials of this address were right. */
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
 * Which share of strangers is let in. Failures take from a bucket; once that is empty the share falls with each window of too
 * many failures, and rises with each other one.
 */
class StrangerShare {
  /** Failures a window. */
  readonly #allowed: number;
  readonly #most: number;
  #level: number;
  #window = 0;
  #failures = 0;
  #share = 1;

  /** @param rate failures a second */
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

/** A blocked address that was right before gets back to the edge of that faster: honest callers behind it have their turn. */
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

/** Sets an entry as the newest; past `most` the oldest goes. */
function renew<V>(table: Map<string, V>, key: string, value: V, most: number): void {
  table.delete(key);
  table.set(key, value);
  for (const oldest of table.keys()) {
    if (table.size <= most) break;
    table.delete(oldest);
  }
}

/** A number from 0 to 1 of an address in a window: FNV-1a with the secret, and the finalizer of MurmurHash3. */
function drawOf(key: string, secret: number, window: number): number {
  let hash = secret ^ Math.imul(window, 0x9e3779b1);
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
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

/** The half of a key: the first 16 bits of an address of IPv4, the first 32 of one of IPv6. */
function networkOf(key: string): string {
  const separator = key.includes(":") ? ":" : ".";
  const second = key.indexOf(separator, key.indexOf(separator) + 1);
  return second < 0 ? key : key.slice(0, second);
}
