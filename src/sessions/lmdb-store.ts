/**
 * Sessions on LMDB, in one folder of one machine. Several processes can have it open; LMDB lets one write at a time. A commit
 * is on the disk when it settles; waiting commits share one (group commit).
 *
 *   sessions   key       -> version 8 | value
 *   version    "version" -> the last version 8
 */
import { ClosedError } from "../core/errors.js";
import { bytes, checkOptions, choice } from "../patterns/kit/options.js";
import type { StoreError } from "../patterns/kit/store/error.js";
import { GroupCommit } from "../patterns/kit/store/group-commit.js";
import {
  commitFailed,
  DiskRoom,
  type LmdbDatabase,
  type LmdbEnvironment,
  openStore,
  openTable,
  reusableBytes,
  storeFolder,
} from "../patterns/kit/store/lmdb.js";
import type {
  SessionStore,
  SessionStoreCheck,
  SessionStoreEntry,
  SessionStoreScan,
  SessionStoreValue,
  SessionStoreWrite,
} from "./store.js";

/** Options of {@link LmdbSessionStore.open}. */
export interface LmdbSessionStoreOptions {
  /** Free bytes of the disk and of the file below which the store is full; removing goes on. Default 64 MiB. */
  readonly minFreeBytes?: number | undefined;
  /** Commits that can wait for the disk, with up to 256 MiB. Default 100,000. */
  readonly maxPendingWrites?: number | undefined;
  /** Whether to `"refuse"` a damaged file, the default, or `"set-aside"`: rename it to `data.mdb.damaged-TIME`, and start empty. */
  readonly damagedFile?: "refuse" | "set-aside" | undefined;
}

interface Commit {
  readonly checks: readonly SessionStoreCheck[];
  readonly writes: readonly SessionStoreWrite[];
}

const OPTIONS = {
  minFreeBytes: bytes({ default: 67_108_864, min: 0 }),
  maxPendingWrites: bytes({ default: 100_000, min: 0 }),
  damagedFile: choice(["refuse", "set-aside"], "refuse"),
};

const TABLES = ["sessions", "version"] as const;
const VERSION = Buffer.from("version");
const VERSION_BYTES = 8;
/** The overhead of a value in bytes, roughly. */
const OVERHEAD = 100;

/**
 * A {@link SessionStore} on LMDB.
 *
 * @example
 * ```ts no-run
 * import { LmdbSessionStore } from "shoal/sessions";
 *
 * const store = LmdbSessionStore.open("/var/lib/shoal/sessions");
 * ```
 */
export class LmdbSessionStore implements SessionStore {
  readonly name = "lmdb";
  /** The damaged file set aside by `open`, and the reason. */
  readonly damagedFile: { readonly file: string; readonly reason: string } | undefined;
  readonly #directory: string;
  readonly #environment: LmdbEnvironment;
  readonly #values: LmdbDatabase;
  readonly #version: LmdbDatabase;
  readonly #room: DiskRoom;
  readonly #commits: GroupCommit<Commit, boolean>;
  #closing: Promise<void> | undefined;

  /**
   * Opens a folder, and makes it if it is missing. Other processes of this machine can have it open.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; InvalidArgumentError `EINVAL`;
   *   StoreError `damaged`, `taken` if this process has it open, `failed` if it cannot be opened
   */
  static open(directory: string, options: LmdbSessionStoreOptions = {}): LmdbSessionStore {
    return new LmdbSessionStore(directory, options);
  }

  private constructor(directory: string, options: LmdbSessionStoreOptions) {
    const { minFreeBytes, maxPendingWrites, damagedFile } = checkOptions(
      "LmdbSessionStore",
      OPTIONS,
      options,
    );
    this.#directory = storeFolder(directory);
    let aside: { readonly file: string; readonly reason: string } | undefined;
    const onSetAside = (file: string, reason: string): void => {
      aside = { file, reason };
    };
    const [environment, [values, version]] = openStore(
      this.#directory,
      { tables: TABLES, damagedFile, onSetAside },
      (opened) => [openTable(opened, "sessions"), openTable(opened, "version")] as const,
    );
    this.damagedFile = aside;
    this.#environment = environment;
    this.#values = values;
    this.#version = version;
    this.#room = new DiskRoom(this.#directory, minFreeBytes, () => reusableBytes([values, version]));
    this.#commits = new GroupCommit((commits) => this.#write(commits), maxPendingWrites);
  }

  async read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]> {
    this.#assertOpen();
    return keys.map((key) => this.#get(key));
  }

  async scan({ from, to, limit, maxBytes }: SessionStoreScan): Promise<readonly SessionStoreEntry[]> {
    this.#assertOpen();
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
    let bytes = 0;
    for (const { value } of writes) bytes += value === undefined ? 0 : OVERHEAD + value.length;
    return this.#commits.add({ checks, writes }, bytes);
  }

  close(): Promise<void> {
    this.#closing ??= this.#commits.close().then(() => this.#environment.close());
    return this.#closing;
  }

  /** Runs all in one transaction: each sees the writes of those before it. */
  async #write(commits: readonly Commit[]): Promise<(boolean | Error)[]> {
    const full = await this.#room.refusal();
    try {
      return await this.#environment.childTransaction(() => {
        const last = this.#version.getBinary(VERSION);
        let version = last === undefined ? 0 : Number(last.readBigUInt64BE());
        const results = commits.map((commit) => {
          version += 1;
          return this.#apply(commit, version, full);
        });
        this.#version.put(VERSION, versionBytes(version));
        return results;
      });
    } catch (error) {
      this.#room.suspect();
      throw await commitFailed(error, this.#directory);
    }
  }

  #apply({ checks, writes }: Commit, version: number, full: StoreError | undefined): boolean | Error {
    if (!checks.every((check) => (this.#get(check.key)?.version ?? 0) === check.version)) return false;
    if (full !== undefined) {
      const isNew = writes.some(({ key, value }) => value !== undefined && this.#get(key) === undefined);
      if (isNew) return full;
    }
    const head = versionBytes(version);
    for (const { key, value } of writes) {
      if (value === undefined) this.#values.remove(Buffer.from(key));
      else {
        this.#room.note(OVERHEAD + value.length);
        this.#values.put(Buffer.from(key), Buffer.concat([head, value]));
      }
    }
    return true;
  }

  #get(key: string): SessionStoreValue | undefined {
    const bytes = this.#values.getBinary(Buffer.from(key));
    if (bytes === undefined) return undefined;
    return { version: Number(bytes.readBigUInt64BE()), value: bytes.subarray(VERSION_BYTES) };
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The store is closed");
  }
}

function versionBytes(version: number): Buffer {
  const bytes = Buffer.alloc(VERSION_BYTES);
  bytes.writeBigUInt64BE(BigInt(version));
  return bytes;
}
