/**
 * Connection gater of a discovery server: checks credentials and limits failures.
 *
 *   blocked address ──> not admitted          limited address ──> refused unchecked, except credentials that succeeded before
 *   open ──> users or function ──> the permission dynamicDiscovery ──> admitted
 */
import { randomBytes } from "node:crypto";
import { CallerLimits } from "./caller-limits.js";
import {
  type CallerCredentials,
  DISCOVERY_PERMISSION,
  type DiscoveryAuthenticate,
  type UserTable,
} from "./users.js";

/** Not told to the client. */
export type CallerRefusal =
  | "credentials"
  /** `dynamicDiscovery` is missing. */
  | "permission"
  /** Credentials were not checked: its address failed too often. */
  | "limited"
  /** Too many password hashes. */
  | "busy"
  /** `authenticate` threw, or memory ran out. */
  | "failed";

export class CallerGate {
  readonly #users: UserTable | undefined;
  readonly #authenticate: DiscoveryAuthenticate | undefined;
  readonly #limits = new CallerLimits(randomBytes(4).readInt32LE());
  readonly #onRefused: (caller: CallerCredentials, reason: CallerRefusal, error?: unknown) => void;

  constructor(
    by: { readonly users?: UserTable | undefined; readonly authenticate?: DiscoveryAuthenticate | undefined },
    onRefused: (caller: CallerCredentials, reason: CallerRefusal, error?: unknown) => void,
  ) {
    this.#users = by.users;
    this.#authenticate = by.authenticate;
    this.#onRefused = onRefused;
  }

  admits(now: number, address: string): boolean {
    return this.#limits.admits(now, address);
  }

  /** @param now clock in ms */
  async allows(caller: CallerCredentials, now: () => number): Promise<boolean> {
    const isOpen = this.#limits.state(now(), caller.address) === "open";
    if (!isOpen && this.#users?.knows(caller) !== true) return this.#refuse(caller, "limited", now());
    let permissions: unknown;
    try {
      if (this.#users !== undefined) {
        const verdict = await this.#users.check(caller);
        if (verdict === "ok") return this.#accept(caller);
        return this.#refuse(caller, verdict === "wrong" ? "credentials" : verdict, now());
      }
      permissions = await this.#authenticate?.(caller);
    } catch (error) {
      return this.#refuse(caller, "failed", now(), error);
    }
    if (permissions === true) return this.#accept(caller);
    if (!Array.isArray(permissions)) return this.#refuse(caller, "credentials", now());
    return permissions.includes(DISCOVERY_PERMISSION)
      ? this.#accept(caller)
      : this.#refuse(caller, "permission", now());
  }

  onInvalid(now: number, address: string): void {
    this.#limits.onFailure(now, address);
  }

  #accept(caller: CallerCredentials): true {
    this.#limits.onSuccess(caller.address);
    return true;
  }

  #refuse(caller: CallerCredentials, reason: CallerRefusal, now: number, error?: unknown): false {
    this.#limits.onFailure(now, caller.address);
    this.#onRefused(caller, reason, error);
    return false;
  }
}
