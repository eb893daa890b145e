/**
 * Tables of the LMDB store, and their changes within a transaction.
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
import type { LmdbDatabase } from "../../store/lmdb.js";
import { decodeRecord, encodeRecord, type StoredRecord } from "../../store/store.js";
import { UUID_BYTES } from "./protocol.js";
import type { TitanicDeath, TitanicNewRequest, TitanicStoredDeadLetter } from "./store.js";

/** In order of creation. */
export const TABLES = ["requests", "queue", "replies", "expiry", "attempts", "dead", "owner"] as const;
const PRESENT = Buffer.from([1]);
const AFTER_EVERY_UUID = Buffer.alloc(UUID_BYTES + 1, 0xff);

/** Of a transaction. */
export class Changes {
  stored = 0;
  /** No longer pending. */
  readonly ended: Buffer[] = [];
}

export interface Counts {
  readonly pending: number;
  readonly answered: number;
  readonly dead: number;
}

export class LmdbTables {
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
  services(limit: number): Buffer[] {
    const services: Buffer[] = [];
    let start = Buffer.alloc(1);
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
export function letterOf(uuid: Buffer, { frames, expires }: StoredRecord): TitanicStoredDeadLetter {
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
