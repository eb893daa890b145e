/**
 * What a stream of JetStream has of sessions. A message is a piece of a batch of commits, or of a snapshot:
 *
 *   4  "SHSL"
 *   1  version, 1
 *   1  kind: 1, a batch; 2, a snapshot
 *   8  who wrote the batch, or which snapshot it is: random
 *   6  the batch's number, greater with each one of its writer; of a snapshot the sequence that it stands for
 *   4  number of the piece, from 0
 *   4  pieces of the batch; of a snapshot 1 at the last piece, else 0
 *   …  the piece
 *
 * The pieces of a batch together are commits: 4 number of checks, 4 number of writes, then
 *
 *   check   1 length of the key, the key, 8 version (double)
 *   write   1 length of the key, the key, 4 length of the value (ffffffff: removed), the value
 *
 * The pieces of a snapshot together are records, which may lie in several pieces:
 *
 *   1  a writer      8 id, 6 number of its last batch
 *   2  a batch's piece, of a batch that is not whole   8 id, 6 number, 4 pieces of the batch, 4 length, the piece
 *   3  an entry      1 length of the key, the key, 8 version (double), 4 length of the value, the value
 */
import type { SessionStoreCheck, SessionStoreEntry, SessionStoreWrite } from "./store.js";

const MAGIC = 0x5348534c;
const VERSION = 1;
export const HEADER_BYTES = 28;
const REMOVED = 0xffffffff;

export const Kind = { batch: 1, snapshot: 2 } as const;

/** A message, its body not copied. */
export interface StreamMessage {
  readonly kind: number;
  /** 16 hexadecimal digits. */
  readonly id: string;
  readonly number: number;
  readonly index: number;
  readonly count: number;
  readonly body: Buffer;
}

export interface Commit {
  readonly checks: readonly SessionStoreCheck[];
  readonly writes: readonly SessionStoreWrite[];
}

/** How many pieces a batch has to have to be taken for one. */
const MAX_PIECES = 65_536;

export function encodeMessage(
  kind: number,
  { id, number, index, count, body }: Omit<StreamMessage, "kind">,
): Buffer {
  const message = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  message.writeUInt32BE(MAGIC, 0);
  message.writeUInt8(VERSION, 4);
  message.writeUInt8(kind, 5);
  message.write(id, 6, 8, "hex");
  message.writeUIntBE(number, 14, 6);
  message.writeUInt32BE(index, 20);
  message.writeUInt32BE(count, 24);
  body.copy(message, HEADER_BYTES);
  return message;
}

/** @returns `undefined`: not of sessions; "newer": of a version that this one does not know */
export function decodeMessage(message: Buffer): StreamMessage | "newer" | undefined {
  if (message.length < HEADER_BYTES || message.readUInt32BE(0) !== MAGIC) return undefined;
  if (message.readUInt8(4) !== VERSION) return "newer";
  const kind = message.readUInt8(5);
  const count = message.readUInt32BE(24);
  if (kind !== Kind.batch && kind !== Kind.snapshot) return "newer";
  if (kind === Kind.batch && (count === 0 || count > MAX_PIECES)) return undefined;
  return {
    kind,
    id: message.toString("hex", 6, 14),
    number: message.readUIntBE(14, 6),
    index: message.readUInt32BE(20),
    count,
    body: message.subarray(HEADER_BYTES),
  };
}

/** Bytes of a commit in a batch. */
export function commitBytes({ checks, writes }: Commit): number {
  let bytes = 8;
  for (const { key } of checks) bytes += 9 + key.length;
  for (const { key, value } of writes) bytes += 5 + key.length + (value?.length ?? 0);
  return bytes;
}

export function encodeCommits(commits: readonly Commit[]): Buffer {
  let bytes = 0;
  for (const commit of commits) bytes += commitBytes(commit);
  const body = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const { checks, writes } of commits) {
    at = body.writeUInt32BE(checks.length, at);
    at = body.writeUInt32BE(writes.length, at);
    for (const { key, version } of checks) at = body.writeDoubleBE(version, writeKey(body, key, at));
    for (const { key, value } of writes) {
      at = body.writeUInt32BE(value?.length ?? REMOVED, writeKey(body, key, at));
      if (value !== undefined) at += value.copy(body, at);
    }
  }
  return body;
}

function writeKey(into: Buffer, key: string, at: number): number {
  into.writeUInt8(key.length, at);
  return at + 1 + into.write(key, at + 1, "latin1");
}

/** Values are views of the body. @returns `undefined`: malformed */
export function decodeCommits(body: Buffer): Commit[] | undefined {
  const reader = new Reader(body);
  const commits: Commit[] = [];
  while (reader.left > 0) {
    const counts = [reader.uint(4), reader.uint(4)] as const;
    // Each check and each write has five bytes at least.
    if (reader.isOver || (counts[0] + counts[1]) * 5 > reader.left) return undefined;
    const checks = Array.from({ length: counts[0] }, () => ({ key: reader.key(), version: reader.double() }));
    const writes = Array.from({ length: counts[1] }, () => {
      const [key, length] = [reader.key(), reader.uint(4)];
      return { key, value: length === REMOVED ? undefined : reader.bytes(length) };
    });
    if (reader.isOver) return undefined;
    commits.push({ checks, writes });
  }
  return commits;
}

/** What a snapshot has a record of. */
export type SnapshotRecord =
  | { readonly type: "writer"; readonly id: string; readonly number: number }
  | {
      readonly type: "piece";
      readonly id: string;
      readonly number: number;
      readonly count: number;
      readonly piece: Buffer;
    }
  | ({ readonly type: "entry" } & SessionStoreEntry);

export function encodeRecord(record: SnapshotRecord): Buffer {
  if (record.type === "entry") {
    const { key, version, value } = record;
    const bytes = Buffer.allocUnsafe(14 + key.length + value.length);
    bytes.writeUInt8(3, 0);
    const at = bytes.writeUInt32BE(value.length, bytes.writeDoubleBE(version, writeKey(bytes, key, 1)));
    value.copy(bytes, at);
    return bytes;
  }
  const piece = record.type === "piece" ? record.piece : undefined;
  const bytes = Buffer.allocUnsafe(15 + (piece === undefined ? 0 : 8 + piece.length));
  bytes.writeUInt8(piece === undefined ? 1 : 2, 0);
  bytes.write(record.id, 1, 8, "hex");
  bytes.writeUIntBE(record.number, 9, 6);
  if (record.type === "piece") {
    bytes.writeUInt32BE(record.count, 15);
    bytes.writeUInt32BE(record.piece.length, 19);
    record.piece.copy(bytes, 23);
  }
  return bytes;
}

/** A batch or a snapshot in pieces; one at least. */
export function cutBody(body: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at === 0 || at < body.length; at += size) pieces.push(body.subarray(at, at + size));
  return pieces;
}

/** Takes of the records what the next piece needs, when it is asked for. */
export function* piecesOf(
  records: IterableIterator<SnapshotRecord>,
  size: number,
): IterableIterator<{ readonly body: Buffer; readonly isLast: boolean }> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for (const record of records) {
    const encoded = encodeRecord(record);
    parts.push(encoded);
    bytes += encoded.length;
    if (bytes <= size) continue;
    const pieces = cutBody(Buffer.concat(parts), size);
    const rest = pieces.pop() as Buffer;
    for (const body of pieces) yield { body, isLast: false };
    parts = [rest];
    bytes = rest.length;
  }
  yield { body: Buffer.concat(parts), isLast: true };
}

/** Reads records from pieces of a snapshot. */
export class SnapshotParser {
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes that have to be there before it is worth looking again. */
  #wanted = 0;

  /** Whether nothing is left of a record. */
  get isAtEnd(): boolean {
    return this.#bytes === 0;
  }

  /** @returns `false`: malformed */
  add(piece: Buffer, record: (record: SnapshotRecord) => void): boolean {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes < this.#wanted) return true;
    const all = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces);
    const reader = new Reader(all);
    let end = 0;
    while (reader.left > 0) {
      const found = reader.record();
      if (found === undefined) return false;
      if (reader.isOver) break;
      record(found);
      end = all.length - reader.left;
    }
    this.#wanted = reader.isOver ? reader.wanted - end : 0;
    // What is kept is not a view of a message that has much more.
    this.#pieces = end === all.length ? [] : [Buffer.from(all.subarray(end))];
    this.#bytes = all.length - end;
    return true;
  }
}

/** Reads until something lies past the end; from then on all is empty. */
class Reader {
  readonly #from: Buffer;
  #at = 0;
  isOver = false;
  /** The length that the bytes would have to have for the read that was past their end. */
  wanted = 0;

  constructor(from: Buffer) {
    this.#from = from;
  }

  get left(): number {
    return this.#from.length - this.#at;
  }

  #take(length: number): number | undefined {
    if (this.isOver) return undefined;
    if (length > this.left) {
      this.isOver = true;
      this.wanted = this.#at + length;
      return undefined;
    }
    this.#at += length;
    return this.#at - length;
  }

  uint(length: 1 | 4 | 6): number {
    const at = this.#take(length);
    return at === undefined ? 0 : this.#from.readUIntBE(at, length);
  }

  double(): number {
    const at = this.#take(8);
    return at === undefined ? 0 : this.#from.readDoubleBE(at);
  }

  bytes(length: number): Buffer {
    const at = this.#take(length);
    return at === undefined ? Buffer.alloc(0) : this.#from.subarray(at, at + length);
  }

  key(): string {
    return this.bytes(this.uint(1)).toString("latin1");
  }

  id(): string {
    return this.bytes(8).toString("hex");
  }

  /** @returns `undefined`: malformed. Where it {@link isOver}, the result has no meaning. */
  record(): SnapshotRecord | undefined {
    const tag = this.uint(1);
    if (tag === 1) return { type: "writer", id: this.id(), number: this.uint(6) };
    if (tag === 2) {
      const [id, number, count] = [this.id(), this.uint(6), this.uint(4)];
      return { type: "piece", id, number, count, piece: this.bytes(this.uint(4)) };
    }
    if (tag !== 3) return undefined;
    const [key, version] = [this.key(), this.double()];
    return { type: "entry", key, version, value: this.bytes(this.uint(4)) };
  }
}
