/**
 * Checks the credentials of a discovery server's clients, and limits guesses: a source address has
 * `FAILURES` wrong ones, and gets one back per second. Without any left, credentials are refused unchecked,
 * except those that succeeded before. Unchecked ones do not count: honest clients that try again must not
 * prolong the limit.
 */
import { isIPv4 } from "node:net";
import { RefusalReports } from "../admission/refusals.js";
import { LatestMap } from "../bounds.js";
import { plainIp } from "./addresses.js";
import {
  type CallerCredentials,
  DISCOVERY_PERMISSION,
  type DiscoveryAuthenticate,
  type UserTable,
} from "./users.js";

export const FAILURES = 10;
/** Those whose last failure is oldest are forgotten. */
export const MAX_SOURCES = 4_096;

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
  readonly failures: number;
  readonly at: number;
}

export interface CallerGateOptions {
  readonly users?: UserTable | undefined;
  readonly authenticate?: DiscoveryAuthenticate | undefined;
  report(caller: CallerCredentials, reason: CallerRefusal, error?: unknown): void;
}

export class CallerGate {
  readonly #options: CallerGateOptions;
  readonly #sources = new LatestMap<string, Source>(MAX_SOURCES);
  readonly #reports = new RefusalReports();
  refused = 0;

  constructor(options: CallerGateOptions) {
    this.#options = options;
  }

  async allows(caller: CallerCredentials): Promise<boolean> {
    const { users } = this.#options;
    const source = this.#sources.get(sourceOf(caller.address));
    const isLimited = failuresOf(source, performance.now()) > FAILURES - 1;
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
    const now = performance.now();
    const key = sourceOf(caller.address);
    // A program's function may throw for a wrong password; a table of users throws only without memory.
    const hasThrown = reason === "failed" && this.#options.users === undefined;
    if (reason === "credentials" || reason === "permission" || hasThrown) {
      // Above the limit if many were checked at once.
      const failures = failuresOf(this.#sources.get(key), now) + 1;
      this.#sources.set(key, { failures, at: now });
    }
    if (this.#reports.allows(now, key, reason)) this.#options.report(caller, reason, error);
    return false;
  }
}

function failuresOf(source: Source | undefined, now: number): number {
  return source === undefined ? 0 : Math.max(0, source.failures - (now - source.at) / 1_000);
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
