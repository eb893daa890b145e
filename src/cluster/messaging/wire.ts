/**
 * Messages of a link between two nodes. Numbers are big-endian.
 *
 *   from the sender (its end dialled)
 *     HELLO     1 | fields of Hello, ids as bytes and numbers as uints
 *     BATCH     2 | sequence 6 | count 2 | item, count times        item   kind 1 | length uint | bytes
 *   from the receiver
 *     ACK       3 | session 4 | delivered 6      also the answer to HELLO
 *     REFUSED   4 | reason text
 *
 * The sequence is the number of a batch's first item in its session. docs/spec/messaging.md has the rules.
 */
import { readUint16, readUint32, writeUint32 } from "../../core/bytes.js";
import { slice } from "../../core/memory.js";
import { Reader, readUint48, Writer, writeUint48 } from "../compact.js";

export const LinkFrame = { HELLO: 1, BATCH: 2, ACK: 3, REFUSED: 4 } as const;

/** Bytes before the items of a BATCH; most bytes of an item's kind and length; bytes of an ACK. */
export const BATCH_HEADER = 9;
export const ITEM_HEADER = 6;
export const ACK_SIZE = 11;

/** Bytes. */
const ID = 16;

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
    to: reader.id(ID),
    from: reader.id(ID),
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

/** @returns the reason */
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

/** @returns `undefined` for an invalid frame */
export function decodeAck(
  frame: Buffer,
): { readonly session: number; readonly delivered: number } | undefined {
  if (frame.length !== ACK_SIZE || frame[0] !== LinkFrame.ACK) return undefined;
  return { session: readUint32(frame, 1), delivered: readUint48(frame, 5) };
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
