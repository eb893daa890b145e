/**
 * Titanic's store on LMDB. Pending operations share a commit, which runs on a thread of the package `lmdb`.
 */

import { costOf } from "../../core/memory.js";
import { ignore } from "../../core/waiter.js";
import { boolean, bytes, checkOptions, type Given } from "../../kit/options.js";
import { FOLDER_OPTIONS, LmdbFolder } from "../../store/lmdb.js";
import { GroupCommit, StoreError } from "../../store/store.js";
import { Changes, type Counts, LmdbTables, letterOf, TABLES } from "./lmdb-tables.js";
import { formatUuid } from "./protocol.js";
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

  async services(limit: number): Promise<Buffer[]> {
    this.#folder.assertOpen();
    return this.#tables.services(limit);
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
