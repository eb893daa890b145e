/** Users of a discovery server, and the check of a client's credentials. Constant time hides unknown names. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { checkKeys, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { networkOf } from "../../engine/zmtp/handshake-limit.js";
import { RefusalReports } from "../admission/proof.js";
import { LatestMap } from "../bounds.js";
import { plainIp } from "./addresses.js";

const DISCOVERY_PERMISSION = "dynamicDiscovery";

const MAX_USERS = 10_000;

/** A user of a discovery server; it needs the permission `dynamicDiscovery`. */
export interface DiscoveryUser {
  /** For hashed passwords use the server's option `authenticate`. */
  readonly password?: string | undefined;
  /** CURVE public key (Z85, 40 characters) instead of a password. */
  readonly publicKey?: string | undefined;
  /** Default `["dynamicDiscovery"]`. */
  readonly permissions?: readonly string[] | undefined;
}

/** What a client presents: `username` and `password` (PLAIN or HTTP Basic), or `publicKey` (CURVE), or nothing. */
export interface CallerCredentials {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Z85, proved by the handshake. */
  readonly publicKey?: string | undefined;
  /** Source address without port. */
  readonly address: string;
  readonly via: "socket" | "http";
}

/**
 * Decides about a client: `true` admits it, as does a list of permissions with `dynamicDiscovery`. Anything else, a
 * throw or a rejection refuses it, with the event `caller:refused`.
 */
export type DiscoveryAuthenticate = (
  caller: CallerCredentials,
) => boolean | readonly string[] | Promise<boolean | readonly string[]>;

interface KnownUser {
  /** SHA-256 of the password; random without one, so that none fits. */
  readonly digest: Buffer;
  readonly allowed: boolean;
}

export type UserVerdict = "ok" | "credentials" | "permission";

export class UserTable {
  readonly #users = new Map<string, KnownUser>();
  readonly #keys = new Map<string, string>();
  readonly #secret = randomBytes(32);
  /** Keyed hashes of recently correct credentials, which are checked in spite of wrong ones. */
  readonly #remembered = new LatestMap<string, true>(4_096);
  /** Makes unknown names as costly as users. */
  readonly #nobody: KnownUser = { digest: randomBytes(32), allowed: false };

  /** @throws InvalidArgumentError `EINVAL`, never with a password */
  constructor(users: Readonly<Record<string, string | DiscoveryUser>>) {
    const entries = Object.entries(users);
    if (entries.length > MAX_USERS)
      throw new InvalidArgumentError(`users must be at most ${MAX_USERS}; got ${entries.length}`);
    for (const [name, given] of entries) this.#add(name, given);
  }

  get hasPasswords(): boolean {
    return this.#users.size > this.#keys.size;
  }

  get hasKeys(): boolean {
    return this.#keys.size > 0;
  }

  knows(caller: CallerCredentials): boolean {
    return this.#remembered.has(this.#fingerprint(caller));
  }

  check(caller: CallerCredentials): UserVerdict {
    const { username, password, publicKey } = caller;
    if (publicKey !== undefined) {
      const name = this.#keys.get(publicKey);
      if (name === undefined) return "credentials";
      this.#remembered.set(this.#fingerprint(caller), true);
      return this.#users.get(name)?.allowed === true ? "ok" : "permission";
    }
    if (username === undefined || password === undefined) return "credentials";
    const user = this.#users.get(username) ?? this.#nobody;
    if (!timingSafeEqual(digest(password), user.digest)) return "credentials";
    this.#remembered.set(this.#fingerprint(caller), true);
    return user.allowed ? "ok" : "permission";
  }

  #add(name: string, given: string | DiscoveryUser): void {
    if (name === "" || name.includes(":"))
      throw invalidArgument("a user's name must not be empty or contain a colon", name);
    const user: DiscoveryUser = typeof given === "string" ? { password: given } : given;
    checkKeys(`the user ${name}`, user, ["password", "publicKey", "permissions"]);
    const { password, publicKey, permissions = [DISCOVERY_PERMISSION] } = user;
    if ((password === undefined) === (publicKey === undefined))
      throw new InvalidArgumentError(`the user ${name} needs either a password or a publicKey`);
    if (password !== undefined && (typeof password !== "string" || password === ""))
      throw new InvalidArgumentError(`the password of the user ${name} must be a text that is not empty`);
    if (publicKey !== undefined && (typeof publicKey !== "string" || publicKey.length !== 40))
      throw new InvalidArgumentError(`the publicKey of the user ${name} must have 40 characters of Z85`);
    if (!Array.isArray(permissions) || !permissions.every((each) => typeof each === "string"))
      throw invalidArgument(`permissions of the user ${name} must be an array of texts`, permissions);
    this.#users.set(name, {
      digest: password === undefined ? randomBytes(32) : digest(password),
      allowed: permissions.includes(DISCOVERY_PERMISSION),
    });
    if (publicKey === undefined) return;
    if (this.#keys.has(publicKey))
      throw new InvalidArgumentError(
        `the users ${this.#keys.get(publicKey)} and ${name} have the same publicKey`,
      );
    this.#keys.set(publicKey, name);
  }

  #fingerprint({ username = "", password = "", publicKey = "" }: CallerCredentials): string {
    const hmac = createHmac("sha256", this.#secret);
    for (const part of [username, password, publicKey])
      hmac.update(`${Buffer.byteLength(part)}:`).update(part);
    return hmac.digest("base64");
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

// --- Gate ------------------------------------------------------------------------------------------------------------

export const FAILURES = 10;
/** The oldest failures are forgotten. */
export const MAX_SOURCES = 4_096;

/** Why a client was refused. The client is not told. */
export type CallerRefusal =
  /** Unknown user, wrong password or key. */
  | "credentials"
  /** The user lacks `dynamicDiscovery`. */
  | "permission"
  /** Its address failed too often, so the credentials were not checked. */
  | "limited"
  /** `authenticate` threw. */
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

/**
 * Checks the credentials of a discovery server's clients, and limits guesses: a source address has `FAILURES` wrong ones,
 * and gets one back per second. Without any left, credentials are refused unchecked, except those that succeeded before.
 * Unchecked ones do not count: honest clients that try again must not prolong the limit.
 */
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
      const verdict = users?.check(caller) ?? (await this.#ask(caller));
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
    // A program's function may throw for a wrong password.
    if (reason !== "limited") {
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

function sourceOf(address: string): string {
  return networkOf(plainIp(address));
}
