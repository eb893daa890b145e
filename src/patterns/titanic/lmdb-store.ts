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

// --- Tables ----------------------------------------------------------------------------------------------------------

/** In order of creation. */
const TABLES = ["requests", "queue", "replies", "expiry", "attempts", "dead", "owner"] as const;
const PRESENT = Buffer.from([1]);
const AFTER_EVERY_UUID = Buffer.alloc(UUID_BYTES + 1, 0xff);

/** Of a transaction. */
class Changes {
  stored = 0;
  /** No longer pending. */
  readonly ended: Buffer[] = [];
}

interface Counts {
  readonly pending: number;
  readonly answered: number;
  readonly dead: number;
}

/** Changes of the tables within a transaction. */
class LmdbTables {
  readonly #tables: Readonly<Record<(typeof TABLES)[number], LmdbDatabase>>;
  /** Tables of records that expire. */
  readonly #kept: readonly LmdbDatabase[];

  constructor(tables: Readonly<Record<(typeof TABLES)[number], LmdbDatabase>>) {
    this.#tables = tables;
    this.#kept = [tables.requests, tables.replies, tables.dead];
  }

  count(): Counts {
    const of = (database: LmdbDatabase): number => database.getStats().entryCount;
    return {
      pending: of(this.#tables.requests),
      answered: of(this.#tables.replies),
      dead: of(this.#tables.dead),
    };
  }

  /** @returns `false` for a known UUID */
  put(request: TitanicNewRequest, changes: Changes): boolean {
    const { uuid, service, body, expires } = request;
    if (this.isKnown(uuid)) return false;
    this.#tables.requests.put(uuid, encodeRecord([service, ...body], expires));
    this.#tables.queue.put(queueKey(service, uuid), PRESENT);
    this.#tables.expiry.put(expiryKey(expires, uuid), PRESENT);
    changes.stored += 1;
    return true;
  }

  isKnown(uuid: Buffer): boolean {
    return this.#kept.some((table) => table.getBinary(uuid) !== undefined);
  }

  /** Failed attempts. */
  failures(uuid: Buffer): number {
    const bytes = this.#tables.attempts.getBinary(uuid);
    return bytes?.length === 4 ? bytes.readUInt32BE() : 0;
  }

  /** Of a damaged record, whose service it cannot tell. */
  unqueue(service: Buffer, uuid: Buffer): void {
    this.#tables.queue.remove(queueKey(service, uuid));
  }

  /** Counts a failed attempt. */
  fail(uuid: Buffer): void {
    if (sound(this.#tables.requests, uuid) === undefined) return;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.failures(uuid) + 1);
    this.#tables.attempts.put(uuid, bytes);
  }

  /** @returns `false` if it is not pending */
  markDead(uuid: Buffer, death: TitanicDeath, now: number, changes: Changes): boolean {
    const request = sound(this.#tables.requests, uuid);
    if (request === undefined || request.expires <= now) return false;
    const [service, ...body] = request.frames as [Buffer, ...Buffer[]];
    const count = Buffer.alloc(12);
    count.writeUInt32BE(death.attempts, 0);
    count.writeDoubleBE(death.died, 4);
    this.#remove(this.#tables.requests, uuid, request, changes);
    this.#tables.dead.put(
      uuid,
      encodeRecord([service, count, Buffer.from(death.reason), ...body], death.expires),
    );
    this.#tables.expiry.put(expiryKey(death.expires, uuid), PRESENT);
    return true;
  }

  /** UUIDs of dead letters, after the UUID `after`. */
  *dead(after: Buffer | undefined): Generator<Buffer, undefined> {
    const start = after === undefined ? undefined : Buffer.concat([after, Buffer.alloc(1)]);
    for (const key of this.#tables.dead.getKeys(start === undefined ? {} : { start })) yield Buffer.from(key);
    return undefined;
  }

  /** @returns `false` if the request is not pending; a damaged one is */
  answer(uuid: Buffer, reply: readonly Buffer[], expires: number, now: number, changes: Changes): boolean {
    const request = this.peek("requests", uuid);
    if (request === undefined || (typeof request !== "string" && request.expires <= now)) return false;
    this.#remove(this.#tables.requests, uuid, request, changes);
    this.#tables.replies.put(uuid, encodeRecord(reply, expires));
    this.#tables.expiry.put(expiryKey(expires, uuid), PRESENT);
    return true;
  }

  forget(uuid: Buffer, changes: Changes): void {
    for (const table of this.#kept) {
      const record = read(table, uuid);
      if (record !== undefined) this.#remove(table, uuid, record, changes);
    }
  }

  /** @returns the number of deleted records */
  expire(now: number, limit: number, changes: Changes): number {
    const keys = [...this.#tables.expiry.getKeys({ end: timeKey(now), limit })];
    for (const key of keys) {
      const uuid = key.subarray(8);
      for (const table of this.#kept) {
        const record = read(table, uuid);
        if (record === undefined) continue;
        if (typeof record === "string" || record.expires === key.readDoubleBE(0))
          this.#remove(table, uuid, record, changes);
      }
      this.#tables.expiry.remove(key);
    }
    return keys.length;
  }

  /** @returns a text: what is wrong with the record */
  peek(table: "requests" | "replies" | "dead", uuid: Buffer): StoredRecord | string | undefined {
    return read(this.#tables[table], uuid);
  }

  /** UUIDs of a service's pending requests, oldest first. */
  *queued(service: Buffer): Generator<Buffer, undefined> {
    const start = queueKey(service, Buffer.alloc(0));
    const end = Buffer.concat([start, AFTER_EVERY_UUID]);
    for (const key of this.#tables.queue.getKeys({ start, end })) yield key.subarray(start.length);
    return undefined;
  }

  /** Services with pending requests, whatever their number. Keys that were cut off are passed over. */
  services(limit: number, after?: Buffer): Buffer[] {
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

  #remove(table: LmdbDatabase, uuid: Buffer, record: StoredRecord | string, changes: Changes): void {
    const isRequest = table === this.#tables.requests;
    table.remove(uuid);
    if (typeof record !== "string") {
      this.#tables.expiry.remove(expiryKey(record.expires, uuid));
      if (isRequest) this.#tables.queue.remove(queueKey(record.frames[0] as Buffer, uuid));
    }
    if (!isRequest) return;
    this.#tables.attempts.remove(uuid);
    changes.ended.push(uuid);
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
function timeKey(time: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeDoubleBE(time);
  return key;
}

function expiryKey(expires: number, uuid: Buffer): Buffer {
  const key = Buffer.allocUnsafe(8 + uuid.length);
  key.writeDoubleBE(expires);
  key.set(uuid, 8);
  return key;
}

// --- Store -----------------------------------------------------------------------------------------------------------

/** Runs within the transaction of a commit; an Error as its result refuses it alone. */
type Operation = (step: Step) => unknown;

interface Step {
  readonly changes: Changes;
  readonly now: number;
  /** Why the disk has no room. */
  readonly full: StoreError | undefined;
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
  readonly #folder: LmdbFolder<(typeof TABLES)[number]>;
  readonly #tables: LmdbTables;
  readonly #writes: GroupCommit<Operation, unknown>;
  /** When claimed and delayed requests can be claimed, by a clock that is never set. */
  readonly #held = new Map<string, number>();
  readonly #maxRecords: number;
  /** As of the last commit. */
  #counts: Counts;

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
    this.#tables = new LmdbTables(this.#folder.tables);
    this.#maxRecords = maxRecords;
    this.#counts = this.#tables.count();
    this.#writes = new GroupCommit((operations) => this.#commit(operations), maxPendingWrites);
  }

  put(request: TitanicNewRequest): Promise<boolean> {
    // Awaiting the boolean would cost one more promise per request.
    return this.#writes.add((step) => this.#put(request, step), costOf(request.body)) as Promise<boolean>;
  }

  async claim(service: Buffer, limit: number): Promise<TitanicClaimedRequest[]> {
    this.#folder.assertOpen();
    this.#folder.assertOwner();
    const now = Date.now();
    const time = performance.now();
    const claimed: TitanicClaimedRequest[] = [];
    let bytes = 0;
    for (const key of this.#tables.queued(service)) {
      if (claimed.length >= limit || bytes >= MAX_CLAIM_BYTES) break;
      const name = key.toString("latin1");
      if ((this.#held.get(name) ?? 0) > time) continue;
      const record = this.#tables.peek("requests", key);
      if (typeof record === "string") {
        this.#held.set(name, Number.POSITIVE_INFINITY); // Until it expires or is closed.
        const uuid = Buffer.from(key);
        void this.#writes.add(() => this.#tables.unqueue(service, uuid)).catch(ignore);
        this.onDamage?.({ uuid: formatUuid(uuid), reason: record });
        continue;
      }
      if (record?.frames[0]?.equals(service) !== true || record.expires <= now) continue;
      this.#held.set(name, Number.POSITIVE_INFINITY);
      const [, ...body] = record.frames;
      const attempts = this.#tables.failures(key) + 1;
      const request = { uuid: Buffer.from(key), service, body, expires: record.expires, attempts };
      claimed.push(request);
      bytes += costOfRequest(request);
    }
    return claimed;
  }

  async release(uuid: Buffer, delay: number, failed: boolean): Promise<void> {
    const name = uuid.toString("latin1");
    if (!this.#held.has(name)) return;
    // The dispatcher counts the delay from now, too.
    const until = performance.now() + delay;
    try {
      if (failed) await this.#writes.add(() => this.#tables.fail(uuid));
    } finally {
      if (this.#held.has(name)) this.#held.set(name, until);
    }
  }

  async markDead(uuid: Buffer, death: TitanicDeath): Promise<boolean> {
    const markDead: Operation = ({ now, changes }) => this.#tables.markDead(uuid, death, now, changes);
    return (await this.#writes.add(markDead)) === true;
  }

  async deadLetters(limit: number, after?: Buffer): Promise<TitanicStoredDeadLetter[]> {
    this.#folder.assertOpen();
    const now = Date.now();
    const letters: TitanicStoredDeadLetter[] = [];
    for (const uuid of this.#tables.dead(after)) {
      if (letters.length >= limit) break;
      const record = this.#tables.peek("dead", uuid);
      if (typeof record === "string") this.onDamage?.({ uuid: formatUuid(uuid), reason: record });
      else if (record !== undefined && record.expires > now) letters.push(letterOf(uuid, record));
    }
    return letters;
  }

  async answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean> {
    const answer: Operation = ({ now, changes }) => this.#tables.answer(uuid, reply, expires, now, changes);
    return (await this.#writes.add(answer, costOf(reply))) === true;
  }

  async look(uuid: Buffer): Promise<TitanicRequestState> {
    this.#folder.assertOpen();
    const reply = this.#tables.peek("replies", uuid);
    const request = reply === undefined ? this.#tables.peek("requests", uuid) : undefined;
    const record = reply ?? request ?? this.#tables.peek("dead", uuid);
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

  async forget(uuid: Buffer): Promise<void> {
    await this.#writes.add(({ changes }) => this.#tables.forget(uuid, changes));
  }

  async expire(limit: number): Promise<number> {
    const expire: Operation = ({ now, changes }) => this.#tables.expire(now, limit, changes);
    return (await this.#writes.add(expire)) as number;
  }

  async services(limit: number, after?: Buffer): Promise<Buffer[]> {
    this.#folder.assertOpen();
    return this.#tables.services(limit, after);
  }

  stats(): TitanicStoreStats {
    const { commits, operations } = this.#writes;
    return { ...this.#counts, commits, operations };
  }

  async close(): Promise<void> {
    await this.#writes.close();
    await this.#folder.close();
  }

  async #commit(operations: readonly Operation[]): Promise<readonly unknown[]> {
    const changes = new Changes();
    const step: Step = { full: this.#folder.refusal(), now: Date.now(), changes };
    const [results, counts] = await this.#folder.transaction(() => {
      const done = operations.map((operation) => operation(step));
      return [done, this.#tables.count()] as const;
    });
    this.#counts = counts;
    for (const uuid of changes.ended) this.#held.delete(uuid.toString("latin1"));
    return results;
  }

  #put(request: TitanicNewRequest, { changes, full }: Step): boolean | StoreError {
    const { pending, answered, dead } = this.#counts;
    const kept = pending + answered + dead + changes.stored;
    // A repetition needs no room.
    const refused = full ?? (kept >= this.#maxRecords ? tooMany(kept) : undefined);
    if (refused !== undefined) return this.#tables.isKnown(request.uuid) ? false : refused;
    return this.#tables.put(request, changes);
  }
}

function tooMany(kept: number): StoreError {
  return new StoreError(
    "full",
    `${kept} requests, replies and dead letters are kept already, as many as allowed`,
  );
}
