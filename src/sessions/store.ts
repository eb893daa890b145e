/**
 * Stores of sessions: their interface, and the store in memory. Other stores than those in this folder must pass
 * `checkSessionStore` (test/sessions/store-contract.ts).
 *
 * transactions.ts keeps all promises with these four calls; a store has no rules:
 *
 *   read keys ──> decide ──> commit: the checks hold? ──yes──> all writes are durable
 *        ^                            └──no: another server was faster
 *        └────────────────────────────┘
 */

import { ClosedError } from "../core/errors.js";
import { PAGE } from "./records.js";

export interface SessionStoreValue {
  readonly value: Buffer;
  /** Greater than 0, and new with each write. */
  readonly version: number;
}

export interface SessionStoreEntry extends SessionStoreValue {
  readonly key: string;
}

/** The version that a key must still have; 0: missing. */
export interface SessionStoreCheck {
  readonly key: string;
  readonly version: number;
}

/** `undefined` removes the key. */
export interface SessionStoreWrite {
  readonly key: string;
  readonly value: Buffer | undefined;
}

export interface SessionStoreScan {
  /** Included. */
  readonly from: string;
  /** Excluded. */
  readonly to: string;
  readonly limit: number;
  /** Most bytes of values; the first entry may be larger. */
  readonly maxBytes: number;
}

/**
 * A store of sessions. Keys are ASCII texts of at most 200 characters, ordered by bytes. Calls can be concurrent, also
 * from several processes. Each rejects with a StoreError, or ClosedError `EBADF` after `close`.
 */
export interface SessionStore {
  readonly name: string;
  /** Values in the keys' order, `undefined` for missing ones. Sees all earlier commits. */
  read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]>;
  /** Entries in the order of keys. */
  scan(range: SessionStoreScan): Promise<readonly SessionStoreEntry[]>;
  /**
   * Writes all or nothing, durably. Of two commits that each write a key checked by the other, at most one succeeds.
   *
   * @returns `false` if a check failed
   * @throws StoreError `outcome-unknown` if it may have been written; otherwise it was not
   */
  commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean>;
  close(): Promise<void>;
}

export async function readMany(
  store: SessionStore,
  keys: readonly string[],
): Promise<(SessionStoreValue | undefined)[]> {
  const values: (SessionStoreValue | undefined)[] = [];
  for (let at = 0; at < keys.length; at += PAGE)
    values.push(...(await store.read(keys.slice(at, at + PAGE))));
  return values;
}

/**
 * A {@link SessionStore} in memory, for tests and sessions that may end with the process.
 * {@link SessionServer} has an example.
 */
export class MemorySessionStore implements SessionStore {
  readonly name = "memory";
  readonly #values = new Map<string, SessionStoreValue>();
  /** Sorted: adding or removing a key takes 5 µs among 10,000 keys, 30 µs among 100,000. */
  readonly #keys: string[] = [];
  #version = 0;
  #closed = false;

  async read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]> {
    this.#assertOpen();
    return keys.map((key) => this.#values.get(key));
  }

  async scan({ from, to, limit, maxBytes }: SessionStoreScan): Promise<readonly SessionStoreEntry[]> {
    this.#assertOpen();
    const found: SessionStoreEntry[] = [];
    let bytes = 0;
    for (let at = firstAtLeast(this.#keys, from); at < this.#keys.length && found.length < limit; at++) {
      const key = this.#keys[at] as string;
      if (key >= to) break;
      const entry = this.#values.get(key) as SessionStoreValue;
      bytes += entry.value.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push({ key, ...entry });
    }
    return found;
  }

  async commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean> {
    this.#assertOpen();
    for (const { key, version } of checks) {
      if ((this.#values.get(key)?.version ?? 0) !== version) return false;
    }
    this.#version += 1;
    for (const { key, value } of writes) {
      if (value === undefined) {
        if (this.#values.delete(key)) this.#keys.splice(firstAtLeast(this.#keys, key), 1);
        continue;
      }
      if (!this.#values.has(key)) this.#keys.splice(firstAtLeast(this.#keys, key), 0, key);
      this.#values.set(key, { value, version: this.#version });
    }
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#values.clear();
    this.#keys.length = 0;
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError("EBADF", "The store is closed");
  }
}

function firstAtLeast(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
