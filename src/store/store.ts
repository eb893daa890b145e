/** What the durable stores share: their error, the record of a value, and commits for groups of operations. */
import { crc32 } from "node:zlib";
import { ClosedError, ShoalError } from "../core/errors.js";

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

/** Operations of a commit: bounds memory and time. */
const MAX_BATCH = 4_096;
/**
 * Bytes of a commit; a single operation may be larger. `pg` makes one string of a statement's records, two characters
 * per byte, and V8's longest string has 2^29.
 */
const MAX_BATCH_BYTES = 33_554_432;
const MAX_PENDING_BYTES = 268_435_456;

interface Waiting<Op, Result> {
  readonly op: Op;
  readonly bytes: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: operations that arrive during a commit share the next one.
 *
 *   idle --add--> scheduled --turn ends--> committing --done--> idle, or committing the next
 */
export class GroupCommit<Op, Result> {
  readonly #commit: (ops: readonly Op[]) => Promise<readonly (Result | Error)[]>;
  readonly #maxPending: number;
  #waiting: Waiting<Op, Result>[] = [];
  #bytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;
  /** Attempted commits; operations of successful ones. */
  commits = 0;
  operations = 0;

  /**
   * @param commit makes operations durable together. An Error among its results refuses that operation; a rejection
   *   means that nothing was changed
   * @param maxPending waiting operations; further ones are refused
   */
  constructor(commit: (ops: readonly Op[]) => Promise<readonly (Result | Error)[]>, maxPending: number) {
    this.#commit = commit;
    this.#maxPending = maxPending;
  }

  /**
   * Settles when the operation is durable.
   *
   * @param bytes of its writes, about; 0: no bound of bytes
   * @throws StoreError `overloaded` past a bound; ClosedError `EBADF`; the error of the commit
   */
  add(op: Op, bytes = 0): Promise<Result> {
    if (this.#closed) return Promise.reject(new ClosedError("EBADF", "The store is closed"));
    if (this.#waiting.length >= this.#maxPending) {
      return Promise.reject(
        new StoreError("overloaded", `${this.#waiting.length} operations wait for the disk already`),
      );
    }
    if (bytes > 0 && this.#bytes > 0 && this.#bytes + bytes > MAX_PENDING_BYTES) {
      return Promise.reject(new StoreError("overloaded", `${this.#bytes} bytes wait for the disk already`));
    }
    this.#bytes += bytes;
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ op, bytes, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Settles when all earlier operations are durable or have failed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests of one read arrive in one turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      this.commits += 1;
      try {
        const results = await this.#commit(batch.map(({ op }) => op));
        this.operations += batch.length;
        for (const [i, waiting] of batch.entries()) {
          const result = results[i] as Result | Error;
          if (result instanceof Error) waiting.reject(result);
          else waiting.resolve(result);
        }
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    this.#running = undefined;
  }

  /** At least one operation. */
  #take(): Waiting<Op, Result>[] {
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#waiting) {
      if (count === MAX_BATCH || (count > 0 && bytes + waiting.bytes > MAX_BATCH_BYTES)) break;
      count += 1;
      bytes += waiting.bytes;
    }
    this.#bytes -= bytes;
    return this.#waiting.splice(0, count);
  }
}
