/**
 * Titanic's store on LMDB. Pending operations share a commit, which runs on a thread of the package `lmdb`.
 *
 *   requests   UUID                        -> record: service | body…
 *   queue      length 1 | service | UUID   -> 01       pending requests of a service, oldest first
 *   replies    UUID                        -> record: body…
 *   expiry     time 8 | UUID               -> 01
 *   attempts   UUID                        -> 4        failed attempts, if any
 *   dead       UUID                        -> record: service | attempts 4, died 8 | reason | body…
 *   owner      "owner"                     -> 16 bytes of the process that opened the store last
 *
 * Each change of a request is one transaction. A key of a queue without a readable record is passed over. A damaged
 * record stays until it expires or is closed.
 */
import { costOf } from "../../core/memory.js";
import { ignore } from "../../core/waiter.js";
import { boolean, bytes, checkOptions, type Given } from "../../kit/options.js";
import { FOLDER_OPTIONS, type LmdbDatabase, LmdbFolder } from "../../store/lmdb.js";
import { decodeRecord, encodeRecord, GroupCommit, type StoredRecord, StoreError } from "../../store/store.js";
import { formatUuid, UUID_BYTES } from "./protocol.js";
import {
  costOfRequest,
  MAX_CLAIM_BYTES,
  type TitanicClaimedRequest,
  type TitanicDamagedRecord,
  type TitanicDeath,
  type TitanicNewRequest,
  type TitanicRequestState,
  type TitanicStore,
  type TitanicStoredDeadLetter,
  type TitanicStoreStats,
} from "./store.js";

type Table = (typeof TABLES)[number];

/** In order of creation. */
const TABLES = ["requests", "queue", "replies", "expiry", "attempts", "dead", "owner"] as const;
const PRESENT = Buffer.from([1]);
const NO_UUID = Buffer.alloc(0);
const AFTER_EVERY_UUID = Buffer.alloc(UUID_BYTES + 1, 0xff);

/** Runs within the transaction of a commit; an Error as its result refuses it alone. */
type Operation = (commit: Commit) => unknown;

interface Commit {
  readonly now: number;
  /** Why the disk has no room. */
  readonly full: StoreError | undefined;
  /** Requests stored by it. */
  stored: number;
  /** UUIDs of requests that are no longer pending. */
  readonly ended: Buffer[];
}

const OPTIONS = {
  ...FOLDER_OPTIONS,
  /** Stored requests and replies; more requests are refused. Default 10,000,000. */
  maxRecords: bytes({ default: 10_000_000, min: 0 }),
  /** Pending operations; more, or more than 256 MiB of them, are refused. Default 100,000. */
  maxPendingWrites: bytes({ default: 100_000, min: 0 }),
  /** Does not take the folder over from the serving process: to list and remove dead letters. Default false. */
  maintenance: boolean(false),
};

/** Options of {@link LmdbStore.open}. */
export type LmdbStoreOptions = Given<typeof OPTIONS>;

/**
 * A {@link TitanicStore} on LMDB: one folder, one process, each acknowledgement after the commit on disk. Needs the
 * package `lmdb`.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { LmdbStore, Titanic } from "shoal/titanic";
 *
 * const store = LmdbStore.open(mkdtempSync("/tmp/titanic-"));
 * const titanic = new Titanic("tcp://127.0.0.1:5555", store); // At a Majordomo broker.
 * await titanic.close();
 * await store.close();
 * ```
 */
export class LmdbStore implements TitanicStore {
  onDamage: ((record: TitanicDamagedRecord) => void) | undefined;
  readonly #folder: LmdbFolder<Table>;
  readonly #tables: Readonly<Record<Table, LmdbDatabase>>;
  readonly #writes: GroupCommit<Operation, unknown>;
  /** When claimed and delayed requests can be claimed, by a clock that is never set. */
  readonly #claimableAt = new Map<string, number>();
  readonly #maxRecords: number;
  /** Tables of records that expire: requests, replies, dead letters. */
  readonly #expiring: readonly LmdbDatabase[];
  /** Records of each of them as of the last commit. */
  #counts: readonly number[];

  /**
   * Opens or creates a folder. A second process takes it over: the first one's writes are refused with `taken`. A
   * second store in one process is refused.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; InvalidArgumentError `EINVAL`;
   *   StoreError `damaged` for a damaged or foreign file, which is left unchanged, or `failed`. The check reads up to
   *   1 GiB
   */
  static open(directory: string, options: LmdbStoreOptions = {}): LmdbStore {
    return new LmdbStore(directory, options);
  }

  private constructor(directory: string, options: LmdbStoreOptions) {
    const settings = checkOptions("LmdbStore", OPTIONS, options);
    const { maxRecords, maxPendingWrites, minFreeBytes, maintenance } = settings;
    this.#folder = new LmdbFolder(directory, {
      tables: TABLES,
      owner: maintenance ? undefined : "owner",
      minFreeBytes,
    });
    this.#tables = this.#folder.tables;
    const { requests, replies, dead } = this.#tables;
    this.#expiring = [requests, replies, dead];
    this.#maxRecords = maxRecords;
    this.#counts = this.#count();
    this.#writes = new GroupCommit((operations) => this.#commit(operations), maxPendingWrites);
  }

  put(request: TitanicNewRequest): Promise<boolean> {
    const { uuid, service, body, expires } = request;
    return this.#write((commit) => {
      if (this.#expiring.some((table) => table.getBinary(uuid) !== undefined)) return false;
      // A repetition needs no room.
      const refusal = this.#refusal(commit);
      if (refusal !== undefined) return refusal;
      this.#keep("requests", uuid, [service, ...body], expires);
      this.#tables.queue.put(queueKey(service, uuid), PRESENT);
      commit.stored += 1;
      return true;
    }, costOf(body));
  }

  async claim(service: Buffer, limit: number): Promise<TitanicClaimedRequest[]> {
    this.#folder.assertOpen();
    this.#folder.assertOwner();
    const now = Date.now();
    const time = performance.now();
    const claimed: TitanicClaimedRequest[] = [];
    let bytes = 0;
    const start = queueKey(service, NO_UUID);
    const end = Buffer.concat([start, AFTER_EVERY_UUID]);
    for (const key of this.#tables.queue.getKeys({ start, end })) {
      if (claimed.length >= limit || bytes >= MAX_CLAIM_BYTES) break;
      const view = key.subarray(start.length);
      const name = view.toString("latin1");
      if ((this.#claimableAt.get(name) ?? 0) > time) continue;
      const uuid = Buffer.from(view);
      const record = read(this.#tables.requests, uuid);
      if (typeof record === "string") {
        this.#claimableAt.set(name, Number.POSITIVE_INFINITY); // Until it expires or is closed.
        // Its record cannot tell the service when it goes.
        void this.#write(() => void this.#tables.queue.remove(queueKey(service, uuid))).catch(ignore);
        this.onDamage?.({ uuid: formatUuid(uuid), reason: record });
        continue;
      }
      if (record?.frames[0]?.equals(service) !== true || record.expires <= now) continue;
      this.#claimableAt.set(name, Number.POSITIVE_INFINITY);
      const [, ...body] = record.frames;
      const request = { uuid, service, body, expires: record.expires, attempts: this.#failures(uuid) + 1 };
      claimed.push(request);
      bytes += costOfRequest(request);
    }
    return claimed;
  }

  async release(uuid: Buffer, delay: number, failed: boolean): Promise<void> {
    const name = uuid.toString("latin1");
    if (!this.#claimableAt.has(name)) return;
    // The dispatcher counts the delay from now, too.
    const until = performance.now() + delay;
    try {
      if (failed) await this.#write(() => this.#countFailure(uuid));
    } finally {
      if (this.#claimableAt.has(name)) this.#claimableAt.set(name, until);
    }
  }

  markDead(uuid: Buffer, { attempts, died, reason, expires }: TitanicDeath): Promise<boolean> {
    return this.#write((commit) => {
      const request = sound(this.#tables.requests, uuid);
      if (request === undefined || request.expires <= commit.now) return false;
      const [service, ...body] = request.frames as [Buffer, ...Buffer[]];
      const count = Buffer.alloc(12);
      count.writeUInt32BE(attempts, 0);
      count.writeDoubleBE(died, 4);
      this.#remove(this.#tables.requests, uuid, request, commit);
      this.#keep("dead", uuid, [service, count, Buffer.from(reason), ...body], expires);
      return true;
    });
  }

  async deadLetters(limit: number, after?: Buffer): Promise<TitanicStoredDeadLetter[]> {
    this.#folder.assertOpen();
    const now = Date.now();
    const letters: TitanicStoredDeadLetter[] = [];
    const range = after === undefined ? {} : { start: Buffer.concat([after, Buffer.alloc(1)]) };
    for (const key of this.#tables.dead.getKeys(range)) {
      if (letters.length >= limit) break;
      const uuid = Buffer.from(key);
      const record = read(this.#tables.dead, uuid);
      if (typeof record === "string") this.onDamage?.({ uuid: formatUuid(uuid), reason: record });
      else if (record !== undefined && record.expires > now) letters.push(letterOf(uuid, record));
    }
    return letters;
  }

  /** A damaged request can be answered. */
  answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean> {
    return this.#write((commit) => {
      const request = read(this.#tables.requests, uuid);
      if (request === undefined || (typeof request !== "string" && request.expires <= commit.now))
        return false;
      this.#remove(this.#tables.requests, uuid, request, commit);
      this.#keep("replies", uuid, reply, expires);
      return true;
    }, costOf(reply));
  }

  async look(uuid: Buffer): Promise<TitanicRequestState> {
    this.#folder.assertOpen();
    const { requests, replies, dead } = this.#tables;
    const reply = read(replies, uuid);
    const request = reply === undefined ? read(requests, uuid) : undefined;
    const record = reply ?? request ?? read(dead, uuid);
    if (typeof record === "string") {
      this.onDamage?.({ uuid: formatUuid(uuid), reason: record });
      return { state: "damaged" };
    }
    if (record === undefined || record.expires <= Date.now()) return { state: "unknown" };
    if (record === reply) return { state: "answered", reply: record.frames };
    return record === request
      ? { state: "pending" }
      : { state: "dead", reason: letterOf(uuid, record).reason };
  }

  forget(uuid: Buffer): Promise<void> {
    return this.#write((commit) => {
      for (const table of this.#expiring) {
        const record = read(table, uuid);
        if (record !== undefined) this.#remove(table, uuid, record, commit);
      }
    });
  }

  expire(limit: number): Promise<number> {
    return this.#write((commit) => {
      const keys = [...this.#tables.expiry.getKeys({ end: expiryKey(commit.now, NO_UUID), limit })];
      for (const key of keys) {
        const uuid = key.subarray(8);
        for (const table of this.#expiring) {
          const record = read(table, uuid);
          if (record === undefined) continue;
          if (typeof record === "string" || record.expires === key.readDoubleBE(0))
            this.#remove(table, uuid, record, commit);
        }
        this.#tables.expiry.remove(key);
      }
      return keys.length;
    });
  }

  /** Keys that were cut off are passed over. */
  async services(limit: number, after?: Buffer): Promise<Buffer[]> {
    this.#folder.assertOpen();
    const services: Buffer[] = [];
    let start = after === undefined ? Buffer.alloc(1) : queueKey(after, AFTER_EVERY_UUID);
    while (services.length < limit) {
      const [key] = [...this.#tables.queue.getKeys({ start, limit: 1 })];
      if (key === undefined) break;
      const end = 1 + (key[0] as number);
      const isWhole = key.length >= end + UUID_BYTES;
      if (isWhole) services.push(Buffer.from(key.subarray(1, end)));
      start = Buffer.concat(isWhole ? [key.subarray(0, end), AFTER_EVERY_UUID] : [key, Buffer.alloc(1)]);
    }
    return services;
  }

  stats(): TitanicStoreStats {
    const { commits, operations } = this.#writes;
    const [pending = 0, answered = 0, dead = 0] = this.#counts;
    return { pending, answered, dead, commits, operations };
  }

  async close(): Promise<void> {
    await this.#writes.close();
    await this.#folder.close();
  }

  /** The promise of the commit itself: another one costs as much again. */
  #write<T>(operation: (commit: Commit) => T | Error, bytes?: number): Promise<Exclude<T, Error>> {
    return this.#writes.add(operation, bytes) as Promise<Exclude<T, Error>>;
  }

  async #commit(operations: readonly Operation[]): Promise<readonly unknown[]> {
    const commit: Commit = { now: Date.now(), full: this.#folder.refusal(), stored: 0, ended: [] };
    const [results, counts] = await this.#folder.transaction(() => {
      const done = operations.map((operation) => operation(commit));
      return [done, this.#count()] as const;
    });
    this.#counts = counts;
    for (const uuid of commit.ended) this.#claimableAt.delete(uuid.toString("latin1"));
    return results;
  }

  #count(): readonly number[] {
    return this.#expiring.map((table) => table.getStats().entryCount);
  }

  #refusal({ full, stored }: Commit): StoreError | undefined {
    const records = this.#counts.reduce((sum, count) => sum + count, stored);
    if (full !== undefined || records < this.#maxRecords) return full;
    const message = `${records} requests, replies and dead letters are kept already, as many as allowed`;
    return new StoreError("full", message);
  }

  #failures(uuid: Buffer): number {
    const bytes = this.#tables.attempts.getBinary(uuid);
    return bytes?.length === 4 ? bytes.readUInt32BE() : 0;
  }

  #countFailure(uuid: Buffer): void {
    if (sound(this.#tables.requests, uuid) === undefined) return;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.#failures(uuid) + 1);
    this.#tables.attempts.put(uuid, bytes);
  }

  #keep(
    table: "requests" | "replies" | "dead",
    uuid: Buffer,
    frames: readonly Buffer[],
    expires: number,
  ): void {
    this.#tables[table].put(uuid, encodeRecord(frames, expires));
    this.#tables.expiry.put(expiryKey(expires, uuid), PRESENT);
  }

  #remove(table: LmdbDatabase, uuid: Buffer, record: StoredRecord | string, { ended }: Commit): void {
    const isRequest = table === this.#tables.requests;
    table.remove(uuid);
    if (typeof record !== "string") {
      this.#tables.expiry.remove(expiryKey(record.expires, uuid));
      if (isRequest) this.#tables.queue.remove(queueKey(record.frames[0] as Buffer, uuid));
    }
    if (!isRequest) return;
    this.#tables.attempts.remove(uuid);
    ended.push(uuid);
  }
}

/** @param record of the table `dead` */
function letterOf(uuid: Buffer, { frames, expires }: StoredRecord): TitanicStoredDeadLetter {
  const [service, count, reason, ...body] = frames as [Buffer, Buffer, Buffer, ...Buffer[]];
  const attempts = count.readUInt32BE(0);
  return { uuid, service, body, attempts, reason: String(reason), died: count.readDoubleBE(4), expires };
}

/** @returns a text: what is wrong with the record */
function read(database: LmdbDatabase, uuid: Buffer): StoredRecord | string | undefined {
  if (uuid.length === 0) return undefined; // Of a key that was cut off; LMDB refuses it.
  const bytes = database.getBinary(uuid);
  return bytes === undefined ? undefined : decodeRecord(bytes);
}

/** @returns `undefined` for a damaged record, too */
function sound(database: LmdbDatabase, uuid: Buffer): StoredRecord | undefined {
  const record = read(database, uuid);
  return typeof record === "string" ? undefined : record;
}

function queueKey(service: Buffer, uuid: Buffer): Buffer {
  const key = Buffer.allocUnsafe(1 + service.length + uuid.length);
  key[0] = service.length;
  key.set(service, 1);
  key.set(uuid, 1 + service.length);
  return key;
}

/** Positive doubles sort like their bytes. */
function expiryKey(expires: number, uuid: Buffer): Buffer {
  const key = Buffer.allocUnsafe(8 + uuid.length);
  key.writeDoubleBE(expires);
  key.set(uuid, 8);
  return key;
}
