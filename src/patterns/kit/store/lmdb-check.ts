/**
 * Whether a file of LMDB is sound, found out before it is mapped: LMDB trusts its
 * file, and where that is cut off or overwritten the process ends by a signal, or
 * records are unknown that were stored.
 *
 * Checked are both meta pages, that each page of each tree is what it should be
 * (its number, kind, nodes that fill it, the order of its keys), that none belongs to two trees
 * or is free as well, and that the counts agree. What stands in the values is for
 * the stores' own checksums.
 *
 * The pages of a file (data format 2), as they stand on the disk. Numbers are in
 * the machine's order; only little-endian machines are read.
 *
 *   page      @0 number 8 | @8 transaction 8 | @16 pad 2 | @18 flags 2 | @20 lower 2 | @22 upper 2 | @24 …
 *             of an overflow page: @20 how many pages it has 4
 *   meta @24  magic 4 | version 4 | address 8 | map size 8 | tree of free pages 48 | tree of names 48 | last page 8 |
 *             transaction 8
 *   tree      pad 4 (the page size in the first tree) | flags 2 | depth 2 | branch pages 8 | leaf pages 8 |
 *             overflow pages 8 | entries 8 | root page 8
 *   node      @0 size of the value, or page of a branch, 4 | @4 flags 2 (a branch: more of the page) | @6 size of the key 2 |
 *             key | value; with the flag "big" in place of the value: page 8 | transaction 8 | pages 8
 *
 * `lower` and `upper` count from byte 24, as do the places of the nodes, 2 bytes each, that stand there.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, renameSync, statSync } from "node:fs";
import { endianness } from "node:os";
import { join } from "node:path";

const PAGE_HEADER = 24;
const TREE_SIZE = 48;
const MAGIC = 0xbeefc0de;
/** The root of an empty tree. */
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
const PageFlag = { Branch: 1, Leaf: 2, Overflow: 4, Meta: 8 } as const;
/** The flags that a page in a file may have. The others describe pages in memory, and LMDB would believe them. */
const KINDS = 0xff;
/** Bytes on the page of a value that has pages of its own. */
const BIG_VALUE = 24;
const NodeFlag = { Big: 1, Tree: 2 } as const;
/** The flags of the tree of free pages, whose keys are numbers, and with that of a file that was written in two steps. */
const FREE_FLAGS = [0x8, 0x1008];
/** Bytes that a file may have reserved addresses for. */
const MAX_MAP = 1n << 47n;

const VERSION = 2;
const MIN_PAGE = 256;
const MAX_PAGE = 65_536;
/** Bytes read at once, and how many such blocks are kept. */
const BLOCK = 65_536;
const BLOCKS = 256;

interface Tree {
  readonly pad: number;
  readonly flags: number;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  /** `undefined` when it is empty. */
  readonly root: number | undefined;
}

interface Meta {
  readonly pageSize: number;
  readonly lastPage: number;
  readonly transaction: bigint;
  readonly free: Tree;
  readonly names: Tree;
}

/** What is wrong with a file. */
class PageFault extends Error {}

/** A file of LMDB that is read, not mapped: where it is cut off or damaged this is an error, and no signal. */
class PageFile {
  readonly #file: number;
  readonly #blocks = new Map<number, Buffer>();

  constructor(path: string) {
    this.#file = openSync(path, "r");
  }

  close(): void {
    closeSync(this.#file);
  }

  get size(): number {
    return fstatSync(this.#file).size;
  }

  /** Both meta pages as they are now. @throws PageFault when one is not sound */
  metas(): [Meta, Meta] {
    const first = this.#meta(0, MIN_PAGE);
    return [first, this.#meta(1, first.pageSize)];
  }

  /** A page's bytes, valid until the next call. @throws PageFault past the end of the file */
  page(number: number, size: number): Buffer {
    const at = number * size;
    const index = Math.floor(at / BLOCK);
    let block = this.#blocks.get(index);
    if (block === undefined) {
      block = this.#read(index * BLOCK, BLOCK);
      this.#blocks.set(index, block);
      if (this.#blocks.size > BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value as number);
    }
    const start = at - index * BLOCK;
    if (start + size > block.length)
      throw new PageFault(`page ${number} is past the end of the file, which has ${this.size} bytes`);
    return block.subarray(start, start + size);
  }

  /** Reads everything again from now on. */
  refresh(): void {
    this.#blocks.clear();
  }

  #meta(number: number, size: number): Meta {
    const page = this.#read(number * size, MIN_PAGE);
    if (page.length < MIN_PAGE) throw new PageFault(`the file ends within meta page ${number}`);
    const at = PAGE_HEADER;
    if (page.readUInt32LE(at) !== MAGIC || (page.readUInt16LE(18) & PageFlag.Meta) === 0)
      throw new PageFault(`page ${number} is no meta page of LMDB`);
    const version = page.readUInt16LE(at + 4);
    if (version !== VERSION) throw new PageFault(`the data format is ${version}, ${VERSION} expected`);
    const pageSize = page.readUInt32LE(at + 24);
    if (
      pageSize < MIN_PAGE ||
      pageSize > MAX_PAGE ||
      (pageSize & (pageSize - 1)) !== 0 ||
      (number > 0 && pageSize !== size)
    )
      throw new PageFault(`meta page ${number} has the page size ${pageSize}`);
    const lastPage = page.readBigUInt64LE(at + 120);
    if (lastPage < 1n || lastPage > 0xffff_ffff_ffffn)
      throw new PageFault(`meta page ${number} has the last page ${lastPage}`);
    const mapSize = page.readBigUInt64LE(at + 16);
    if (
      page.readBigUInt64LE(at + 8) !== 0n ||
      mapSize < (lastPage + 1n) * BigInt(pageSize) ||
      mapSize > MAX_MAP
    )
      throw new PageFault(`meta page ${number} has a map of ${mapSize} bytes`);
    const [free, names] = [readTree(page, at + 24), readTree(page, at + 72)];
    if (!FREE_FLAGS.includes(free.flags))
      throw new PageFault(`meta page ${number} has the flags ${free.flags}`);
    return {
      pageSize,
      lastPage: Number(lastPage),
      transaction: page.readBigUInt64LE(at + 128),
      // Its "pad" is the page size, its flags are the file's.
      free: { ...free, pad: 0, flags: 0 },
      names,
    };
  }

  #read(at: number, length: number): Buffer {
    const buffer = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      const read = readSync(this.#file, buffer, filled, length - filled, at + filled);
      if (read === 0) break;
      filled += read;
    }
    return buffer.subarray(0, filled);
  }
}

/** The tree described at a place. */
function readTree(bytes: Buffer, at: number): Tree {
  const root = bytes.readBigUInt64LE(at + 40);
  const count = (offset: number): number => Number(bytes.readBigUInt64LE(at + offset));
  return {
    pad: bytes.readUInt32LE(at),
    flags: bytes.readUInt16LE(at + 4),
    depth: bytes.readUInt16LE(at + 6),
    branchPages: count(8),
    leafPages: count(16),
    overflowPages: count(24),
    entries: count(32),
    root: root === NO_PAGE ? undefined : Number(root),
  };
}

/**
 * Whether a file of LMDB is sound, found out before it is mapped: LMDB trusts its
 * file, and where that is cut off or overwritten the process ends by a signal, or
 * records are unknown that were stored.
 *
 * Checked are both meta pages, that each page of each tree is what it should be
 * (its number, kind, nodes, the order of its keys), that none belongs to two trees
 * or is free as well, and that the counts agree. What stands in the values is for
 * the stores' own checksums.
 */

/** Pages that are looked at, at most, those next to the roots first: 1 GiB of 4 KiB pages. Bounds the time. */
const MAX_PAGES = 262_144;
/** Levels of a tree: what LMDB allows. */
const MAX_DEPTH = 32;
/** Times that it is checked again because another process has committed meanwhile. */
const TRIES = 5;
const DATA = "data.mdb";
const LOCK = "lock.mdb";

/** What to do with a file that is damaged. */
export type DamagedFile = "refuse" | "set-aside";

/**
 * Looks at a folder before LMDB opens it.
 *
 * @param tables that the store makes, in the order in which it makes them; others may be there, too
 * @returns what is wrong with its file, or `undefined` when it is sound, or not there
 * @throws the system's error when it cannot be read
 */
export function findDamage(directory: string, tables: readonly string[] = []): string | undefined {
  const path = join(directory, DATA);
  if (!existsSync(path)) return undefined;
  if (statSync(path).size === 0)
    return wasWritten(join(directory, LOCK)) ? "the file is empty, and was not" : undefined;
  if (endianness() !== "LE") return undefined;
  const file = new PageFile(path);
  try {
    for (let tries = 1; ; tries++) {
      file.refresh();
      const before = lastTransaction(file);
      try {
        new Check(file, tables).run();
        return undefined;
      } catch (error) {
        if (!(error instanceof PageFault)) throw error;
        // Another process may be writing: what it frees it writes again, while it is looked at here.
        const now = lastTransaction(file);
        if (before === now) return error.message;
        if (tries === TRIES) return undefined;
      }
    }
  } finally {
    file.close();
  }
}

/**
 * Renames a damaged file, so that LMDB makes a new one.
 *
 * @param now ms since 1970, for its name
 * @returns where it is now
 */
export function setAside(directory: string, now: number): string {
  const stamp = new Date(now).toISOString().replace(/[-:]|\.\d+/g, "");
  const path = join(directory, DATA);
  for (let number = 1; ; number++) {
    const aside = `${path}.damaged-${stamp}${number === 1 ? "" : `-${number}`}`;
    if (existsSync(aside)) continue;
    renameSync(path, aside);
    return aside;
  }
}

/** `undefined` while a meta page is damaged. */
function lastTransaction(file: PageFile): bigint | undefined {
  try {
    const [a, b] = file.metas();
    return a.transaction > b.transaction ? a.transaction : b.transaction;
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

/** A page of a tree that is to be looked at. */
interface Visit {
  readonly page: number;
  /** 1 is the root. */
  readonly level: number;
  readonly tree: Walk;
}

/** A tree, and what was found of it. */
interface Walk {
  readonly name: string;
  readonly tree: Tree;
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
}

class Check {
  readonly #file: PageFile;
  readonly #tables: readonly string[];
  readonly #meta: Meta;
  readonly #seen: Uint8Array;
  readonly #walks: Walk[] = [];
  /** First those that are nearer to a root: they make more of the file unreadable. */
  #next: Visit[] = [];
  #visited = 0;
  #complete = true;
  readonly #freeRanges: { readonly first: number; readonly last: number }[] = [];
  #free: Walk | undefined;
  #names: Walk | undefined;

  constructor(file: PageFile, tables: readonly string[]) {
    this.#file = file;
    this.#tables = tables;
    const [a, b] = file.metas();
    const difference = a.transaction - b.transaction;
    if (difference > 1n || difference < -1n)
      throw new PageFault(`the meta pages are of transactions ${a.transaction} and ${b.transaction}`);
    this.#meta = difference >= 0n ? a : b;
    const pages = Math.ceil(file.size / this.#meta.pageSize);
    // The file may be shorter than its last page: pages at its end that are free were perhaps never written.
    this.#seen = new Uint8Array((Math.min(pages, this.#meta.lastPage + 1) >> 3) + 1);
  }

  run(): void {
    const { free, names } = this.#meta;
    this.#free = this.#begin("free pages", free);
    this.#names = this.#begin("names", names);
    while (this.#next.length > 0) {
      const level = this.#next;
      this.#next = [];
      for (const visit of level) this.#visit(visit);
    }
    this.#checkNames();
    if (this.#complete) for (const walk of this.#walks) checkCounts(walk);
    else this.#checkEnd();
    for (const { first, last } of this.#freeRanges) {
      if (first < 2 || last > this.#meta.lastPage)
        throw new PageFault(`page ${last} is free, and is not there`);
      for (let page = first; page <= last; page++)
        if (this.#isSeen(page)) throw new PageFault(`page ${page} is free, and in use`);
    }
  }

  /** They were made in this order: one that is missing before one that is there has another name now. */
  #checkNames(): void {
    const found = this.#tables.map((table) => this.#walks.some(({ name }) => name === table));
    const missing = found.indexOf(false);
    if (missing >= 0 && found.indexOf(true, missing) > missing)
      throw new PageFault(`there is no tree of ${this.#tables[missing]}`);
  }

  /** Pages past the end of the file have to be free where not all that are in use were looked at. */
  #checkEnd(): void {
    const end = Math.floor(this.#file.size / this.#meta.pageSize);
    const missing = Math.max(0, this.#meta.lastPage + 1 - end);
    let free = 0;
    for (const { first, last } of this.#freeRanges) free += Math.max(0, last - Math.max(first, end) + 1);
    if (free < missing)
      throw new PageFault(`the file has ${end} pages, ${missing - free} fewer than are in use`);
  }

  #begin(name: string, tree: Tree): Walk {
    const walk = { name, tree, branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
    this.#walks.push(walk);
    if (tree.flags !== 0 || tree.pad !== 0)
      throw new PageFault(`the tree of ${name} has the flags ${tree.flags}`);
    if (tree.depth > MAX_DEPTH || (tree.root === undefined) !== (tree.depth === 0))
      throw new PageFault(`the tree of ${name} has a depth of ${tree.depth}`);
    if (tree.root !== undefined) this.#next.push({ page: tree.root, level: 1, tree: walk });
    return walk;
  }

  #visit({ page: number, level, tree: walk }: Visit): void {
    // The tree of free pages is small, and what it says is written to next.
    if (walk !== this.#free && ++this.#visited > MAX_PAGES) {
      this.#complete = false;
      return;
    }
    this.#see(number, walk.name);
    const page = this.#page(number);
    const isLeaf = level === walk.tree.depth;
    const kind = page.readUInt16LE(18) & KINDS;
    if (kind !== (isLeaf ? PageFlag.Leaf : PageFlag.Branch))
      throw new PageFault(`page ${number} of the tree of ${walk.name} is no ${isLeaf ? "leaf" : "branch"}`);
    if (isLeaf) walk.leafPages += 1;
    else walk.branchPages += 1;
    this.#nodes(page, number, level, walk, isLeaf);
  }

  #nodes(page: Buffer, number: number, level: number, walk: Walk, isLeaf: boolean): void {
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const fault = (what: string): PageFault =>
      new PageFault(`page ${number} of the tree of ${walk.name}: ${what}`);
    const count = lower >> 1;
    if (
      lower % 2 !== 0 ||
      lower > upper ||
      upper > page.length - PAGE_HEADER ||
      count === 0 ||
      (!isLeaf && count < 2)
    )
      throw fault(`${count} nodes up to byte ${upper}`);
    const isOrdered = walk !== this.#free;
    const sizes = new Map<number, number>();
    let lastStart = 0;
    let lastEnd = -1;
    for (let i = 0; i < count; i++) {
      const at = page.readUInt16LE(PAGE_HEADER + 2 * i) + PAGE_HEADER;
      if (at < upper + PAGE_HEADER || at + 8 > page.length) throw fault(`node ${i} at byte ${at}`);
      const start = at + 8;
      const end = start + page.readUInt16LE(at + 6);
      if (end > page.length) throw fault(`the key of node ${i} ends at byte ${end}`);
      // The first key of a branch stands for all that are less, and is not looked at.
      if (isOrdered && lastEnd >= 0 && (isLeaf || i > 1) && !isLess(page, lastStart, lastEnd, start, end))
        throw fault(`the key of node ${i} is out of order`);
      lastStart = start;
      lastEnd = end;
      let length = end - at;
      if (isLeaf) length += this.#leafNode(page, at, end, walk, fault);
      else {
        const child = page.readUInt32LE(at) + page.readUInt16LE(at + 4) * 0x1_0000_0000;
        this.#next.push({ page: child, level: level + 1, tree: walk });
      }
      // Each begins at an even byte.
      sizes.set(at, length + (length % 2));
    }
    checkFilled(sizes, upper + PAGE_HEADER, page.length, fault);
    if (isLeaf) walk.entries += count;
  }

  /** @returns bytes of its value on this page */
  #leafNode(page: Buffer, at: number, value: number, walk: Walk, fault: (what: string) => PageFault): number {
    const size = page.readUInt32LE(at);
    const flags = page.readUInt16LE(at + 4);
    const isBig = (flags & NodeFlag.Big) !== 0;
    const length = isBig ? BIG_VALUE : size;
    if (value + length > page.length) throw fault(`the value at byte ${value} has ${size} bytes`);
    const isTree = walk === this.#names;
    if (flags !== (isTree ? NodeFlag.Tree : flags & NodeFlag.Big)) throw fault(`a node with flags ${flags}`);
    if (isBig) this.#overflow(page.readBigUInt64LE(value), size, walk, fault);
    if (isTree) {
      if (size !== TREE_SIZE) throw fault(`a tree of ${size} bytes`);
      this.#begin(page.toString("latin1", at + 8, value).replace(/[^\x20-\x7e]/g, ""), readTree(page, value));
    }
    if (walk === this.#free && !isBig) this.#readFree(page.subarray(value, value + size));
    return length;
  }

  /** A value with pages of its own. */
  #overflow(first: bigint, size: number, walk: Walk, fault: (what: string) => PageFault): void {
    const pageSize = this.#meta.pageSize;
    const count = Math.floor((PAGE_HEADER - 1 + size) / pageSize) + 1;
    if (first > BigInt(this.#meta.lastPage)) throw fault(`a value on page ${first}`);
    const number = Number(first);
    for (let i = 0; i < count; i++) this.#see(number + i, walk.name);
    walk.overflowPages += count;
    const head = this.#page(number);
    if ((head.readUInt16LE(18) & KINDS) !== PageFlag.Overflow || head.readUInt32LE(20) !== count)
      throw new PageFault(
        `page ${number} of the tree of ${walk.name} does not begin a value of ${count} pages`,
      );
    if (walk !== this.#free) return;
    const bytes: Buffer[] = [];
    for (let i = 0; i < count; i++) bytes.push(Buffer.from(this.#file.page(number + i, pageSize)));
    this.#readFree(Buffer.concat(bytes).subarray(PAGE_HEADER, PAGE_HEADER + size));
  }

  /**
   * Free pages of one transaction: how many words follow, then page numbers. The package `lmdb` leaves words empty, and
   * has a negative one before the first page of several that are next to each other: how many.
   */
  #readFree(list: Buffer): void {
    const count = list.length < 8 ? -1 : Number(list.readBigInt64LE(0));
    if (count < 0 || 8 * (count + 1) > list.length)
      throw new PageFault(`a list of ${count} free pages in ${list.length} bytes`);
    let length = 1;
    for (let i = 1; i <= count; i++) {
      const word = Number(list.readBigInt64LE(8 * i));
      if (word === 0) continue;
      if (word > 0) this.#freeRanges.push({ first: word, last: word + length - 1 });
      length = word < 0 ? -word : 1;
    }
  }

  #page(number: number): Buffer {
    const page = this.#file.page(number, this.#meta.pageSize);
    if (page.readBigUInt64LE(0) !== BigInt(number))
      throw new PageFault(`page ${number} says that it is another`);
    if (page.readBigUInt64LE(8) > this.#meta.transaction)
      throw new PageFault(`page ${number} is of the future`);
    return page;
  }

  #see(number: number, name: string): void {
    if (number < 2 || number > this.#meta.lastPage)
      throw new PageFault(`the tree of ${name} leads to page ${number}`);
    if (number >>> 3 >= this.#seen.length) throw new PageFault(`page ${number} is past the end of the file`);
    if (this.#isSeen(number)) throw new PageFault(`page ${number} is in use twice`);
    this.#seen[number >>> 3] = (this.#seen[number >>> 3] as number) | (1 << (number & 7));
  }

  #isSeen(number: number): boolean {
    return (((this.#seen[number >>> 3] ?? 0) >> (number & 7)) & 1) === 1;
  }
}

/**
 * Nodes fill their page from one byte to its end, without gaps. LMDB moves them by their sizes when one of them goes: one that is
 * wrong would have it write past the page.
 */
function checkFilled(
  sizes: ReadonlyMap<number, number>,
  first: number,
  end: number,
  fault: (what: string) => PageFault,
): void {
  let at = first;
  for (let nodes = sizes.size; nodes > 0; nodes--) {
    const size = sizes.get(at);
    if (size === undefined) throw fault(`no node at byte ${at}`);
    at += size;
  }
  if (at !== end) throw fault(`its nodes end at byte ${at}`);
}

function checkCounts({ name, tree, branchPages, leafPages, overflowPages, entries }: Walk): void {
  const found = [branchPages, leafPages, overflowPages, entries].join(", ");
  const expected = [tree.branchPages, tree.leafPages, tree.overflowPages, tree.entries].join(", ");
  if (found !== expected)
    throw new PageFault(
      `the tree of ${name} has ${found} branches, leaves, other pages, entries; ${expected} expected`,
    );
}

/** Whether one key is before another, both on one page. A loop: `Buffer.compare` with places costs several times as much. */
function isLess(page: Buffer, aStart: number, aEnd: number, bStart: number, bEnd: number): boolean {
  const length = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < length; i++) {
    const difference = (page[aStart + i] as number) - (page[bStart + i] as number);
    if (difference !== 0) return difference < 0;
  }
  return aEnd - aStart < bEnd - bStart;
}
