/**
 * The interface of a store of sessions. Stores in memory, on LMDB and in PostgreSQL are in this folder. Others have to pass
 * `checkSessionStore` (test/sessions/store-contract.ts).
 *
 * All promises of sessions are kept by transactions.ts with these four calls, so a store has no rules:
 *
 *   read keys ──> decide ──> commit: the checks hold? ──yes──> all writes are durable
 *        ^                            └──no: another server was faster
 *        └────────────────────────────┘
 */

import { PAGE } from "./bounds.js";

/** A value in the store. */
export interface SessionStoreValue {
  readonly value: Buffer;
  /** Greater than 0; each write gives the key a new version. */
  readonly version: number;
}

/** A value and its key. */
export interface SessionStoreEntry extends SessionStoreValue {
  readonly key: string;
}

/** The version that a key must still have; 0: the key must be missing. */
export interface SessionStoreCheck {
  readonly key: string;
  readonly version: number;
}

/** A new value of a key; `undefined` removes the key. */
export interface SessionStoreWrite {
  readonly key: string;
  readonly value: Buffer | undefined;
}

/** The range of {@link SessionStore.scan}. */
export interface SessionStoreScan {
  /** The first key, included. */
  readonly from: string;
  /** The last key, excluded. */
  readonly to: string;
  /** The greatest number of entries. */
  readonly limit: number;
  /** The greatest sum of bytes of values; the first entry may be larger. */
  readonly maxBytes: number;
}

/**
 * A store of sessions. Keys are ASCII texts of at most 200 characters, ordered by their bytes. Calls can be concurrent, from
 * several processes if they share the store. Each rejects with a StoreError, or ClosedError `EBADF` after `close`.
 */
export interface SessionStore {
  /** For texts: "lmdb", "postgres", … */
  readonly name: string;
  /** The value of each key, in the order of the argument; `undefined` if it is missing. Sees all earlier commits. */
  read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]>;
  /** Entries of a range, in the order of their keys. */
  scan(range: SessionStoreScan): Promise<readonly SessionStoreEntry[]>;
  /**
   * Writes all or nothing. Of two commits that each write a key which the other checks, at most one succeeds. Writes are durable
   * when it settles with `true`.
   *
   * @returns `false` if a check failed: nothing was written
   * @throws StoreError `outcome-unknown` if it may have been written; with any other reason it was not
   */
  commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean>;
  /** Finishes pending calls, and closes. */
  close(): Promise<void>;
}

/** Reads any number of keys, a page at a time. */
export async function readMany(
  store: SessionStore,
  keys: readonly string[],
): Promise<(SessionStoreValue | undefined)[]> {
  const values: (SessionStoreValue | undefined)[] = [];
  for (let at = 0; at < keys.length; at += PAGE)
    values.push(...(await store.read(keys.slice(at, at + PAGE))));
  return values;
}
