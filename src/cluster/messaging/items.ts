/**
 * Items of the kinds PUBLISH and DIRECT (docs/spec/messaging.md). PUBLISH is the hot path and is read by hand, not by a
 * schema; publication.ts writes it.
 *
 *   name     length varint | UTF-8
 *   PUBLISH  flags 1 | client 4 | alias varint | topic name | subtopic name | stamp 8 | context name | data
 *   DIRECT   flags 1 | to 4 | client 4 | subtopic name | context name | data
 *   CLOSED   0x80 | client 4: the sender of this DIRECT has no such client
 *
 * A field is there if its flag is set.
 */
import { slice } from "../../core/memory.js";
import { Reader, sizeOfUint, Writer, writeUint } from "../compact.js";
import { MAX_SHORT_TOPIC, MAX_TOPIC, MIN_ITEM_LIMIT } from "./bounds.js";

export const ItemFlag = {
  SUBTOPIC: 1,
  RETAIN: 2,
  CLIENT: 4,
  /** The topic is an alias (publication.ts). */
  ALIAS: 16,
  /** An alias and its topic from now on. */
  DEFINE: 32,
  CONTEXT: 64,
  CLOSED: 0x80,
} as const;

const PUBLISH_FLAGS = Object.values(ItemFlag).reduce((all, flag) => all | flag, 0) & ~ItemFlag.CLOSED;

/** Reused for one item at a time. */
const out = new Writer();

// --- Writing ---------------------------------------------------------------------------------------------------------

export function encodeName(name: string): Buffer {
  const bytes = Buffer.byteLength(name);
  const encoded = Buffer.allocUnsafe(sizeOfUint(bytes) + bytes);
  encoded.write(name, writeUint(encoded, 0, bytes));
  return encoded;
}

export function dataBytes(data: string | Uint8Array): number {
  return typeof data === "string" ? Buffer.byteLength(data) : data.length;
}

export function writeData(into: Buffer, data: string | Uint8Array, offset: number): void {
  if (typeof data === "string") into.write(data, offset);
  else into.set(data, offset);
}

/** The context of a trace, if every node takes the item with it. @param bytes of the item without it */
export function fittingContext<C extends Uint8Array>(context: C | undefined, bytes: number): C | undefined {
  return context !== undefined && bytes + contextSize(context) <= MIN_ITEM_LIMIT ? context : undefined;
}

export function contextSize(context: Uint8Array | undefined): number {
  return context === undefined ? 0 : sizeOfUint(context.length) + context.length;
}

/** Size of a DIRECT without a context. */
export function directBytes(client: number, subtopic: string | undefined, data: string | Uint8Array): number {
  const name = subtopic === undefined ? 0 : Buffer.byteLength(subtopic);
  return 5 + (client === 1 ? 0 : 4) + (name === 0 ? 0 : sizeOfUint(name) + name) + dataBytes(data);
}

/** @param context of a trace; omitted if the item is too large with it */
export function encodeDirect(
  to: number,
  client: number,
  subtopic: string | undefined,
  data: string | Uint8Array,
  context?: Uint8Array,
): Buffer {
  const flags = (subtopic === undefined ? 0 : ItemFlag.SUBTOPIC) | (client === 1 ? 0 : ItemFlag.CLIENT);
  out.byte(flags);
  out.uint32(to);
  if (client !== 1) out.uint32(client);
  if (subtopic !== undefined) out.text(subtopic);
  const fitting = fittingContext(context, out.at + dataBytes(data));
  if (fitting !== undefined) {
    out.bytes[0] = flags | ItemFlag.CONTEXT;
    out.sized(fitting);
  }
  return out.finish(data);
}

/** @param client that the sender does not have */
export function encodeClosed(client: number): Buffer {
  out.byte(ItemFlag.CLOSED);
  out.uint32(client);
  return out.take();
}

// --- Reading ---------------------------------------------------------------------------------------------------------

export class ItemReader extends Reader {
  /** Cached for the items of a batch: each of the two is a call into the runtime. */
  #memory: ArrayBufferLike = EMPTY.buffer;
  #base = EMPTY.byteOffset;
  /** Of the last name. */
  nameStart = 0;
  nameEnd = 0;

  constructor() {
    super(EMPTY);
  }

  start(item: Buffer, at: number, end: number = item.length): void {
    if (item !== this.bytes) {
      this.bytes = item;
      this.#memory = item.buffer;
      this.#base = item.byteOffset;
    }
    this.at = at;
    this.end = end;
    this.failed = false;
  }

  /** At most 32 bits. */
  varint(): number {
    return this.uintUpTo(0xffff_ffff);
  }

  stamp(): number {
    const high = this.uint32();
    const low = this.uint32();
    const stamp = high * 0x1_0000_0000 + low;
    if (stamp < 1 || stamp > Number.MAX_SAFE_INTEGER) this.failed = true;
    return stamp;
  }

  /** Does not check the UTF-8. */
  skipName(): void {
    const bytes = this.varint();
    if (this.failed || bytes < 1 || bytes > MAX_TOPIC || this.at + bytes > this.end) {
      this.failed = true;
      this.nameStart = this.at;
      this.nameEnd = this.at;
      return;
    }
    this.nameStart = this.at;
    this.at += bytes;
    this.nameEnd = this.at;
  }

  /** Not empty, and valid UTF-8. */
  subtopic(): string {
    const name = this.text(MAX_SHORT_TOPIC);
    if (name === "") this.failed = true;
    return name;
  }

  rest(): Buffer {
    const { at } = this;
    return slice(this.#memory, this.#base + at, this.end - at);
  }
}

const EMPTY = Buffer.alloc(0);

/** The topic stays in place: `reader.nameStart`, `nameEnd`. */
export class PublishItem {
  readonly reader = new ItemReader();
  flags = 0;
  client = 1;
  subtopic: string | undefined = undefined;
  stamp = 0;
  alias = -1;
  context: Buffer | undefined = undefined;

  /** Reads up to the topic. @returns whether it is well-formed so far */
  readHead(item: Buffer, at: number, end: number): boolean {
    const { reader } = this;
    reader.start(item, at, end);
    const flags = reader.byte();
    this.flags = flags;
    this.client = (flags & ItemFlag.CLIENT) === 0 ? 1 : reader.uint32();
    this.subtopic = undefined;
    this.stamp = 0;
    this.context = undefined;
    this.alias = (flags & (ItemFlag.ALIAS | ItemFlag.DEFINE)) === 0 ? -1 : reader.varint();
    if ((flags & ItemFlag.ALIAS) === 0) reader.skipName();
    else if ((flags & ItemFlag.DEFINE) !== 0) return false;
    return !reader.failed && (flags & ~PUBLISH_FLAGS) === 0 && isClient(this.client);
  }

  /** Reads the rest. @returns whether it is well-formed */
  readTail(): boolean {
    const { reader, flags } = this;
    if ((flags & ItemFlag.SUBTOPIC) !== 0) this.subtopic = reader.subtopic();
    if ((flags & ItemFlag.RETAIN) !== 0) this.stamp = reader.stamp();
    if ((flags & ItemFlag.CONTEXT) !== 0) this.context = reader.context();
    return !reader.failed;
  }
}

/** Whether a number is a node's own client. */
export function isClient(id: number): boolean {
  return id >= 1 && id < 0x8000_0000;
}
