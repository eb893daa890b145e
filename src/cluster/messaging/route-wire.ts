/**
 * What route replication sends, as items of the kind ROUTES (docs/spec/messaging.md).
 *
 *   item      DIGEST   1 | salt 4 | bucket 4 × 16
 *             VERSIONS 2 | flags 1 (1: answer) | mask 2 | n uint | (id 16 | life 6 | version uint) × n
 *             WANT     3 | id 16 | life 6 | version uint | part uint | [most uint]
 *             BLOCK    4 | flags 1 (1: ask again, 2: this is all) | block
 *             PUSH     5 | flags 1 (1: acknowledge, 2: hand on, 4: block) | id 16 | life 6 | version uint | [until 16] | [block]
 *             NONE     6 | id 16 | life 6
 *             ACK      7 | id 16 | life 6 | version uint | missing uint
 *   block     kind 1 | id 16 | life 6 | version uint | part uint | exact uint | n uint | operation × n | signature 64
 *   operation kind 1 (1: add, 2: name, 4: chosen, 8: of a subtopic) | length uint | UTF-8 | [id uint, of a name]
 *
 * Fixed numbers are big-endian. A block is what a node states of its own interest: a change that makes `version` of the version
 * before it, or a part of a snapshot of `version`. It is made once, signed, and handed on as it is.
 */
import { isAscii, isUtf8 } from "node:buffer";
import { MAX_ROUTE_BLOCK, ROUTE_BUCKETS, ROUTE_BURST } from "./bounds.js";
import { Reader, Writer } from "./schema.js";

export const RouteItem = { DIGEST: 1, VERSIONS: 2, WANT: 3, BLOCK: 4, PUSH: 5, NONE: 6, ACK: 7 } as const;

/** What a block is: a change, a part of a snapshot with more to come, or its last part. */
export const BlockKind = { CHANGE: 0, PART: 1, LAST_PART: 2 } as const;
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind];

/** Bits of an operation's kind. Without ADD it removes; with NAME it is about the id of a name, else about a filter. */
export const Operation = { ADD: 1, NAME: 2, CHOSEN: 4, SUBTOPIC: 8 } as const;

const ID_BYTES = 16;
const LIFE_BYTES = 6;
export const SIGNATURE_BYTES = 64;
/** A version further than this ahead of nothing cannot be true: 2^48 changes. */
export const MAX_VERSION = 2 ** 48 - 1;
/** Characters up to which a loop writes faster than native code. A length of so many has one byte. */
const SHORT = 64;
/** The greatest id of a name: 32 bits. */
const MAX_NAME_ID = 0xffff_ffff;

/** What a node has of another: the life of that one, and the version of its routes. */
export interface RouteVersion {
  readonly id: string;
  readonly life: number;
  readonly version: number;
}

/** A block that is well-formed. Its operations stay bytes: `readOperations` reads them. */
export interface Block extends RouteVersion {
  readonly kind: BlockKind;
  readonly part: number;
  /** Of a snapshot's last part: the version from which on what the reader has is exact. */
  readonly exact: number;
  /** Operations, where they begin in `bytes`, and whether each of them adds. */
  readonly count: number;
  readonly from: number;
  readonly onlyAdds: boolean;
  /** The whole, as it is handed on. */
  readonly bytes: Buffer;
}

/** Who takes the operations of a block. */
export interface OperationSink {
  /** @param start where its text begins in `bytes`, which are the item's: valid UTF-8 */
  filter(kind: number, bytes: Buffer, start: number, end: number): void;
  name(kind: number, name: string, id: number): void;
}

export type RouteMessage =
  | { readonly type: typeof RouteItem.DIGEST; readonly salt: number; readonly buckets: Uint32Array }
  | {
      readonly type: typeof RouteItem.VERSIONS;
      readonly answer: boolean;
      readonly mask: number;
      readonly entries: readonly RouteVersion[];
    }
  | (RouteVersion & {
      readonly type: typeof RouteItem.WANT;
      readonly part: number;
      /** Blocks that are wanted, 1 to `ROUTE_BURST`. */
      readonly most: number;
    })
  | {
      readonly type: typeof RouteItem.BLOCK;
      readonly again: boolean;
      readonly end: boolean;
      readonly block: Block;
    }
  | (RouteVersion & {
      readonly type: typeof RouteItem.PUSH;
      readonly ack: boolean;
      readonly until: string | undefined;
      readonly block: Block | undefined;
    })
  | (Omit<RouteVersion, "version"> & { readonly type: typeof RouteItem.NONE })
  | (RouteVersion & { readonly type: typeof RouteItem.ACK; readonly missing: number });

const scratch = new Writer(4_096);

function begin(type: number): Writer {
  scratch.at = 0;
  scratch.reserve(64);
  scratch.bytes[0] = type;
  scratch.at = 1;
  return scratch;
}

function writeByte(to: Writer, value: number): void {
  to.reserve(1);
  to.bytes[to.at++] = value;
}

function writeOrigin(to: Writer, id: string, life: number): void {
  to.reserve(ID_BYTES + LIFE_BYTES);
  to.at += to.bytes.write(id, to.at, ID_BYTES, "hex");
  to.at = to.bytes.writeUIntBE(life, to.at, LIFE_BYTES);
}

function append(to: Writer, bytes: Uint8Array): void {
  to.reserve(bytes.length);
  to.bytes.set(bytes, to.at);
  to.at += bytes.length;
}

export function encodeDigest(salt: number, buckets: Uint32Array): Buffer {
  const to = begin(RouteItem.DIGEST);
  to.reserve(4 + 4 * ROUTE_BUCKETS);
  to.at = to.bytes.writeUInt32BE(salt >>> 0, to.at);
  for (let i = 0; i < ROUTE_BUCKETS; i++) to.at = to.bytes.writeUInt32BE(buckets[i] as number, to.at);
  return to.take();
}

export function encodeVersions(answer: boolean, mask: number, entries: readonly RouteVersion[]): Buffer {
  const to = begin(RouteItem.VERSIONS);
  writeByte(to, answer ? 1 : 0);
  to.at = to.bytes.writeUInt16BE(mask, to.at);
  to.uint(entries.length);
  for (const { id, life, version } of entries) {
    writeOrigin(to, id, life);
    to.uint(version);
  }
  return to.take();
}

/** @param most blocks that are wanted: a bound that nodes of earlier versions do not look at */
export function encodeWant(
  id: string,
  life: number,
  version: number,
  part: number,
  most: number = ROUTE_BURST,
): Buffer {
  const to = begin(RouteItem.WANT);
  writeOrigin(to, id, life);
  to.uint(version);
  to.uint(part);
  if (most < ROUTE_BURST) to.uint(most);
  return to.take();
}

export function encodeBlockItem(again: boolean, end: boolean, block: Uint8Array): Buffer {
  const to = begin(RouteItem.BLOCK);
  writeByte(to, (again ? 1 : 0) | (end ? 2 : 0));
  append(to, block);
  return to.take();
}

export function encodePush(
  ack: boolean,
  { id, life, version }: RouteVersion,
  until: string | undefined,
  block: Uint8Array | undefined,
): Buffer {
  const to = begin(RouteItem.PUSH);
  writeByte(to, (ack ? 1 : 0) | (until === undefined ? 0 : 2) | (block === undefined ? 0 : 4));
  writeOrigin(to, id, life);
  to.uint(version);
  if (until !== undefined) append(to, Buffer.from(until, "hex"));
  if (block !== undefined) append(to, block);
  return to.take();
}

export function encodeNone(id: string, life: number): Buffer {
  const to = begin(RouteItem.NONE);
  writeOrigin(to, id, life);
  return to.take();
}

export function encodeAck(id: string, life: number, version: number, missing: number): Buffer {
  const to = begin(RouteItem.ACK);
  writeOrigin(to, id, life);
  to.uint(version);
  to.uint(missing);
  return to.take();
}

/** Writes the operations of one block after another. */
export class BlockWriter {
  readonly #operations = new Writer(16_384);
  #count = 0;

  /** Bytes of its operations so far. */
  get size(): number {
    return this.#operations.at;
  }

  get count(): number {
    return this.#count;
  }

  add(kind: number, text: string, number = 0): void {
    const to = this.#operations;
    if (!this.#addShort(kind, text)) {
      writeByte(to, kind);
      const length = Buffer.byteLength(text);
      to.uint(length);
      to.reserve(length);
      to.at += to.bytes.write(text, to.at, "utf8");
    }
    if ((kind & Operation.NAME) !== 0) to.uint(number);
    this.#count += 1;
  }

  /** Most filters: a loop is faster than two calls into native code. `false`, and nothing is written, for what is long or not ASCII. */
  #addShort(kind: number, text: string): boolean {
    const { length } = text;
    if (length > SHORT) return false;
    const to = this.#operations;
    to.reserve(2 + SHORT);
    const { bytes, at } = to;
    bytes[at] = kind;
    bytes[at + 1] = length;
    let all = 0;
    for (let i = 0; i < length; i++) {
      const character = text.charCodeAt(i);
      all |= character;
      bytes[at + 2 + i] = character;
    }
    if (all > 127) return false;
    to.at = at + 2 + length;
    return true;
  }

  /** The block with a signature; the writer begins again. @param sign of the bytes before the signature */
  finish(
    kind: BlockKind,
    { id, life, version }: RouteVersion,
    part: number,
    exact: number,
    sign: (bytes: Uint8Array) => Uint8Array,
  ): Buffer {
    const to = begin(kind);
    writeOrigin(to, id, life);
    to.uint(version);
    to.uint(part);
    to.uint(exact);
    to.uint(this.#count);
    append(to, this.#operations.bytes.subarray(0, this.#operations.at));
    this.#operations.at = 0;
    this.#count = 0;
    const signature = sign(to.bytes.subarray(0, to.at));
    append(to, signature);
    return to.take();
  }
}

/** The bytes that a block's signature is of, and the signature. */
export function signedPart(block: Buffer): { readonly bytes: Buffer; readonly signature: Buffer } {
  const end = block.length - SIGNATURE_BYTES;
  return { bytes: block.subarray(0, end), signature: block.subarray(end) };
}

/** @returns `undefined` for what is not an item. Nothing that it returns shares memory with `item`, but for blocks. */
export function decodeRouteItem(item: Buffer): RouteMessage | undefined {
  if (item.length === 0) return undefined;
  const reader = new Reader(item, 1);
  const message = readItem(reader, item[0] as number);
  return reader.failed ? undefined : message;
}

function readItem(reader: Reader, type: number): RouteMessage | undefined {
  switch (type) {
    case RouteItem.DIGEST: {
      const bytes = reader.view(4 + 4 * ROUTE_BUCKETS);
      if (reader.failed) return undefined;
      const buckets = new Uint32Array(ROUTE_BUCKETS);
      for (let i = 0; i < ROUTE_BUCKETS; i++) buckets[i] = bytes.readUInt32BE(4 + 4 * i);
      return { type, salt: bytes.readUInt32BE(0), buckets };
    }
    case RouteItem.VERSIONS: {
      const answer = (readByte(reader) & 1) === 1;
      const mask = (readByte(reader) << 8) | readByte(reader);
      const count = reader.uint();
      // An entry has 23 bytes at least: a count alone makes nobody allocate.
      if (count * (ID_BYTES + LIFE_BYTES + 1) > reader.end - reader.at) reader.failed = true;
      const entries: RouteVersion[] = [];
      for (let i = 0; i < count && !reader.failed; i++) entries.push(readVersion(reader));
      return { type, answer, mask, entries };
    }
    case RouteItem.WANT:
      return { type, ...readVersion(reader), part: readNumber(reader), most: readMost(reader) };
    case RouteItem.BLOCK: {
      const flags = readByte(reader);
      const block = readBlock(reader);
      return block && { type, again: (flags & 1) !== 0, end: (flags & 2) !== 0, block };
    }
    case RouteItem.PUSH: {
      const flags = readByte(reader);
      const of = readVersion(reader);
      const until = (flags & 2) !== 0 ? reader.view(ID_BYTES).toString("hex") : undefined;
      const block = (flags & 4) !== 0 ? readBlock(reader) : undefined;
      if ((flags & 4) !== 0 && !isBlockOf(block, of)) return undefined;
      return { type, ...of, ack: (flags & 1) !== 0, until, block };
    }
    case RouteItem.NONE:
      return { type, ...readOrigin(reader) };
    case RouteItem.ACK:
      return { type, ...readVersion(reader), missing: readNumber(reader) };
    default:
      return undefined;
  }
}

/** Whether a block that was pushed is the change that the item states. */
function isBlockOf(block: Block | undefined, { id, life, version }: RouteVersion): boolean {
  return (
    block !== undefined &&
    block.kind === BlockKind.CHANGE &&
    block.id === id &&
    block.life === life &&
    block.version === version
  );
}

function readByte(reader: Reader): number {
  if (reader.at >= reader.end) {
    reader.failed = true;
    return 0;
  }
  return reader.bytes[reader.at++] as number;
}

function readNumber(reader: Reader): number {
  const number = reader.uint();
  if (number > MAX_VERSION) reader.failed = true;
  return number;
}

/** At the end of an item, where it is less than may be. */
function readMost(reader: Reader): number {
  if (reader.at >= reader.end) return ROUTE_BURST;
  return Math.max(1, Math.min(ROUTE_BURST, readNumber(reader)));
}

function readOrigin(reader: Reader): { id: string; life: number } {
  const bytes = reader.view(ID_BYTES + LIFE_BYTES);
  if (reader.failed) return { id: "", life: 0 };
  return { id: bytes.toString("hex", 0, ID_BYTES), life: bytes.readUIntBE(ID_BYTES, LIFE_BYTES) };
}

function readVersion(reader: Reader): RouteVersion {
  const { id, life } = readOrigin(reader);
  return { id, life, version: readNumber(reader) };
}

/** One of a filter has no further bits; what is removed is not chosen. */
function isOperation(kind: number): boolean {
  if ((kind & Operation.NAME) === 0) return kind <= Operation.ADD;
  return kind < 16 && ((kind & Operation.CHOSEN) === 0 || (kind & Operation.ADD) !== 0);
}

/** The rest of the item is the block. */
function readBlock(reader: Reader): Block | undefined {
  const start = reader.at;
  const { end, bytes } = reader;
  if (end - start > MAX_ROUTE_BLOCK || end - start <= SIGNATURE_BYTES) {
    reader.failed = true;
    return undefined;
  }
  const within = new Reader(bytes, start, end - SIGNATURE_BYTES);
  const kind = readByte(within);
  const of = readVersion(within);
  const part = readNumber(within);
  const exact = readNumber(within);
  const count = within.uint();
  // An operation has two bytes at least.
  if (kind > BlockKind.LAST_PART || 2 * count > within.end - within.at) within.failed = true;
  if (within.failed) {
    reader.failed = true;
    return undefined;
  }
  const from = within.at - start;
  let onlyAdds = true;
  // Lengths below 128 are ASCII, too, so it is all of it mostly: one call into native code in place of one and a view for each filter.
  const isPlain = isAscii(bytes.subarray(within.at, within.end));
  for (let i = 0; i < count && !within.failed; i++) {
    const operation = readByte(within);
    const length = within.uint();
    const at = within.at;
    within.skip(length);
    const number = (operation & Operation.NAME) !== 0 ? within.uint() : 0;
    if (!isOperation(operation) || number > MAX_NAME_ID) within.failed = true;
    else if (!(isPlain || within.failed || isUtf8(bytes.subarray(at, at + length)))) within.failed = true;
    if ((operation & Operation.ADD) === 0) onlyAdds = false;
  }
  if (within.failed || within.at !== within.end) {
    reader.failed = true;
    return undefined;
  }
  return {
    ...of,
    kind: kind as BlockKind,
    part,
    exact,
    count,
    from,
    onlyAdds,
    bytes: bytes.subarray(start, end),
  };
}

/** Hands the operations of a block to who takes them, in their order. Nothing is made for a filter. */
export function readOperations({ bytes, from, count }: Block, sink: OperationSink): void {
  const reader = new Reader(bytes, from, bytes.length - SIGNATURE_BYTES);
  for (let i = 0; i < count; i++) {
    const kind = readByte(reader);
    const length = reader.uint();
    const start = reader.at;
    reader.skip(length);
    if ((kind & Operation.NAME) === 0) sink.filter(kind, bytes, start, reader.at);
    else sink.name(kind, bytes.toString("utf8", start, start + length), reader.uint());
  }
}
