/** A server's durable store: on LMDB (lmdb-store.ts), or a program's own. */

/** A stored key. */
export interface CloneStoredEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly sequence: number;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** A set key, or with the value `undefined` a deleted one, in ascending order of sequences. */
export interface CloneStoredChange extends Omit<CloneStoredEntry, "value"> {
  readonly value: Buffer | undefined;
}

export interface CloneStoredState {
  /** Sequence of the last commit. */
  readonly sequence: number;
  /** UUIDs of recent commits, the oldest first. */
  readonly uuids: readonly Buffer[];
  /** Unreadable entries, left out. */
  readonly damaged: number;
  /** The last argument of `mark` or `finish`. */
  readonly standing?: Buffer | undefined;
}

/** The old map stays until `finish` settles. */
export interface CloneStoreReplacement {
  add(entries: readonly CloneStoredEntry[]): Promise<void>;
  /** @param standing as in `mark` */
  finish(sequence: number, uuids: readonly Buffer[], standing: Buffer): Promise<void>;
}

/** Results are durable when a call settles. Calls do not overlap. A rejection, a `StoreError`, changes nothing. */
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
  /** Stores a pair's standing: about 100 opaque bytes. */
  mark(standing: Buffer): Promise<void>;
  close(): Promise<void>;
}
