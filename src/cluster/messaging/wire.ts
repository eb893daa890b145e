/**
 * Messages of a link between two nodes. Numbers are big-endian.
 *
 *   from the sender (its end dialled)
 *     HELLO     1 | receiver … (a schema)
 *     BATCH     2 | sequence 6 | count 2 | item, count times        item   kind 1 | length uint | bytes
 *     ITEM      3 | sequence 6 | kind 1 | item
 *   from the receiver
 *     WELCOME   4 | receiver … (a schema)
 *     REFUSED   5 | reason
 *     ACK       6 | session 4 | delivered 6
 *
 * The sequence is the number of a frame's first item in its session. docs/spec/messaging.md has the rules.
 */
import { slice } from "../../core/memory.js";
import { MAX_LANES } from "./bounds.js";
import {
  hex,
  Reader,
  readUint16,
  readUint32,
  readUint48,
  schema,
  text,
  uint,
  writeUint32,
  writeUint48,
} from "./schema.js";

export const LinkFrame = { HELLO: 1, BATCH: 2, ITEM: 3, WELCOME: 4, REFUSED: 5, ACK: 6 } as const;

/** Bytes before the items of a BATCH, of the first frame of an ITEM, and of an ACK. */
export const BATCH_HEADER = 9;
export const ITEM_HEADER = 8;
export const ACK_SIZE = 11;
export const MAX_BATCH_ITEMS = 65_535;
export const MAX_SEQUENCE = 2 ** 48 - 1;
export const MAX_SESSION = 2 ** 32 - 1;

const MAX_REASON = 64;

const HELLO = schema({
  /** The node that the sender means to have dialled. */
  to: hex(16),
  from: hex(16),
  /** Random, for the life of the sender's links. */
  life: hex(8),
  /** Counts how often the sender gave up waiting items for this receiver. */
  session: uint(MAX_SESSION),
  /** Unacknowledged items and bytes that it keeps. */
  maxWaiting: uint(),
  maxWaitingBytes: uint(),
  /** 0: the main link; others: for messages that name protocols. */
  lane: uint(MAX_LANES),
  /** Items of this session that were sent. */
  sent: uint(MAX_SEQUENCE),
});
export type Hello = NonNullable<ReturnType<typeof HELLO.decode>>;

const WELCOME = schema({
  from: hex(16),
  life: hex(8),
  session: uint(MAX_SESSION),
  /** Received items of this session. */
  received: uint(MAX_SEQUENCE),
  /** Of them, those that the program has. */
  delivered: uint(MAX_SEQUENCE),
  /** Bytes that may be in flight without an acknowledgement. */
  window: uint(),
  maxItem: uint(),
  /** 1: it has forgotten items of this session. */
  forgot: uint(1),
});
export type Welcome = NonNullable<ReturnType<typeof WELCOME.decode>>;

const REFUSED = schema({ reason: text(MAX_REASON) });

function withType(type: number, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(1 + body.length);
  frame[0] = type;
  body.copy(frame, 1);
  return frame;
}

export function encodeHello(hello: Hello): Buffer {
  return withType(LinkFrame.HELLO, HELLO.encode(hello));
}

export function decodeHello(frame: Buffer): Hello | undefined {
  return frame[0] === LinkFrame.HELLO ? HELLO.decode(frame, 1) : undefined;
}

export function encodeWelcome(welcome: Welcome): Buffer {
  return withType(LinkFrame.WELCOME, WELCOME.encode(welcome));
}

export function decodeWelcome(frame: Buffer): Welcome | undefined {
  return frame[0] === LinkFrame.WELCOME ? WELCOME.decode(frame, 1) : undefined;
}

export function encodeRefused(reason: string): Buffer {
  return withType(LinkFrame.REFUSED, REFUSED.encode({ reason }));
}

/** @returns the reason */
export function decodeRefused(frame: Buffer): string | undefined {
  return frame[0] === LinkFrame.REFUSED ? REFUSED.decode(frame, 1)?.reason : undefined;
}

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

/** The number of a data frame's first item; -1 for another frame. */
export function sequenceOf(frame: Buffer): number {
  const type = frame[0];
  if (type === LinkFrame.BATCH ? frame.length <= BATCH_HEADER : frame.length < ITEM_HEADER) return -1;
  return type === LinkFrame.BATCH || type === LinkFrame.ITEM ? readUint48(frame, 1) : -1;
}

export function countOf(frame: Buffer): number {
  return frame[0] === LinkFrame.BATCH ? readUint16(frame, 7) : 1;
}

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

  /** As a view. */
  item(): Buffer {
    const { start } = this;
    return slice(this.frame.buffer, this.frame.byteOffset + start, this.end - start);
  }

  /** Whether everything was read and well-formed. */
  get isWhole(): boolean {
    return !this.#reader.failed && this.#reader.at === this.frame.length;
  }
}
