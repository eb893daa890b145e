/**
 * Sessions on LMDB, in a folder of one machine, open to several processes, one of which writes at a time. A settled
 * commit is on the disk. A server has one commit at a time, of all operations that wait (transactions.ts).
 *
 *   sessions   key -> version 6, random | value
 */
import { randomBytes } from "node:crypto";
import { ignore } from "../core/waiter.js";
import { checkOptions, type Given } from "../kit/options.js";
import { FOLDER_OPTIONS, type LmdbDatabase, LmdbFolder } from "../store/lmdb.js";
import type { StoreError } from "../store/store.js";
import { keys } from "./records.js";
import type {
  SessionStore,
  SessionStoreCheck,
  SessionStoreEntry,
  SessionStoreScan,
  SessionStoreValue,
  SessionStoreWrite,
} from "./store.js";

export type LmdbSessionStoreOptions = Given<typeof FOLDER_OPTIONS>;

const TABLES = ["sessions"] as const;
const VERSION_BYTES = 6;

/**
 * @example
 * ```ts no-run
 * import { LmdbSessionStore } from "shoal/sessions";
 *
 * const store = LmdbSessionStore.open("/var/lib/shoal/sessions");
 * ```
 */
export class LmdbSessionStore implements SessionStore {
  readonly name = "lmdb";
  readonly #folder: LmdbFolder<(typeof TABLES)[number]>;
  readonly #values: LmdbDatabase;
  /** Settles when earlier commits have. */
  #last: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /**
   * Opens a folder, made if missing, that other processes of this machine can have open.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; InvalidArgumentError `EINVAL`;
   *   StoreError `damaged`, `taken` if this process has it open, `failed` if it cannot be opened
   */
  static open(directory: string, options: LmdbSessionStoreOptions = {}): LmdbSessionStore {
    return new LmdbSessionStore(directory, options);
  }

  private constructor(directory: string, options: LmdbSessionStoreOptions) {
    const { minFreeBytes } = checkOptions("LmdbSessionStore", FOLDER_OPTIONS, options);
    this.#folder = new LmdbFolder(directory, { minFreeBytes, tables: TABLES });
    this.#values = this.#folder.tables.sessions;
  }

  async read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]> {
    this.#folder.assertOpen();
    return keys.map((key) => this.#get(key));
  }

  async scan({ from, to, limit, maxBytes }: SessionStoreScan): Promise<readonly SessionStoreEntry[]> {
    this.#folder.assertOpen();
    const found: SessionStoreEntry[] = [];
    let size = 0;
    for (const bytes of this.#values.getKeys({ start: Buffer.from(from), end: Buffer.from(to), limit })) {
      const key = bytes.toString("latin1");
      const entry = this.#get(key);
      if (entry === undefined) continue;
      size += entry.value.length;
      if (found.length > 0 && size > maxBytes) break;
      found.push({ key, ...entry });
    }
    return found;
  }

  commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean> {
    const commit = this.#last.then(() => {
      this.#folder.assertOpen();
      const full = this.#folder.refusal();
      return this.#folder.transaction(() => this.#apply(checks, writes, full));
    });
    this.#last = commit.catch(ignore);
    return commit;
  }

  close(): Promise<void> {
    this.#closing ??= this.#last.then(() => this.#folder.close());
    return this.#closing;
  }

  /** @throws StoreError `full` for a new key, unless others free its bytes, before anything is written */
  #apply(
    checks: readonly SessionStoreCheck[],
    writes: readonly SessionStoreWrite[],
    full: StoreError | undefined,
  ): boolean {
    if (!checks.every((check) => (this.#get(check.key)?.version ?? 0) === check.version)) return false;
    if (full !== undefined) {
      let [isNew, growth] = [false, 0];
      for (const { key, value } of writes) {
        const before = this.#get(key)?.value;
        // Without its sign of life no server could start, and make room.
        isNew ||= before === undefined && value !== undefined && !key.startsWith(keys.server(""));
        growth += (value?.length ?? 0) - (before?.length ?? 0);
      }
      if (isNew && growth > 0) throw full;
    }
    // A check compares it with one other version, so 48 bits are enough.
    const version = randomBytes(VERSION_BYTES);
    for (const { key, value } of writes) {
      if (value === undefined) this.#values.remove(Buffer.from(key));
      else this.#values.put(Buffer.from(key), Buffer.concat([version, value]));
    }
    return true;
  }

  #get(key: string): SessionStoreValue | undefined {
    const bytes = this.#values.getBinary(Buffer.from(key));
    if (bytes === undefined) return undefined;
    return { version: 1 + bytes.readUIntBE(0, VERSION_BYTES), value: bytes.subarray(VERSION_BYTES) };
  }
}
