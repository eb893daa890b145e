/**
 * Where a clone's server keeps its map, so that it outlives all processes. One on
 * LMDB is here (lmdb-store.ts); a program can bring another.
 */

/** A key that was set, or deleted when `value` is `undefined`. */
export interface StoredChange {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
  /** Of the update; changes come in its order. */
  readonly sequence: number;
  /** 16 bytes, or none. */
  readonly uuid: Buffer;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** A key as it is kept. */
export interface StoredEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly sequence: number;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** What a store knows beside its entries. */
export interface StoredState {
  /** Of the last change. */
  readonly sequence: number;
  /** UUIDs of the last changes, the oldest first. */
  readonly uuids: readonly Buffer[];
  /** Entries that cannot be read. They are left out, and stay where they are. */
  readonly damaged: number;
}

/** Takes a whole map in place of the one that is kept; until `finish` settles the old one stays. */
export interface StoreReplacement {
  add(entries: readonly StoredEntry[]): Promise<void>;
  finish(sequence: number, uuids: readonly Buffer[]): Promise<void>;
}

/**
 * A store. What settles is durable. One call is under way at a time; each rejects
 * with a `StoreError`, and nothing of it took place then.
 */
export interface CloneStore {
  /** For messages: "lmdb", … */
  readonly name: string;
  /** Gives all entries, in any order. */
  load(visit: (entry: StoredEntry) => void): Promise<StoredState>;
  /** All of them, or none. */
  commit(changes: readonly StoredChange[]): Promise<void>;
  replace(): Promise<StoreReplacement>;
  close(): Promise<void>;
}
