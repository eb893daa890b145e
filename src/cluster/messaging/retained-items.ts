/**
 * Items of the kind RETAINED as bytes. Their first byte has the version, 1, in its upper four bits; others are refused.
 *
 *   varint, name    as in items.ts
 *
 *   ASK     11 | request varint | flags 1 | filters: count varint, name × count | known
 *             1 INTEREST   the filters count as the sender's interest for some time: its routes may come later
 *             known:  0                                                                        nothing: all that match are wanted
 *                     1 | bits 1 | sum 6 × 2^bits                                              sums of the buckets: which differ?
 *                     2 | bits 1 | count varint, (bucket varint, count varint, fingerprint 6 × count) × count
 *                                                                                              of these buckets, what it lacks
 *   VALUE   12 | request varint | a PUBLISH item with RETAIN and ORIGIN
 *   END     13 | request varint | buckets that differ: count varint, bucket varint × count, ascending
 *   STALE   14 | why 1 | node 16 with LOST           the receiver may lack values of the sender, and asks it again
 *             1 MISSED     a copy for it was dropped
 *             2 FORGOT     it was lost here, or its questions were too many: none of them is answered
 *             3 LOST       this node was lost here; it matters to who does not see it as live either
 */
import { MAX_ASK_FILTERS, MAX_DIGEST_BITS } from "./bounds.js";
import { encodeName, type ItemReader } from "./items.js";
import { BucketSums, FINGERPRINT_BYTES } from "./retained-digest.js";
import { sizeOfUint, writeUint } from "./schema.js";
import { filterFault } from "./topics.js";

export const ASK = 0x11;
export const VALUE = 0x12;
export const END = 0x13;
export const STALE = 0x14;

const INTEREST = 1;
const NOTHING = 0;
const SUMS = 1;
const FINGERPRINTS = 2;

/** Why a node should ask again. */
export const StaleReason = { MISSED: 1, FORGOT: 2, LOST: 3 } as const;

/** Bytes that a value's item has more than the publish that it came by, at most: its head, and the publisher's node. */
export const MAX_VALUE_HEADER = 6 + 16;

const ID_BYTES = 16;

/** What who asks has already: nothing; sums of all its buckets; fingerprints of some buckets. */
export type KnownValues =
  | { readonly is: "nothing" }
  | { readonly is: "sums"; readonly sums: BucketSums }
  | {
      readonly is: "fingerprints";
      readonly bits: number;
      readonly buckets: ReadonlyMap<number, ReadonlySet<number>>;
    };

export interface Ask {
  readonly request: number;
  readonly isInterest: boolean;
  readonly filters: readonly string[];
  readonly known: KnownValues;
}

export interface Stale {
  readonly reason: number;
  /** With LOST. */
  readonly node: string;
}

// --- Writing ---------------------------------------------------------------------------------------------------------

export function encodeAsk(
  request: number,
  isInterest: boolean,
  filters: readonly string[],
  known: KnownValues = { is: "nothing" },
): Buffer {
  const head = Buffer.allocUnsafe(2 + sizeOfUint(request) + sizeOfUint(filters.length));
  head[0] = ASK;
  const at = writeUint(head, 1, request);
  head[at] = isInterest ? INTEREST : 0;
  writeUint(head, at + 1, filters.length);
  return Buffer.concat([head, ...filters.map(encodeName), encodeKnown(known)]);
}

function encodeKnown(known: KnownValues): Buffer {
  if (known.is === "nothing") return Buffer.from([NOTHING]);
  if (known.is === "sums") {
    const { sums } = known;
    const bytes = Buffer.allocUnsafe(2 + FINGERPRINT_BYTES * 2 ** sums.bits);
    bytes[0] = SUMS;
    bytes[1] = sums.bits;
    sums.write(bytes, 2);
    return bytes;
  }
  let size = 2 + sizeOfUint(known.buckets.size);
  for (const [bucket, each] of known.buckets)
    size += sizeOfUint(bucket) + sizeOfUint(each.size) + each.size * FINGERPRINT_BYTES;
  const bytes = Buffer.allocUnsafe(size);
  bytes[0] = FINGERPRINTS;
  bytes[1] = known.bits;
  let at = writeUint(bytes, 2, known.buckets.size);
  for (const [bucket, each] of known.buckets) {
    at = writeUint(bytes, writeUint(bytes, at, bucket), each.size);
    for (const fingerprint of each) at = bytes.writeUIntBE(fingerprint, at, FINGERPRINT_BYTES);
  }
  return bytes;
}

/** @param publish as `encodePublish` gives it */
export function encodeValue(request: number, publish: Buffer): Buffer {
  const item = Buffer.allocUnsafe(1 + sizeOfUint(request) + publish.length);
  item[0] = VALUE;
  item.set(publish, writeUint(item, 1, request));
  return item;
}

/** @param differing buckets, ascending */
export function encodeEnd(request: number, differing: readonly number[] = []): Buffer {
  let size = 1 + sizeOfUint(request) + sizeOfUint(differing.length);
  for (const bucket of differing) size += sizeOfUint(bucket);
  const item = Buffer.allocUnsafe(size);
  item[0] = END;
  let at = writeUint(item, writeUint(item, 1, request), differing.length);
  for (const bucket of differing) at = writeUint(item, at, bucket);
  return item;
}

/** @param node that was lost */
export function encodeStale(reason: number, node = ""): Buffer {
  const item = Buffer.allocUnsafe(node === "" ? 2 : 2 + ID_BYTES);
  item[0] = STALE;
  item[1] = reason;
  if (node !== "") item.write(node, 2, "hex");
  return item;
}

// --- Reading ---------------------------------------------------------------------------------------------------------

/** @param reader behind the first byte @returns `undefined`: it is malformed */
export function readAsk(reader: ItemReader): Ask | undefined {
  const request = reader.varint();
  const flags = reader.byte();
  const count = reader.varint();
  if (reader.failed || flags > INTEREST || count > MAX_ASK_FILTERS) return undefined;
  const filters: string[] = [];
  for (let i = 0; i < count; i++) {
    const filter = reader.name();
    if (reader.failed || filterFault(filter) !== undefined) return undefined;
    filters.push(filter);
  }
  const known = readKnown(reader);
  if (known === undefined || reader.failed || reader.at !== reader.end) return undefined;
  return { request, isInterest: flags === INTEREST, filters, known };
}

function readKnown(reader: ItemReader): KnownValues | undefined {
  const what = reader.byte();
  if (what === NOTHING) return { is: "nothing" };
  const bits = reader.byte();
  if (reader.failed || what > FINGERPRINTS || bits > MAX_DIGEST_BITS) return undefined;
  if (what === SUMS) {
    const bytes = reader.bytes(FINGERPRINT_BYTES * 2 ** bits);
    if (reader.failed) return undefined;
    const sums = new BucketSums(bits);
    sums.read(bytes);
    return { is: "sums", sums };
  }
  const count = reader.varint();
  if (count > 2 ** bits) return undefined;
  const buckets = new Map<number, ReadonlySet<number>>();
  for (let i = 0; i < count; i++) {
    const bucket = reader.varint();
    // It has as many bytes as it says: nothing is allocated for what does not come.
    const bytes = reader.bytes(FINGERPRINT_BYTES * reader.varint());
    if (reader.failed || bucket >= 2 ** bits) return undefined;
    const fingerprints = new Set<number>();
    for (let at = 0; at < bytes.length; at += FINGERPRINT_BYTES)
      fingerprints.add(bytes.readUIntBE(at, FINGERPRINT_BYTES));
    buckets.set(bucket, fingerprints);
  }
  return { is: "fingerprints", bits, buckets };
}

/** @param reader behind the request @returns buckets that differ; `undefined`: it is malformed */
export function readEnd(reader: ItemReader): number[] | undefined {
  const count = reader.varint();
  if (reader.failed || count > 2 ** MAX_DIGEST_BITS) return undefined;
  const differing: number[] = [];
  for (let i = 0; i < count; i++) {
    const bucket = reader.varint();
    if (reader.failed || bucket <= (differing.at(-1) ?? -1)) return undefined;
    differing.push(bucket);
  }
  return reader.at === reader.end ? differing : undefined;
}

/** @param reader behind the first byte @returns `undefined`: it is malformed */
export function readStale(reader: ItemReader): Stale | undefined {
  const reason = reader.byte();
  const node = reason === StaleReason.LOST ? reader.id() : "";
  const isKnown = reason >= StaleReason.MISSED && reason <= StaleReason.LOST;
  return reader.failed || !isKnown || reader.at !== reader.end ? undefined : { reason, node };
}
