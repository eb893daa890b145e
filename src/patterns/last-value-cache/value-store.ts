/** Where values outlive the process. */
import type { CacheChanges } from "./value-cache.js";

/** A message, and the number of its update among all. */
export interface StoredValue {
  readonly order: number;
  /** Topic first. */
  readonly frames: readonly Buffer[];
}

/** What a store was found to hold. */
export interface StoredValues {
  /** The one updated the longest ago first. */
  readonly values: readonly StoredValue[];
  /** Records that could not be read; they are gone from the store. */
  readonly damaged: number;
}

/** Keeps the values of a cache. */
export interface ValueStore {
  /** To be called once, before the first commit. */
  load(): StoredValues;
  /**
   * All of it is on the disk when this settles, or none. Values are read before the call returns.
   *
   * @throws StoreError `taken` when another process has opened the store since; `failed`
   */
  commit(changes: CacheChanges): Promise<void>;
  close(): Promise<void>;
}
