/**
 * The tables of the LMDB store, and what happens to them inside a transaction.
 *
 *   requests   UUID                        -> record: service | body…
 *   queue      length 1 | service | UUID   -> 01       what waits for its service, the oldest first
 *   replies    UUID                        -> record: body…
 *   expiry     time 8 | UUID               -> 01       what ends when
 *   damaged    UUID                        -> the bytes that were found
 *   owner      "owner"                     -> 16 bytes of the process that opened the store last
 *
 * Every change of a request is one transaction, so a crash leaves no table
 * behind another. A key whose record was set aside is removed when it is met.
 */
import type { LmdbDatabase, LmdbEnvironment } from "./lmdb-module.js";
import { decodeRecord, encodeRecord, type StoredRecord } from "./record.js";
import type { DamagedRecord, NewRequest } from "./store.js";
import { formatUuid, UUID_BYTES } from "./uuid.js";

const PRESENT = Buffer.from([1]);
const OWNER = Buffer.from("owner");
const AFTER_EVERY_UUID = Buffer.alloc(UUID_BYTES + 1, 0xff);

/** What one transaction changed in the number of records. */
export class Changes {
  pending = 0;
  answered = 0;
  readonly damaged: DamagedRecord[] = [];
  /** Requests that wait no more. */
  readonly ended: Buffer[] = [];
}

/** A waiting request as a key tells it. */
export interface QueuedKey {
  readonly service: Buffer;
  readonly uuid: Buffer;
}

export class LmdbTables {
  readonly #requests: LmdbDatabase;
  readonly #queue: LmdbDatabase;
  readonly #replies: LmdbDatabase;
  readonly #expiry: LmdbDatabase;
  readonly #damaged: LmdbDatabase;
  readonly #owner: LmdbDatabase;

  constructor(environment: LmdbEnvironment) {
    const open = (name: string): LmdbDatabase =>
      environment.openDB(name, { encoding: "binary", keyEncoding: "binary" });
    this.#requests = open("requests");
    this.#queue = open("queue");
    this.#replies = open("replies");
    this.#expiry = open("expiry");
    this.#damaged = open("damaged");
    this.#owner = open("owner");
  }

  /** Records now: to be counted once, at the start. */
  count(): { pending: number; answered: number; damaged: number } {
    const of = (database: LmdbDatabase): number => database.getStats().entryCount;
    return { pending: of(this.#requests), answered: of(this.#replies), damaged: of(this.#damaged) };
  }

  get owner(): Buffer | undefined {
    return this.#owner.getBinary(OWNER);
  }

  set owner(owner: Buffer) {
    this.#owner.put(OWNER, owner);
  }

  put(request: NewRequest, changes: Changes): void {
    const { uuid, service, body, expires } = request;
    this.#requests.put(uuid, encodeRecord([service, ...body], expires));
    this.#queue.put(queueKey(service, uuid), PRESENT);
    this.#expiry.put(expiryKey(expires, uuid), PRESENT);
    changes.pending += 1;
  }

  /** False when nobody waits for the reply any more. */
  answer(uuid: Buffer, reply: readonly Buffer[], expires: number, now: number, changes: Changes): boolean {
    const request = this.request(uuid, changes);
    if (request === undefined || request.expires <= now) return false;
    this.#removeRequest(uuid, request, changes);
    this.#replies.put(uuid, encodeRecord(reply, expires));
    this.#expiry.put(expiryKey(expires, uuid), PRESENT);
    changes.answered += 1;
    return true;
  }

  forget(uuid: Buffer, changes: Changes): void {
    const request = this.request(uuid, changes);
    if (request !== undefined) this.#removeRequest(uuid, request, changes);
    const reply = this.reply(uuid, changes);
    if (reply !== undefined) this.#removeReply(uuid, reply, changes);
  }

  /** Removes what ended, at most `limit` records; gives how many. */
  expire(now: number, limit: number, changes: Changes): number {
    const keys = [...this.#expiry.getKeys({ end: timeKey(now), limit })];
    for (const key of keys) {
      const expires = key.readDoubleBE(0);
      const uuid = key.subarray(8);
      const request = this.request(uuid, changes);
      if (request?.expires === expires) this.#removeRequest(uuid, request, changes);
      const reply = this.reply(uuid, changes);
      if (reply?.expires === expires) this.#removeReply(uuid, reply, changes);
      this.#expiry.remove(key);
    }
    return keys.length;
  }

  /** A key of the queue that leads to no request any more. */
  removeKey(key: QueuedKey): void {
    if (this.#requests.getBinary(key.uuid) === undefined) this.#queue.remove(queueKey(key.service, key.uuid));
  }

  /** A request; set aside when it is damaged. Only inside a transaction. */
  request(uuid: Buffer, changes: Changes): StoredRecord | undefined {
    return this.#sound(this.#requests, uuid, changes, () => {
      changes.pending -= 1;
      changes.ended.push(uuid);
    });
  }

  /** A reply; set aside when it is damaged. Only inside a transaction. */
  reply(uuid: Buffer, changes: Changes): StoredRecord | undefined {
    return this.#sound(this.#replies, uuid, changes, () => {
      changes.answered -= 1;
    });
  }

  /** The same without setting aside: a string says what is wrong with it. */
  peekRequest(uuid: Buffer): StoredRecord | string | undefined {
    return read(this.#requests, uuid);
  }

  peekReply(uuid: Buffer): StoredRecord | string | undefined {
    return read(this.#replies, uuid);
  }

  isDamaged(uuid: Buffer): boolean {
    return this.#damaged.getBinary(uuid) !== undefined;
  }

  /** What waits for a service, the oldest first. */
  *queued(service: Buffer): Generator<QueuedKey, undefined> {
    const start = queueKey(service, Buffer.alloc(0));
    const end = Buffer.concat([start, AFTER_EVERY_UUID]);
    for (const key of this.#queue.getKeys({ start, end })) {
      yield { service, uuid: key.subarray(start.length) };
    }
    return undefined;
  }

  /** Services that something waits for. Jumps from one to the next: its cost is theirs, not the requests'. */
  services(limit: number): Buffer[] {
    const services: Buffer[] = [];
    let start = Buffer.alloc(1);
    while (services.length < limit) {
      const [key] = [...this.#queue.getKeys({ start, limit: 1 })];
      if (key === undefined) break;
      const service = key.subarray(1, 1 + (key[0] as number));
      services.push(Buffer.from(service));
      start = Buffer.concat([key.subarray(0, 1 + service.length), AFTER_EVERY_UUID]);
    }
    return services;
  }

  #removeRequest(uuid: Buffer, request: StoredRecord, changes: Changes): void {
    this.#requests.remove(uuid);
    this.#queue.remove(queueKey(request.frames[0] as Buffer, uuid));
    this.#expiry.remove(expiryKey(request.expires, uuid));
    changes.pending -= 1;
    changes.ended.push(uuid);
  }

  #removeReply(uuid: Buffer, reply: StoredRecord, changes: Changes): void {
    this.#replies.remove(uuid);
    this.#expiry.remove(expiryKey(reply.expires, uuid));
    changes.answered -= 1;
  }

  #sound(
    database: LmdbDatabase,
    uuid: Buffer,
    changes: Changes,
    onDamage: () => void,
  ): StoredRecord | undefined {
    const record = read(database, uuid);
    if (typeof record !== "string") return record;
    this.#damaged.put(uuid, database.getBinary(uuid) as Buffer);
    database.remove(uuid);
    changes.damaged.push({ uuid: formatUuid(uuid), reason: record });
    onDamage();
    return undefined;
  }
}

function read(database: LmdbDatabase, uuid: Buffer): StoredRecord | string | undefined {
  const bytes = database.getBinary(uuid);
  return bytes === undefined ? undefined : decodeRecord(bytes);
}

function queueKey(service: Buffer, uuid: Buffer): Buffer {
  return Buffer.concat([Buffer.from([service.length]), service, uuid]);
}

/** Positive doubles sort as their bytes do. */
function timeKey(time: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeDoubleBE(time);
  return key;
}

function expiryKey(expires: number, uuid: Buffer): Buffer {
  return Buffer.concat([timeKey(expires), uuid]);
}
