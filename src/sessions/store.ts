/**
 * The interface of a store of sessions. Other stores than those in this folder must pass `checkSessionStore`
 * (test/sessions/store-contract.ts).
 *
 * transactions.ts keeps all promises with these four calls; a store has no rules:
 *
 *   read keys ──> decide ──> commit: the checks hold? ──yes──> all writes are durable
 *        ^                            └──no: another server was faster
 *        └────────────────────────────┘
 */

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
