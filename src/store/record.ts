/**
 * Record of frames in a store, with a checksum that shows damage.
 *
 *   @0  1  version, 01
 *   @1  4  CRC-32 of everything after it
 *   @5  8  ms since 1970 at which the record expires, as a double
 *   @13 4  number of frames
 *   @17    each frame: length 4 | bytes
 *
 * All numbers big-endian.
 */
import { crc32 } from "node:zlib";
import { ShoalError } from "../core/errors.js";

/** Why a store refused or failed. */
export type StoreErrorReason =
  /** The disk or the store is full. Kept requests stay. */
  | "full"
  /** More operations wait than the store allows. */
  | "overloaded"
  /** Another process took the store over. */
  | "taken"
  /** The disk or the database reported an error (`cause`); nothing was changed. */
  | "failed"
  /** The answer was lost, so the write may have taken place. Repeat it with the same UUID to find out. */
  | "outcome-unknown"
  /** The store's file is damaged; nothing was changed. */
  | "damaged";

/** A store refused or failed, for `reason`. Code `ERR_STORE`. */
export class StoreError extends ShoalError {
  /** `full` and `overloaded` are temporary. */
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, details?: { readonly cause?: unknown }) {
    super("ERR_STORE", message, details);
    this.reason = reason;
  }
}

const VERSION = 1;
const CRC_AT = 1;
const EXPIRES_AT = 5;
const COUNT_AT = 13;
const HEADER = 17;

export interface StoredRecord {
  /** ms since 1970. */
  readonly expires: number;
  readonly frames: readonly Buffer[];
}

export function encodeRecord(frames: readonly Uint8Array[], expires: number): Buffer {
  let size = HEADER;
  for (const frame of frames) size += 4 + frame.length;
  // A view of Node's pool would retain 8 KiB until the commit.
  const record = Buffer.allocUnsafeSlow(size);
  record[0] = VERSION;
  record.writeDoubleBE(expires, EXPIRES_AT);
  record.writeUInt32BE(frames.length, COUNT_AT);
  let at = HEADER;
  for (const frame of frames) {
    at = record.writeUInt32BE(frame.length, at);
    record.set(frame, at);
    at += frame.length;
  }
  record.writeUInt32BE(crc32(record.subarray(EXPIRES_AT)), CRC_AT);
  return record;
}

/** @returns the record with views of `bytes`, or the fault */
export function decodeRecord(bytes: Buffer): StoredRecord | string {
  if (bytes.length < HEADER) return `${bytes.length} bytes, at least ${HEADER} expected`;
  if (bytes[0] !== VERSION) return `version ${bytes[0]}, ${VERSION} expected`;
  if (bytes.readUInt32BE(CRC_AT) !== crc32(bytes.subarray(EXPIRES_AT))) return "the checksum does not fit";
  const frames: Buffer[] = [];
  let at = HEADER;
  for (let left = bytes.readUInt32BE(COUNT_AT); left > 0; left--) {
    if (at + 4 > bytes.length) return "a frame's length is missing";
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) return "a frame is cut off";
    frames.push(bytes.subarray(at + 4, end));
    at = end;
  }
  if (at !== bytes.length) return `${bytes.length - at} bytes too many`;
  return { expires: bytes.readDoubleBE(EXPIRES_AT), frames };
}
