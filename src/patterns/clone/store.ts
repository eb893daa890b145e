/** The interface of a server's durable store. lmdb-store.ts implements it on LMDB; programs can provide their own. */

/** A set key, or a deleted one with the value `undefined`. */
export interface CloneStoredChange {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
  /** Sequence of the update, in ascending order. */
  readonly sequence: number;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** A stored key. */
export interface CloneStoredEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly sequence: number;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** The state of a store next to its entries. */
export interface CloneStoredState {
  /** Sequence of the last commit. */
  readonly sequence: number;
  /** UUIDs of recent commits, the oldest first. */
  readonly uuids: readonly Buffer[];
  /** Unreadable entries, which are left out and stay in the store. */
  readonly damaged: number;
  /** The last argument of `mark` or `finish`; `undefined` before the first. */
  readonly standing?: Buffer | undefined;
}

/** Writes a whole new map. The old one stays until `finish` settles. */
export interface CloneStoreReplacement {
  add(entries: readonly CloneStoredEntry[]): Promise<void>;
  /** @param standing as in `mark`, written together with the map */
  finish(sequence: number, uuids: readonly Buffer[], standing: Buffer): Promise<void>;
}

/** A store: results are durable when a call settles. Calls do not overlap. A rejection, a `StoreError`, changes nothing. */
export interface CloneStore {
  /** For messages: "lmdb", … */
  readonly name: string;
  /** Visits all entries, in any order. */
  load(visit: (entry: CloneStoredEntry) => void): Promise<CloneStoredState>;
  /**
   * Writes all changes, or none.
   *
   * @param sequence of the last update, with or without a change
   * @param uuids of all updates, 16 bytes each
   */
  commit(changes: readonly CloneStoredChange[], sequence: number, uuids: readonly Buffer[]): Promise<void>;
  replace(): Promise<CloneStoreReplacement>;
  /** Stores the standing of a server of a pair: opaque bytes, about 100. */
  mark(standing: Buffer): Promise<void>;
  /**
   * Keeps entries that the next map lacks. Without this method they are lost, and the event `map:diverged` reports it.
   *
   * @returns their place, for the operator
   */
  setAside?(entries: Iterable<CloneStoredEntry>): Promise<string>;
  close(): Promise<void>;
}
