/**
 * The interface of a store of sessions: values by key, of which several are written together or not at all. Stores in
 * memory, on LMDB and in PostgreSQL are in this folder. A program can bring another one, which has to pass
 * `checkSessionStore` of the tests (test/sessions/store-contract.ts).
 *
 * All that sessions promise is decided by transactions.ts with these four calls, so that a store has no rules of its own:
 *
 *   read keys ──> decide ──> commit: the checks hold? ──yes──> all writes are durable
 *        ^                            └──no: another server was faster
 *        └────────────────────────────┘
 */

/** A value as it is kept. */
export interface SessionStoreValue {
  readonly value: Buffer;
  /** Another one after each write of the key, never one that the key had before; greater than 0. */
  readonly version: number;
}

/** A value with its key. */
export interface SessionStoreEntry extends SessionStoreValue {
  readonly key: string;
}

/** A key has to have this version still; 0: it must not be there. */
export interface SessionStoreCheck {
  readonly key: string;
  readonly version: number;
}

/** A key gets a value; `undefined`: it is removed. */
export interface SessionStoreWrite {
  readonly key: string;
  readonly value: Buffer | undefined;
}

/** How much {@link SessionStore.scan} returns. */
export interface SessionStoreScan {
  /** Keys from this one on. */
  readonly from: string;
  /** Keys before this one. */
  readonly to: string;
  /** Entries at most. */
  readonly limit: number;
  /** Bytes of values after which no further entry is returned; the first entry is returned in any case. */
  readonly maxBytes: number;
}

/**
 * A store of sessions. Keys are ASCII texts of at most 200 characters, and are ordered by their bytes. All methods may be
 * called at the same time, by several processes where the store is shared. Each rejects with a StoreError, or ClosedError
 * `EBADF` after `close`.
 */
export interface SessionStore {
  /** For messages: "lmdb", "postgres", … */
  readonly name: string;
  /** The value of each key, in the keys' order; `undefined` where there is none. A value that was committed before is seen. */
  read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]>;
  /** Entries of a range of keys, in the keys' order. */
  scan(range: SessionStoreScan): Promise<readonly SessionStoreEntry[]>;
  /**
   * Writes all or nothing. Two commits of which each writes what the other one checks never both succeed. What it settles
   * with `true` is durable as the store understands it.
   *
   * @returns `false`: a check did not hold, and nothing was written
   * @throws StoreError `outcome-unknown` where it may have been written; with any other reason it was not
   */
  commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean>;
  /** Finishes what was begun and closes. */
  close(): Promise<void>;
}
