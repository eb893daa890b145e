/**
 * Store of a last value cache on LMDB, written in the background.
 *
 *   idle --interval--> committing --done--> idle
 *                         └─ failed: the same is written at the next interval
 *
 *   values   topic      -> record: topic | frame…, its number a double (store/store.ts)
 *   owner    "owner"    -> 16 bytes of the process that opened the folder last
 *
 * The number is that of the value's last update: eviction goes on in the same order after a restart. A topic that changes
 * often is written once per commit. A crash loses the changes since the last one.
 */

import { LmdbFolder } from "../../store/lmdb.js";
import { decodeRecord, encodeRecord } from "../../store/store.js";
import type { CacheChanges, ValueCache } from "./value-cache.js";

/** Bounds the time of a commit. */
const MAX_COMMIT = 4_096;
const TABLES = ["values", "owner"] as const;
/** LMDB has no empty key, which the empty topic is. */
const KEY_PREFIX = Buffer.from("t");

/** Writes changes to the store in the background. */
export class WriteBehind {
  readonly #source: ValueCache;
  readonly #folder: LmdbFolder<(typeof TABLES)[number]>;
  readonly #failed: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<boolean> | undefined;
  /** Taken, and not written yet. */
  #changes: CacheChanges = { changed: [], removed: [] };
  readonly #counts = { restored: 0, damaged: 0, commits: 0, failures: 0, written: 0 };

  /**
   * Opens a folder, or makes it, and restores its values. A second process that opens it takes it over.
   * @param interval ms between commits
   * @throws InvalidArgumentError `EINVAL` for a bad path; NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package
   *   `lmdb`; StoreError `taken` when this process has it open; `damaged`; `failed`
   */
  constructor(source: ValueCache, directory: string, interval: number, failed: (error: unknown) => void) {
    this.#source = source;
    this.#failed = failed;
    this.#folder = new LmdbFolder(directory, { tables: TABLES, owner: "owner" });
    try {
      this.#restore();
    } catch (error) {
      void this.#folder.close();
      throw error;
    }
    this.#timer = setInterval(() => void this.#commit(), interval).unref();
  }

  stats() {
    return { ...this.#counts, pending: this.#pending };
  }

  /** Changes that cannot be written are lost and reported. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.#folder.close();
  }

  /** Stops at a failed commit. */
  async flush(): Promise<void> {
    await this.#running;
    while (this.#pending > 0 && (await this.#commit()));
  }

  get #taken(): number {
    return this.#changes.changed.length + this.#changes.removed.length;
  }

  get #pending(): number {
    return this.#source.pending + this.#taken;
  }

  /** Damaged records are removed. */
  #restore(): void {
    const { values } = this.#folder.tables;
    const found: { readonly order: number; readonly frames: readonly Buffer[] }[] = [];
    const damaged: Buffer[] = [];
    for (const key of values.getKeys({})) {
      const bytes = values.getBinary(key);
      const record = bytes === undefined ? "gone" : decodeRecord(bytes);
      if (typeof record === "string" || !keyFor(record.frames[0] ?? KEY_PREFIX).equals(key))
        damaged.push(Buffer.from(key));
      else found.push({ order: record.expires, frames: record.frames });
    }
    if (damaged.length > 0) {
      this.#folder.transactionSync(() => {
        for (const key of damaged) values.remove(key);
      });
    }
    for (const { frames, order } of found.sort((a, b) => a.order - b.order))
      this.#source.restore(frames, order);
    this.#counts.restored = this.#source.topics;
    this.#counts.damaged = damaged.length;
  }

  #commit(): Promise<boolean> {
    if (this.#running !== undefined) return this.#running;
    if (this.#pending === 0) return Promise.resolve(true);
    this.#running = this.#write().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #write(): Promise<boolean> {
    if (this.#taken === 0) this.#changes = this.#source.takeChanges(MAX_COMMIT);
    const { changed, removed } = this.#changes;
    const { values } = this.#folder.tables;
    // Read now: the next message of a topic rewrites its value.
    const records = changed.map((value) => ({
      key: keyFor(value.key),
      record: encodeRecord(value.message(), value.order),
    }));
    try {
      await this.#folder.transaction(() => {
        for (const key of removed) values.remove(keyFor(Buffer.from(key, "latin1")));
        for (const { key, record } of records) values.put(key, record);
      });
    } catch (error) {
      this.#counts.failures += 1;
      this.#failed(error);
      return false;
    }
    this.#counts.commits += 1;
    this.#counts.written += this.#taken;
    this.#changes = { changed: [], removed: [] };
    return true;
  }
}

function keyFor(topic: Buffer): Buffer {
  return Buffer.concat([KEY_PREFIX, topic]);
}
