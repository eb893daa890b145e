/**
 * Wire format of links: what a node advertises in its details, and the messages between two nodes. Numbers are big-endian.
 *
 *   prop "shoal-messages"   1;m=BYTES;NAME=WHERE;NAME=WHERE…
 *     1         version
 *     m         bytes of an item that it takes, where that is not 1 MiB
 *     NAME      a protocol       WHERE   what its listener gave: a port (tcp), a path (ipc)
 *     Unknown protocols and what follows the first 400 bytes do not concern a reader.
 *
 *   from the sender (its end dialled)
 *     HELLO     1 | fields of Hello, ids as bytes and numbers as uints
 *     BATCH     2 | sequence 6 | count 2 | item, count times        item   kind 1 | length uint | bytes
 *     ITEM      5 | receiver's id 16 | sender's id 16 | item of the kind MEMBER
 *   from the receiver
 *     ACK       3 | session 4 | delivered 6      also the answer to HELLO
 *     REFUSED   4 | reason text
 *
 * The sequence is the number of a batch's first item in its session. docs/spec/messaging.md has the rules.
 */
import { readUint16, readUint32, writeUint32 } from "../../core/bytes.js";
import { slice } from "../../core/memory.js";
import { MAX_ADVERT, MAX_ENDPOINTS } from "../bounds.js";
import { Reader, readUint48, Writer, writeUint48 } from "../compact.js";
import { MAX_ITEM } from "./bounds.js";

export const LinkFrame = { HELLO: 1, BATCH: 2, ACK: 3, REFUSED: 4, ITEM: 5 } as const;

/** Bytes before the items of a BATCH; most bytes of an item's kind and length; bytes of an ACK; those before an ITEM. */
export const BATCH_HEADER = 9;
export const ITEM_HEADER = 6;
export const ACK_SIZE = 11;
export const LOOSE_HEADER = 33;

export const MESSAGES_PROP = "shoal-messages";
const VERSION = "1";

export interface Hello {
  /** The node that the sender means to have dialled. */
  readonly to: string;
  readonly from: string;
  /** Random, for the life of the sender's links. */
  readonly life: string;
  /** Counts how often the sender gave up waiting items for this receiver. */
  readonly session: number;
  /** Unacknowledged items and bytes that it keeps. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Items of this session that were sent. */
  readonly sent: number;
}

/** Reused for one frame at a time. */
const out = new Writer();

export function encodeHello(hello: Hello): Buffer {
  out.byte(LinkFrame.HELLO);
  out.id(hello.to);
  out.id(hello.from);
  out.id(hello.life);
  out.uint(hello.session);
  out.uint(hello.maxWaiting);
  out.uint(hello.maxWaitingBytes);
  out.uint(hello.sent);
  return out.take();
}

export function decodeHello(frame: Buffer): Hello | undefined {
  if (frame[0] !== LinkFrame.HELLO) return undefined;
  const reader = new Reader(frame, 1);
  const hello = {
    to: reader.id(),
    from: reader.id(),
    life: reader.id(8),
    session: reader.uintUpTo(2 ** 32 - 1),
    maxWaiting: reader.uint(),
    maxWaitingBytes: reader.uint(),
    sent: reader.uintUpTo(2 ** 48 - 1),
  };
  return reader.failed ? undefined : hello;
}

export function encodeRefused(reason: string): Buffer {
  out.byte(LinkFrame.REFUSED);
  out.text(reason);
  return out.take();
}

export function decodeRefused(frame: Buffer): string | undefined {
  if (frame[0] !== LinkFrame.REFUSED) return undefined;
  const reader = new Reader(frame, 1);
  const reason = reader.text(64);
  return reader.failed ? undefined : reason;
}

/** @param delivered items of the session that the program has */
export function encodeAck(session: number, delivered: number): Buffer {
  const frame = Buffer.allocUnsafe(ACK_SIZE);
  frame[0] = LinkFrame.ACK;
  writeUint32(frame, 1, session);
  writeUint48(frame, 5, delivered);
  return frame;
}

export function decodeAck(
  frame: Buffer,
): { readonly session: number; readonly delivered: number } | undefined {
  if (frame.length !== ACK_SIZE || frame[0] !== LinkFrame.ACK) return undefined;
  return { session: readUint32(frame, 1), delivered: readUint48(frame, 5) };
}

/** What precedes an item outside of links. */
export function encodeLooseHead(to: string, from: string): Buffer {
  out.byte(LinkFrame.ITEM);
  out.id(to);
  out.id(from);
  return out.take();
}

export function decodeLooseHead(frame: Buffer): { readonly to: string; readonly from: string } | undefined {
  const reader = new Reader(frame, 1);
  const head = { to: reader.id(), from: reader.id() };
  return reader.failed ? undefined : head;
}

/** The number of a batch's first item; -1 for another frame. */
export function sequenceOf(frame: Buffer): number {
  return frame[0] === LinkFrame.BATCH && frame.length > BATCH_HEADER ? readUint48(frame, 1) : -1;
}

export function countOf(batch: Buffer): number {
  return readUint16(batch, 7);
}

/** An item in its frame, until the next one is read. */
export type PlacedItem = Pick<BatchReader, "kind" | "frame" | "start" | "end" | "view">;

/** Reads the items of a BATCH without an object for each. */
export class BatchReader {
  readonly frame: Buffer;
  readonly #reader: Reader;
  kind = 0;
  start = 0;
  end = 0;

  constructor(frame: Buffer) {
    this.frame = frame;
    this.#reader = new Reader(frame, BATCH_HEADER);
  }

  /** @returns `false` at the end and for a malformed item */
  next(): boolean {
    const reader = this.#reader;
    const frame = this.frame;
    if (reader.at >= frame.length) return false;
    this.kind = frame[reader.at++] as number;
    // Most lengths are of one byte.
    const first = frame[reader.at];
    let size: number;
    if (first !== undefined && first < 128) {
      size = first;
      reader.at += 1;
    } else size = reader.uint();
    if (size > frame.length - reader.at) reader.failed = true;
    if (reader.failed) return false;
    this.start = reader.at;
    reader.at += size;
    this.end = reader.at;
    return true;
  }

  view(): Buffer {
    const { start } = this;
    return slice(this.frame.buffer, this.frame.byteOffset + start, this.end - start);
  }

  /** Whether everything was read and well-formed. */
  get isWhole(): boolean {
    return !this.#reader.failed && this.#reader.at === this.frame.length;
  }
}

/**
 * Where a node takes messages, as other nodes have it in its details: a separate prop, next to those of the program.
 */
export interface MessagesAdvert {
  readonly maxItem: number;
  readonly protocols: ReadonlyMap<string, string>;
}

/** Whether a text can name a protocol; "m" is taken. */
export function isProtocolName(name: unknown): name is string {
  return typeof name === "string" && /^[a-z][a-z0-9]{0,15}$/.test(name) && name !== "m";
}

/** @returns `undefined` if it is too long */
export function encodeAdvert({ maxItem, protocols }: MessagesAdvert): string | undefined {
  const fields = [VERSION];
  if (maxItem !== MAX_ITEM) fields.push(`m=${maxItem}`);
  for (const [name, where] of protocols) fields.push(`${name}=${where}`);
  const advert = fields.join(";");
  return Buffer.byteLength(advert) <= MAX_ADVERT ? advert : undefined;
}

/** @returns `undefined` for another version */
export function decodeAdvert(advert: string | undefined): MessagesAdvert | undefined {
  if (advert === undefined || advert.length > MAX_ADVERT) return undefined;
  const [version, ...fields] = advert.split(";");
  if (version !== VERSION) return undefined;
  let maxItem = MAX_ITEM;
  const protocols = new Map<string, string>();
  for (const field of fields) {
    const at = field.indexOf("=");
    const name = field.slice(0, Math.max(0, at));
    if (name === "m") maxItem = /^\d{1,10}$/.test(field.slice(2)) ? Number(field.slice(2)) : maxItem;
    else if (isProtocolName(name) && protocols.size < MAX_ENDPOINTS) protocols.set(name, field.slice(at + 1));
  }
  return { maxItem, protocols };
}
