/**
 * Where a clone's server keeps its map, so that it outlives all processes. One on
 * LMDB is here (lmdb-store.ts); a program can bring another.
 */

/** A key that was set, or deleted when `value` is `undefined`. */
export interface CloneStoredChange {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
  /** Of the update; changes come in its order. */
  readonly sequence: number;
  /** 16 bytes, or none. */
  readonly uuid: Buffer;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** An update that its condition refused: it must be refused again when it comes again. */
export interface CloneStoredConflict {
  readonly sequence: number;
  /** 16 bytes, to be kept as they are. */
  readonly uuid: Buffer;
}

/** A key as it is kept. */
export interface CloneStoredEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly sequence: number;
  /** ms since 1970; 0: never. */
  readonly expires: number;
}

/** What a store knows in addition to its entries. */
export interface CloneStoredState {
  /** Of the last change. */
  readonly sequence: number;
  /** UUIDs of the last changes, the oldest first. */
  readonly uuids: readonly Buffer[];
  /** Entries that cannot be read. They are left out, and stay where they are. */
  readonly damaged: number;
  /** What `mark` or `finish` was given last; `undefined`: neither was called yet. */
  readonly standing?: Buffer | undefined;
}

/** Takes a whole map in place of the one that is kept; until `finish` settles the old one stays. */
export interface CloneStoreReplacement {
  add(entries: readonly CloneStoredEntry[]): Promise<void>;
  /** @param standing as `mark` takes it: with the map, or not at all */
  finish(sequence: number, uuids: readonly Buffer[], standing: Buffer): Promise<void>;
}

/**
 * A store. What settles is durable. One call is under way at a time; each rejects
 * with a `StoreError`, and nothing of it took place then.
 */
export interface CloneStore {
  /** For messages: "lmdb", … */
  readonly name: string;
  /** Gives all entries, in any order. */
  load(visit: (entry: CloneStoredEntry) => void): Promise<CloneStoredState>;
  /**
   * All of them, or none.
   *
   * @param conflicts updates that changed nothing: only their UUIDs are kept, with those of the changes
   */
  commit(changes: readonly CloneStoredChange[], conflicts: readonly CloneStoredConflict[]): Promise<void>;
  replace(): Promise<CloneStoreReplacement>;
  /** Keeps what a server of a pair has to know when it starts again: bytes, about 1 KB at most, of this package's own. */
  mark(standing: Buffer): Promise<void>;
  /**
   * Keeps entries apart from the map, which is about to be replaced and has what the other server's has not. Without
   * it they are lost, and the event `map:diverged` reports it.
   *
   * @returns where they are, for the operator
   */
  setAside?(entries: Iterable<CloneStoredEntry>): Promise<string>;
  close(): Promise<void>;
}
