/**
 * A folder of LMDB, opened once by a process, and only if its file is sound. The interfaces name the used part of the
 * package `lmdb`, so that the types do not need it.
 */
import crypto from "node:crypto";
import { existsSync, realpathSync, statfsSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe } from "../core/arguments.js";
import { ClosedError, InvalidArgumentError, NotSupportedError } from "../core/errors.js";
import { makeFolder } from "../core/make-folder.js";
import { loadOptional } from "../core/optional-package.js";
import { bytes } from "../kit/options.js";
import { findDamage } from "./lmdb-check.js";
import { StoreError } from "./record.js";

export interface LmdbRange {
  readonly start?: Buffer;
  readonly end?: Buffer;
  readonly limit?: number;
}

export interface LmdbTree {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
}

/** Counts of a table, of the tree of names and of that of free pages. */
export interface LmdbStats extends LmdbTree {
  readonly pageSize: number;
  readonly lastPageNumber: number;
  readonly root: LmdbTree;
  readonly free: LmdbTree;
}

export interface LmdbDatabase {
  getBinary(key: Buffer): Buffer | undefined;
  getKeys(range: LmdbRange): Iterable<Buffer>;
  getStats(): LmdbStats;
  put(key: Buffer, value: Buffer): unknown;
  remove(key: Buffer): unknown;
}

export interface LmdbEnvironment {
  readonly env: unknown;
  openDB(name: string, options: { encoding: "binary"; keyEncoding: "binary" }): LmdbDatabase;
  /** Undone when `change` throws; settles after the commit. */
  childTransaction<T>(change: () => T): Promise<T>;
  /** The package would take the result of `put` for a promise, and keep the transaction open. */
  transactionSync(change: () => undefined): void;
  close(): Promise<void>;
}

/** They would make a folder such as "tcp:". */
const URL_SCHEME = /^[a-z][a-z0-9+.-]+:\/\//i;

/** @returns an absolute path. @throws InvalidArgumentError `EINVAL` unless it is a path */
function storeFolder(directory: string): string {
  const isText = typeof directory === "string";
  const scheme = isText ? URL_SCHEME.exec(directory)?.[0] : undefined;
  if (isText && directory !== "" && !directory.includes("\0") && scheme === undefined)
    return resolve(directory);
  // The rest of a URL may hold a password.
  const got = scheme === undefined ? describe(directory) : `one that begins with ${scheme}`;
  throw new InvalidArgumentError(`A store on LMDB needs the path of a folder, not a URL; got ${got}`);
}

/** Bytes for the files of an empty store: on a full disk LMDB ends the process by a signal (SIGBUS, SIGSEGV). */
const NEW_BYTES = 131_072;

/** A process must not open a folder of LMDB twice. */
const openFolders = new Set<string>();

/**
 * Opens a folder. Each commit is on the disk when its promise settles.
 *
 * @throws StoreError `damaged`; `taken` when this process has it open; `full` when its files cannot be made;
 * NotSupportedError `ERR_PACKAGE_UNAVAILABLE`
 */
export function openEnvironment(directory: string): LmdbEnvironment {
  const { open, allDbs } = loadOptional("lmdb", "A store on LMDB") as {
    open(options: object): LmdbEnvironment;
    /** The package keeps environments and tables after a close. */
    allDbs: Map<string, { readonly env: unknown }>;
  };
  makeFolder(directory);
  const folder = realpathSync(directory);
  if (openFolders.has(folder))
    throw new StoreError("taken", `This process has the store in ${directory} open already`);
  const damage = findDamage(directory);
  if (damage !== undefined) {
    const message = `${join(directory, "data.mdb")} is damaged: ${damage}. Restore it, or rename it to begin empty`;
    throw new StoreError("damaged", message);
  }
  const { bavail, bsize } = statfsSync(directory);
  const isNew = ["data.mdb", "lock.mdb"].some((name) => !existsSync(join(directory, name)));
  if (isNew && bavail * bsize < NEW_BYTES)
    throw new StoreError(
      "full",
      `The disk of ${directory} has less than ${NEW_BYTES} bytes left for a store`,
    );
  const environment = open({
    path: directory,
    noSubdir: false,
    maxDbs: 16,
    // Else a promise settles before its transaction is flushed.
    overlappingSync: false,
    // The package's batches leave an unhandled rejection when a commit fails.
    eventTurnBatching: false,
  });
  openFolders.add(folder);
  const close = environment.close.bind(environment);
  environment.close = async () => {
    await close();
    openFolders.delete(folder);
    for (const [name, { env }] of allDbs) if (env === environment.env) allDbs.delete(name);
  };
  return environment;
}

const META_PAGES = 2;

/** Unused bytes of a file. @param tables all of the file */
function reusableBytes(tables: readonly LmdbDatabase[]): number {
  const stats = tables.map((table) => table.getStats());
  const { root, free, lastPageNumber, pageSize } = stats[0] as LmdbStats;
  const used = [...stats, root, free].reduce((sum, tree) => sum + pagesOf(tree), META_PAGES);
  return Math.max(0, lastPageNumber + 1 - used) * pageSize;
}

function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: LmdbTree): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages;
}

/** The package reports the system's error separately. */
async function commitCause(error: unknown): Promise<unknown> {
  const apart = (error as { commitError?: Promise<never> } | null)?.commitError;
  if (apart === undefined) return error;
  return apart.catch((cause: unknown) => cause);
}

export const FOLDER_OPTIONS = {
  /**
   * Bytes that stay free, on the disk and in unused pages of the file; with less the store only deletes. Default
   * 67,108,864.
   */
  minFreeBytes: bytes({ default: 67_108_864, min: 0 }),
};

export interface FolderSettings<Name extends string> {
  readonly tables: readonly Name[];
  /** Table with the process that opened the folder last. Default: none; any process may write. */
  readonly owner?: Name | undefined;
  readonly minFreeBytes?: number;
}

const OWNER = Buffer.from("owner");

/**
 * A store's folder. A second process that opens it takes it over: transactions of the first are refused with `taken`.
 */
export class LmdbFolder<Name extends string> {
  readonly directory: string;
  readonly tables: Readonly<Record<Name, LmdbDatabase>>;
  readonly #environment: LmdbEnvironment;
  readonly #owner: LmdbDatabase | undefined;
  readonly #minFreeBytes: number;
  readonly #token = crypto.randomBytes(16);
  #closing: Promise<void> | undefined;

  /**
   * Opens the folder, or makes it.
   *
   * @throws InvalidArgumentError `EINVAL` unless it is a path; NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the
   *   package `lmdb`; StoreError `taken` when this process has it open, `damaged`, `full`, `failed`
   */
  constructor(directory: string, settings: FolderSettings<Name>) {
    const { tables: names, owner, minFreeBytes = 0 } = settings;
    this.directory = storeFolder(directory);
    let environment: LmdbEnvironment | undefined;
    try {
      const opened = openEnvironment(this.directory);
      environment = opened;
      this.#environment = opened;
      const options = { encoding: "binary", keyEncoding: "binary" } as const;
      this.tables = Object.fromEntries(names.map((name) => [name, opened.openDB(name, options)])) as never;
      if (owner !== undefined) this.transactionSync(() => void this.tables[owner].put(OWNER, this.#token));
    } catch (cause) {
      void environment?.close();
      if (cause instanceof NotSupportedError || cause instanceof StoreError) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new StoreError("failed", `The store in ${this.directory} cannot be opened: ${why}`, { cause });
    }
    this.#minFreeBytes = minFreeBytes;
    this.#owner = owner === undefined ? undefined : this.tables[owner];
  }

  /**
   * Settles when the transaction is on the disk.
   *
   * @throws StoreError `taken`, `failed`: nothing was changed; ClosedError `EBADF`
   */
  async transaction<T>(change: () => T): Promise<T> {
    this.assertOpen();
    try {
      return await this.#environment.childTransaction(() => {
        this.assertOwner();
        return change();
      });
    } catch (error) {
      if (error instanceof StoreError) throw error;
      const cause = await commitCause(error);
      const message = `The store in ${this.directory} could not write; nothing of it was kept`;
      throw new StoreError("failed", message, { cause });
    }
  }

  /** `full` when less than `minFreeBytes` are left on the disk and in the file, which never gets shorter. */
  refusal(): StoreError | undefined {
    const { bavail, bsize } = statfsSync(this.directory);
    const missing = this.#minFreeBytes - bavail * bsize;
    if (missing <= 0 || reusableBytes(Object.values(this.tables)) >= missing) return undefined;
    const message = `The disk of ${this.directory} and the file on it have less than ${this.#minFreeBytes} bytes left`;
    return new StoreError("full", message);
  }

  /** Blocks the event loop, for loading a store. */
  transactionSync(change: () => void): void {
    this.#environment.transactionSync(() => {
      change();
      return undefined;
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#environment.close();
    return this.#closing;
  }

  /** @throws ClosedError `EBADF` */
  assertOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The store is closed");
  }

  /** @throws StoreError `taken` */
  assertOwner(): void {
    if (this.#owner === undefined || this.#owner.getBinary(OWNER)?.equals(this.#token) === true) return;
    throw new StoreError("taken", `Another process has taken over the store in ${this.directory}`);
  }
}
