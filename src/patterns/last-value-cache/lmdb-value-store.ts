/**
 * Values on LMDB.
 *
 *   values   topic      -> record: topic | frame…, its number a double (store/record.ts)
 *   owner    "owner"    -> 16 bytes of the process that opened the folder last
 *
 * The number is that of the value's last update: eviction goes on in the same order after a restart.
 */
import { type LmdbDatabase, LmdbFolder } from "../../store/lmdb.js";
import { decodeRecord, encodeRecord } from "../../store/store.js";
import type { CacheChanges } from "./value-cache.js";

const TABLES = ["values", "owner"] as const;
/** LMDB has no empty key, which the empty topic is. */
const KEY_PREFIX = Buffer.from("t");

interface StoredValue {
  readonly order: number;
  /** Topic first. */
  readonly frames: readonly Buffer[];
}

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
