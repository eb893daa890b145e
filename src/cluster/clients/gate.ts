/**
 * Checks the credentials of a discovery server's clients, and limits guesses: a source address has
 * `FAILURES` wrong ones, and gets one back per second. Without any left, credentials are refused unchecked,
 * except those that succeeded before. Unchecked ones do not count: honest clients that try again must not
 * prolong the limit.
 */
import { isIPv4 } from "node:net";
import { plainIp } from "./addresses.js";
import {
  type CallerCredentials,
  DISCOVERY_PERMISSION,
  type DiscoveryAuthenticate,
  type UserTable,
} from "./users.js";

export const FAILURES = 10;
const FAILURE_INTERVAL = 1_000;
/** Least recently refused ones are forgotten. */
export const MAX_SOURCES = 4_096;
/** ms between reports of an address, and reports per interval of all. */
const REPORT_INTERVAL = 1_000;
const MAX_REPORTS = 32;

/** Why a client was refused. The client is not told. */
export type CallerRefusal =
  /** Unknown user, wrong password or key. */
  | "credentials"
  /** The user lacks `dynamicDiscovery`. */
  | "permission"
  /** Its address failed too often, so the credentials were not checked. */
  | "limited"
  /** Too many password hashes are computed already. */
  | "busy"
  /** `authenticate` threw, or memory ran out. */
  | "failed";

interface Source {
  failures: number;
  at: number;
  unreported: number;
  reportedAt: number;
}

export interface CallerGateOptions {
  readonly users?: UserTable | undefined;
  readonly authenticate?: DiscoveryAuthenticate | undefined;
  /** @param count refusals of its address since the last report */
  report(caller: CallerCredentials, reason: CallerRefusal, count: number, error?: unknown): void;
  readonly now?: () => number;
}

export class CallerGate {
  readonly #options: CallerGateOptions;
  readonly #now: () => number;
  readonly #sources = new Map<string, Source>();
  #reportsSince = Number.NEGATIVE_INFINITY;
  #reports = 0;
  refused = 0;

  constructor(options: CallerGateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get sources(): number {
    return this.#sources.size;
  }

  async allows(caller: CallerCredentials): Promise<boolean> {
    const { users } = this.#options;
    const source = this.#sources.get(sourceOf(caller.address));
    const isLimited = source !== undefined && failuresOf(source, this.#now()) > FAILURES - 1;
    if (isLimited && users?.knows(caller) !== true) return this.#refuse(caller, "limited");
    try {
      const verdict = await (users === undefined ? this.#ask(caller) : users.check(caller));
      return verdict === "ok" || this.#refuse(caller, verdict);
    } catch (error) {
      return this.#refuse(caller, "failed", error);
    }
  }

  async #ask(caller: CallerCredentials): Promise<"ok" | CallerRefusal> {
    const permissions: unknown = await this.#options.authenticate?.(caller);
    if (permissions === true) return "ok";
    if (!Array.isArray(permissions)) return "credentials";
    return permissions.includes(DISCOVERY_PERMISSION) ? "ok" : "permission";
  }

  #refuse(caller: CallerCredentials, reason: CallerRefusal, error?: unknown): false {
    this.refused += 1;
    const now = this.#now();
    const key = sourceOf(caller.address);
    const source = this.#sources.get(key) ?? { failures: 0, at: now, unreported: 0, reportedAt: -Infinity };
    // A program's function may throw for a wrong password; a table of users throws only without memory.
    const hasThrown = reason === "failed" && this.#options.users === undefined;
    const isWrong = reason === "credentials" || reason === "permission" || hasThrown;
    // Above the limit if many were checked at once.
    source.failures = failuresOf(source, now) + (isWrong ? 1 : 0);
    source.at = now;
    source.unreported += 1;
    this.#sources.delete(key);
    this.#sources.set(key, source);
    const [oldest] = this.#sources.keys();
    if (this.#sources.size > MAX_SOURCES) this.#sources.delete(oldest as string);
    if (now - this.#reportsSince >= REPORT_INTERVAL) {
      this.#reportsSince = now;
      this.#reports = 0;
    }
    if (now - source.reportedAt >= REPORT_INTERVAL && this.#reports < MAX_REPORTS) {
      this.#reports += 1;
      const { unreported } = source;
      source.unreported = 0;
      source.reportedAt = now;
      this.#options.report(caller, reason, unreported, error);
    }
    return false;
  }
}

function failuresOf({ failures, at }: Source, now: number): number {
  return Math.max(0, failures - (now - at) / FAILURE_INTERVAL);
}

/** IPv6 by /64, as one host has all of it. */
function sourceOf(address: string): string {
  const ip = plainIp(address);
  if (isIPv4(ip) || !ip.includes(":")) return ip;
  const [head = "", tail = ""] = ip.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === "" ? [] : tail.split(":");
  const zeros = ip.includes("::") ? Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0") : [];
  return [...first, ...zeros, ...last].slice(0, 4).join(":");
}
