/**
 * The pages of a file of LMDB (data format 2), as they stand on the disk. Numbers
 * are in the machine's order; only little-endian machines are read.
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
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

export const PAGE_HEADER = 24;
export const TREE_SIZE = 48;
export const MAGIC = 0xbeefc0de;
/** A root page that is none: the tree is empty. */
export const NO_PAGE = 0xffff_ffff_ffff_ffffn;
export const PageFlag = { Branch: 1, Leaf: 2, Overflow: 4, Meta: 8 } as const;
export const NodeFlag = { Big: 1, Tree: 2 } as const;
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

export interface Tree {
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

export interface Meta {
  readonly pageSize: number;
  readonly lastPage: number;
  readonly transaction: bigint;
  readonly free: Tree;
  readonly names: Tree;
}

/** What is wrong with a file. */
export class PageFault extends Error {}

/** A file of LMDB that is read, not mapped: where it is cut off or damaged this is an error, and no signal. */
export class PageFile {
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
export function readTree(bytes: Buffer, at: number): Tree {
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
