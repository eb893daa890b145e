/**
 * A folder of LMDB, opened once by a process, and only if its file is sound. The interfaces name the used part of the
 * package `lmdb`, so that the types do not need it.
 */
import crypto from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  statfsSync,
  statSync,
} from "node:fs";
import { endianness } from "node:os";
import { join, resolve } from "node:path";
import { describe } from "../core/arguments.js";
import { ClosedError, InvalidArgumentError, NotSupportedError } from "../core/errors.js";
import { makeFolder } from "../core/file-system.js";
import { loadOptional } from "../core/packages.js";
import { bytes } from "../kit/options.js";
import { StoreError } from "./store.js";

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

// --- The check of a file ---------------------------------------------------------------------------------------------

/*
 * Whether a file is whole, before LMDB maps it: a truncated file would end the process by a signal.
 *
 * The check covers both meta pages, and the place, number and kind of each page of each tree, not flipped bits within
 * a page: stores add checksums to their values.
 *
 * The pages of a file (data format 2), in the machine's order; only little-endian machines are read:
 *
 *   page      @0 number 8 | @8 transaction 8 | @18 flags 2 | @20 lower 2 | @22 upper 2 | @24 ...
 *             overflow pages: @20 how many 4
 *   meta @24  magic 4 | version 4 | address 8 | map size 8 | tree of free pages 48 | tree of names 48 | last page 8 |
 *             transaction 8
 *   tree      page size, in the first tree only, 4 | flags 2 | depth 2 | counts 32 | root page 8
 *   node      @0 size of the value, or page of a branch, 4 | @4 flags 2 (a branch: more of the page) | @6 size of the key 2 |
 *             key | value; with the flag "big" in place of the value: page 8
 *
 * Byte 24 begins the array of node places, 2 bytes each; places and `lower` count from there.
 */

const PAGE_HEADER = 24;
const TREE_SIZE = 48;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const MIN_PAGE = 256;
const MAX_PAGE = 65_536;
/** The root of an empty tree. */
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
const PageFlag = { Branch: 1, Leaf: 2, Overflow: 4, Meta: 8 } as const;
const KINDS = 0xff;
const NodeFlag = { Big: 1, Tree: 2 } as const;
/** LMDB's own bound. */
const MAX_DEPTH = 32;
/** Pages that are read, from the roots down: 1 GiB of 4 KiB pages. Bounds the time. */
const MAX_PAGES = 262_144;
/** Another process may write the file meanwhile. */
const TRIES = 5;
const DATA = "data.mdb";
const LOCK = "lock.mdb";

interface Tree {
  readonly depth: number;
  /** `undefined`: empty. */
  readonly root: number | undefined;
}

interface Meta {
  readonly pageSize: number;
  readonly lastPage: number;
  readonly transaction: bigint;
  readonly trees: readonly [free: Tree, names: Tree];
}

class PageFault extends Error {}

/**
 * @returns the damage; `undefined` for a whole or missing file
 * @throws the system's error when it cannot be read
 */
export function findDamage(directory: string): string | undefined {
  const path = join(directory, DATA);
  if (!existsSync(path)) return undefined;
  if (statSync(path).size === 0)
    return wasWritten(join(directory, LOCK)) ? "the file is empty, and was not" : undefined;
  if (endianness() !== "LE") return undefined;
  const file = openSync(path, "r");
  try {
    for (let tries = 1; ; tries++) {
      const before = lastTransaction(file);
      try {
        new Check(file).run();
        return undefined;
      } catch (error) {
        if (!(error instanceof PageFault)) throw error;
        // Another process may have reused freed pages.
        if (before === lastTransaction(file)) return error.message;
        if (tries === TRIES) return undefined;
      }
    }
  } finally {
    closeSync(file);
  }
}

function lastTransaction(file: number): bigint | undefined {
  try {
    return newestMeta(file).transaction;
  } catch (error) {
    if (error instanceof PageFault) return undefined;
    throw error;
  }
}

/** Whether the lock file records a commit: magic 4, format 4, last transaction 8. */
function wasWritten(path: string): boolean {
  if (!existsSync(path)) return false;
  const head = Buffer.alloc(16);
  const file = openSync(path, "r");
  try {
    return (
      readSync(file, head, 0, 16, 0) === 16 && head.readUInt32LE(0) === MAGIC && head.readBigUInt64LE(8) > 0n
    );
  } finally {
    closeSync(file);
  }
}

/** Reads bytes; fewer at the end of the file. */
function read(file: number, at: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const count = readSync(file, buffer, filled, length - filled, at + filled);
    if (count === 0) break;
    filled += count;
  }
  return buffer.subarray(0, filled);
}

/** @throws PageFault unless both meta pages are sound */
function newestMeta(file: number): Meta {
  const first = readMeta(file, 0, MIN_PAGE);
  const second = readMeta(file, 1, first.pageSize);
  const difference = first.transaction - second.transaction;
  if (difference > 1n || difference < -1n || first.pageSize !== second.pageSize)
    throw new PageFault(`the meta pages are of transactions ${first.transaction} and ${second.transaction}`);
  return difference >= 0n ? first : second;
}

function readMeta(file: number, number: number, size: number): Meta {
  const page = read(file, number * size, MIN_PAGE);
  if (page.length < MIN_PAGE) throw new PageFault(`the file ends within meta page ${number}`);
  const at = PAGE_HEADER;
  if (page.readUInt32LE(at) !== MAGIC || (page.readUInt16LE(18) & PageFlag.Meta) === 0)
    throw new PageFault(`page ${number} is no meta page of LMDB`);
  const version = page.readUInt16LE(at + 4);
  if (version !== VERSION) throw new PageFault(`the data format is ${version}, ${VERSION} expected`);
  const pageSize = page.readUInt32LE(at + 24);
  if (pageSize < MIN_PAGE || pageSize > MAX_PAGE || (pageSize & (pageSize - 1)) !== 0)
    throw new PageFault(`meta page ${number} has the page size ${pageSize}`);
  const lastPage = page.readBigUInt64LE(at + 120);
  const mapSize = page.readBigUInt64LE(at + 16);
  if (lastPage < 1n || lastPage > 0xffff_ffff_ffffn || mapSize < (lastPage + 1n) * BigInt(pageSize))
    throw new PageFault(`meta page ${number} has the last page ${lastPage} in a map of ${mapSize} bytes`);
  return {
    pageSize,
    lastPage: Number(lastPage),
    transaction: page.readBigUInt64LE(at + 128),
    trees: [readTree(page, at + 24), readTree(page, at + 72)],
  };
}

function readTree(bytes: Buffer, at: number): Tree {
  const root = bytes.readBigUInt64LE(at + 40);
  return { depth: bytes.readUInt16LE(at + 6), root: root === NO_PAGE ? undefined : Number(root) };
}

interface Visit {
  readonly page: number;
  /** 1 is the root. */
  readonly level: number;
  readonly tree: Tree;
  /** Its leaves hold trees. */
  readonly isNames: boolean;
}

class Check {
  readonly #file: number;
  readonly #meta: Meta;
  /** Whole pages. Free ones at the end were perhaps never written. */
  readonly #pages: number;
  readonly #visits: Visit[] = [];

  constructor(file: number) {
    this.#file = file;
    this.#meta = newestMeta(file);
    this.#pages = Math.floor(fstatSync(file).size / this.#meta.pageSize);
  }

  /** @throws PageFault */
  run(): void {
    const [free, names] = this.#meta.trees;
    this.#begin(free, false);
    this.#begin(names, true);
    // Level by level, since visits append those of their children.
    for (const visit of this.#visits) this.#visit(visit);
  }

  #begin(tree: Tree, isNames: boolean): void {
    if (tree.depth > MAX_DEPTH || (tree.root === undefined) !== (tree.depth === 0))
      throw new PageFault(`a tree has a depth of ${tree.depth}`);
    if (tree.root !== undefined) this.#push({ page: tree.root, level: 1, tree, isNames });
  }

  #push(visit: Visit): void {
    this.#checkNumber(visit.page);
    // A file of 100 GiB has 25 million leaves.
    if (this.#visits.length < MAX_PAGES) this.#visits.push(visit);
  }

  #checkNumber(page: number): void {
    if (page < 2 || page > this.#meta.lastPage) throw new PageFault(`a tree leads to page ${page}`);
    if (page >= this.#pages)
      throw new PageFault(`page ${page} is past the end of the file, which has ${this.#pages} pages`);
  }

  #visit({ page: number, level, tree, isNames }: Visit): void {
    const isLeaf = level === tree.depth;
    const page = this.#page(number, isLeaf ? PageFlag.Leaf : PageFlag.Branch);
    const count = page.readUInt16LE(20) >> 1;
    for (let i = 0; i < count && PAGE_HEADER + 2 * i + 2 <= page.length; i++) {
      const at = PAGE_HEADER + page.readUInt16LE(PAGE_HEADER + 2 * i);
      const value = at + 8 + (at + 8 <= page.length ? page.readUInt16LE(at + 6) : 0);
      if (value > page.length) throw new PageFault(`node ${i} of page ${number} is at byte ${at}`);
      const flags = page.readUInt16LE(at + 4);
      if (!isLeaf) {
        const child = page.readUInt32LE(at) + flags * 0x1_0000_0000;
        this.#push({ page: child, level: level + 1, tree, isNames });
      } else if ((flags & NodeFlag.Big) !== 0 && value + 8 <= page.length)
        this.#checkOverflow(Number(page.readBigUInt64LE(value)), page.readUInt32LE(at));
      else if (isNames && (flags & NodeFlag.Tree) !== 0 && value + TREE_SIZE <= page.length)
        this.#begin(readTree(page, value), false);
    }
  }

  /** A value on separate pages. @param size in bytes */
  #checkOverflow(first: number, size: number): void {
    const count = Math.floor((PAGE_HEADER - 1 + size) / this.#meta.pageSize) + 1;
    this.#checkNumber(first);
    this.#checkNumber(first + count - 1);
    if (this.#page(first, PageFlag.Overflow).readUInt32LE(20) !== count)
      throw new PageFault(`page ${first} does not begin a value of ${count} pages`);
  }

  #page(number: number, kind: number): Buffer {
    const { pageSize, transaction } = this.#meta;
    const page = read(this.#file, number * pageSize, pageSize);
    if (page.length < pageSize || page.readBigUInt64LE(0) !== BigInt(number))
      throw new PageFault(`page ${number} is missing`);
    if ((page.readUInt16LE(18) & KINDS) !== kind || page.readBigUInt64LE(8) > transaction)
      throw new PageFault(`page ${number} is of another kind or transaction`);
    return page;
  }
}
