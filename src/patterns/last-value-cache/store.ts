/**
 * Store of a last value cache: values on LMDB, written in the background.
 *
 *   idle --interval--> committing --done--> idle
 *                         └─ failed: the same is written at the next interval
 *
 * A topic that changes often is written once per commit. A crash loses the changes since the last one.
 */

import { type LmdbDatabase, LmdbFolder } from "../../store/lmdb.js";
import { decodeRecord, encodeRecord } from "../../store/store.js";
import type { LastValueCacheStats } from "./options.js";
import type { CacheChanges, ValueCache } from "./value-cache.js";

type StoreStats = NonNullable<LastValueCacheStats["store"]>;

/** Bounds the time of a commit. */
const MAX_COMMIT = 4_096;

/** Writes changes to the store in the background. */
export class WriteBehind {
  readonly #source: ValueCache;
  readonly #store: LmdbValueStore;
  readonly #failed: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<boolean> | undefined;
  #inFlight = 0;
  readonly #counts = { restored: 0, damaged: 0, commits: 0, failures: 0, written: 0 };

  /**
   * Restores the values of a folder.
   * @param interval ms between commits
   * @throws as LmdbValueStore
   */
  constructor(source: ValueCache, directory: string, interval: number, failed: (error: unknown) => void) {
    this.#source = source;
    this.#failed = failed;
    this.#store = new LmdbValueStore(directory);
    try {
      const { values, damaged } = this.#store.load();
      for (const { frames, order } of values) source.restore(frames, order);
      this.#counts.restored = source.topics;
      this.#counts.damaged = damaged;
    } catch (error) {
      void this.#store.close();
      throw error;
    }
    this.#timer = setInterval(() => void this.#commit(), interval);
    this.#timer.unref();
  }

  stats(): StoreStats {
    return { ...this.#counts, pending: this.#source.pending + this.#inFlight };
  }

  /** Changes that cannot be written are lost and reported. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.#store.close();
  }

  /** Stops at a failed commit. */
  async flush(): Promise<void> {
    await this.#running;
    while (this.#source.pending > 0 && (await this.#commit()));
  }

  #commit(): Promise<boolean> {
    if (this.#running !== undefined) return this.#running;
    if (this.#source.pending === 0) return Promise.resolve(true);
    this.#running = this.#write().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #write(): Promise<boolean> {
    const changes = this.#source.takeChanges(MAX_COMMIT);
    const count = changes.changed.length + changes.removed.length;
    this.#inFlight = count;
    try {
      await this.#store.commit(changes);
    } catch (error) {
      this.#counts.failures += 1;
      this.#source.putBack(changes);
      this.#failed(error);
      return false;
    } finally {
      this.#inFlight = 0;
    }
    this.#counts.commits += 1;
    this.#counts.written += count;
    return true;
  }
}

const TABLES = ["values", "owner"] as const;
/** LMDB has no empty key, which the empty topic is. */
const KEY_PREFIX = Buffer.from("t");

interface StoredValue {
  readonly order: number;
  /** Topic first. */
  readonly frames: readonly Buffer[];
}

/**
 * Values on LMDB.
 *
 *   values   topic      -> record: topic | frame…, its number a double (store/store.ts)
 *   owner    "owner"    -> 16 bytes of the process that opened the folder last
 *
 * The number is that of the value's last update: eviction goes on in the same order after a restart.
 */
export class LmdbValueStore {
  readonly #folder: LmdbFolder<(typeof TABLES)[number]>;
  readonly #values: LmdbDatabase;

  /**
   * Opens a folder, or makes it. A second process that opens it takes it over.
   *
   * @throws InvalidArgumentError `EINVAL` for a bad path; NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; StoreError `taken` when this
   *   process has it open; `damaged`; `failed`
   */
  constructor(directory: string) {
    this.#folder = new LmdbFolder(directory, { tables: TABLES, owner: "owner" });
    this.#values = this.#folder.tables.values;
  }

  /** Call it first. @returns values, the least recently updated first; damaged records are removed */
  load(): { readonly values: readonly StoredValue[]; readonly damaged: number } {
    const found: StoredValue[] = [];
    const damaged: Buffer[] = [];
    for (const key of this.#values.getKeys({})) {
      const bytes = this.#values.getBinary(key);
      const record = bytes === undefined ? "gone" : decodeRecord(bytes);
      if (typeof record === "string" || !keyFor(record.frames[0] ?? KEY_PREFIX).equals(key))
        damaged.push(Buffer.from(key));
      else found.push({ order: record.expires, frames: record.frames });
    }
    if (damaged.length > 0) {
      this.#folder.transactionSync(() => {
        for (const key of damaged) this.#values.remove(key);
      });
    }
    found.sort((a, b) => a.order - b.order);
    return { values: found, damaged: damaged.length };
  }

  /**
   * Writes everything or nothing.
   * @throws StoreError `taken` when another process has opened the store since; `failed`
   */
  async commit({ changed, removed }: CacheChanges): Promise<void> {
    // Read now: the next message of a topic rewrites its value.
    const records = changed.map((value) => ({
      key: keyFor(value.key),
      record: encodeRecord(value.message(), value.order),
    }));
    await this.#folder.transaction(() => {
      for (const key of removed) this.#values.remove(keyFor(Buffer.from(key, "latin1")));
      for (const { key, record } of records) this.#values.put(key, record);
    });
  }

  close(): Promise<void> {
    return this.#folder.close();
  }
}

function keyFor(topic: Buffer): Buffer {
  return Buffer.concat([KEY_PREFIX, topic]);
}
