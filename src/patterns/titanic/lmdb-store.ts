/**
 * Titanic's store on LMDB: one folder, one process. An acknowledgement follows the commit on disk. Pending operations
 * share a commit (group commit), which runs on a thread of the package `lmdb`.
 */

import { costOf } from "../../core/frame-cost.js";
import { boolean, bytes, checkOptions, func, type Given } from "../kit/options.js";
import { StoreError } from "../kit/store/error.js";
import { GroupCommit } from "../kit/store/group-commit.js";
import { FOLDER_OPTIONS, LmdbFolder } from "../kit/store/lmdb.js";
import { recordBytes } from "../kit/store/record.js";
import { Changes, type Counts, LmdbTables, type QueuedKey, TABLES } from "./lmdb-tables.js";
import type {
  TitanicBurial,
  TitanicClaimedRequest,
  TitanicDamagedRecord,
  TitanicNewRequest,
  TitanicRequestState,
  TitanicStore,
  TitanicStoredDeadLetter,
  TitanicStoreStats,
} from "./store.js";

type Operation =
  | { readonly kind: "put"; readonly request: TitanicNewRequest }
  | {
      readonly kind: "answer";
      readonly uuid: Buffer;
      readonly reply: readonly Buffer[];
      readonly expires: number;
    }
  | { readonly kind: "forget"; readonly uuid: Buffer }
  | { readonly kind: "fail"; readonly uuid: Buffer }
  | { readonly kind: "bury"; readonly uuid: Buffer; readonly burial: TitanicBurial }
  | { readonly kind: "requeue"; readonly uuid: Buffer; readonly expires: number }
  | { readonly kind: "expire"; readonly limit: number }
  /** Checks an unreadable record within a transaction, and sets it aside. */
  | { readonly kind: "inspect"; readonly uuid: Buffer; readonly key: QueuedKey | undefined };

/** Keys repaired per table when the store opens. */
const MAX_REPAIRED = 10_000;
/** Bytes of a request in addition to its body. */
const OVERHEAD = 200;

const OPTIONS = {
  ...FOLDER_OPTIONS,
  /** Stored requests and replies; more requests are refused. Default 10,000,000. */
  maxRecords: bytes({ default: 10_000_000, min: 0 }),
  /** Pending operations; more, or more than 256 MiB of them, are refused. Default 100,000. */
  maxPendingWrites: bytes({ default: 100_000, min: 0 }),
  /**
   * Opens the folder alongside the serving process without taking it over, to read and requeue dead letters. Default
   * false.
   */
  maintenance: boolean(false),
  /** ms since 1970. Default `Date.now`. */
  wallClock: func<() => number>(),
};

/** Options of {@link LmdbStore.open}. */
export type LmdbStoreOptions = Given<typeof OPTIONS>;

/**
 * A {@link TitanicStore} on LMDB: one folder, one process, each acknowledgement after the commit is on the disk. Needs the
 * package `lmdb`.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { MajordomoBroker, MajordomoWorker } from "shoal/majordomo";
 * import { LmdbStore, Titanic, TitanicClient } from "shoal/titanic";
 *
 * const broker = new MajordomoBroker();
 * const endpoint = await broker.bind("tcp://127.0.0.1:*");
 * const store = LmdbStore.open(mkdtempSync("/tmp/titanic-"));
 * const titanic = new Titanic(endpoint, store);
 * const worker = new MajordomoWorker(endpoint, "upper", ([text]) => String(text).toUpperCase());
 * const client = new TitanicClient(endpoint);
 * const uuid = await client.request("upper", "keep me"); // On disk when this settles.
 * console.log(String((await client.wait(uuid)).body)); // KEEP ME
 * await Promise.all([client.close(), worker.close()]);
 * await titanic.close();
 * await store.close();
 * await broker.close();
 * ```
 */
export class LmdbStore implements TitanicStore {
  readonly name = "lmdb";
  onDamage: ((record: TitanicDamagedRecord) => void) | undefined;
  readonly #folder: LmdbFolder<(typeof TABLES)[number]>;
  readonly #tables: LmdbTables;
  readonly #writes: GroupCommit<Operation, number | boolean>;
  /** Claimed and delayed requests, and when they can be claimed. */
  readonly #held = new Map<string, number>();
  readonly #maxRecords: number;
  readonly #now: () => number;
  /** As of the last commit. */
  #counts: Counts;
  #closing: Promise<void> | undefined;

  /**
   * Opens or creates a folder. A second process takes it over: the first one's writes are then refused with `taken`. A
   * second store in one process is refused.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; InvalidArgumentError `EINVAL`;
   *   StoreError `damaged` for a damaged or foreign file, `failed` if the folder cannot be opened; the file is left
   *   unchanged. Up to 1 GiB of its pages are read for the check
   */
  static open(directory: string, options: LmdbStoreOptions = {}): LmdbStore {
    return new LmdbStore(directory, options);
  }

  private constructor(directory: string, options: LmdbStoreOptions) {
    const settings = checkOptions("LmdbStore", OPTIONS, options);
    const { maxRecords, maxPendingWrites, minFreeBytes, damagedFile, maintenance, wallClock } = settings;
    this.#folder = new LmdbFolder(directory, {
      tables: TABLES,
      owner: maintenance ? undefined : "owner",
      minFreeBytes,
      damagedFile,
      begin: (tables) => new LmdbTables(tables).repair(MAX_REPAIRED),
    });
    this.#tables = new LmdbTables(this.#folder.tables);
    this.#maxRecords = maxRecords;
    this.#now = wallClock ?? Date.now;
    this.#counts = this.#tables.count();
    this.#writes = new GroupCommit((operations) => this.#commit(operations), maxPendingWrites);
  }

  /** Damaged file set aside at opening, and why. */
  get damagedFile(): { readonly file: string; readonly reason: string } | undefined {
    return this.#folder.damagedFile;
  }

  put(request: TitanicNewRequest): Promise<boolean> {
    // Awaiting the boolean would cost one more promise per request.
    return this.#writes.add({ kind: "put", request }, costOf(request.body)) as Promise<boolean>;
  }

  async claim(service: Buffer, limit: number): Promise<TitanicClaimedRequest[]> {
    this.#assertOurs();
    const now = this.#now();
    const claimed: TitanicClaimedRequest[] = [];
    const unsound: QueuedKey[] = [];
    for (const key of this.#tables.queued(service)) {
      if (claimed.length >= limit) break;
      const name = key.uuid.toString("latin1");
      if ((this.#held.get(name) ?? 0) > now) continue;
      const record = this.#tables.peekRequest(key.uuid);
      if (record === undefined || typeof record === "string" || record.frames[0]?.equals(service) !== true) {
        unsound.push({ service, uuid: Buffer.from(key.uuid) });
        continue;
      }
      if (record.expires <= now) continue;
      this.#held.set(name, Number.POSITIVE_INFINITY);
      const [, ...body] = record.frames;
      const attempts = this.#tables.failures(key.uuid) + 1;
      claimed.push({ uuid: Buffer.from(key.uuid), service, body, expires: record.expires, attempts });
    }
    try {
      await Promise.all(unsound.map((key) => this.#writes.add({ kind: "inspect", uuid: key.uuid, key })));
    } catch (error) {
      // This claim fails, so they would never be released.
      for (const { uuid } of claimed) this.#held.delete(uuid.toString("latin1"));
      throw error;
    }
    return claimed;
  }

  async release(uuid: Buffer, delay: number, failed: boolean): Promise<void> {
    const name = uuid.toString("latin1");
    if (!this.#held.has(name)) return;
    try {
      if (failed) await this.#writes.add({ kind: "fail", uuid });
    } finally {
      if (this.#held.has(name)) this.#held.set(name, this.#now() + delay);
    }
  }

  async bury(uuid: Buffer, burial: TitanicBurial): Promise<boolean> {
    return (await this.#writes.add({ kind: "bury", uuid, burial })) === true;
  }

  async deadLetters(limit: number, after?: Buffer): Promise<TitanicStoredDeadLetter[]> {
    this.#folder.assertOpen();
    return this.#tables.deadLetters(limit, after, this.#now());
  }

  async requeue(uuid: Buffer, expires: number): Promise<boolean> {
    return (await this.#writes.add({ kind: "requeue", uuid, expires })) === true;
  }

  async answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean> {
    return (await this.#writes.add({ kind: "answer", uuid, reply, expires }, costOf(reply))) === true;
  }

  async look(uuid: Buffer): Promise<TitanicRequestState> {
    this.#folder.assertOpen();
    const now = this.#now();
    const reply = this.#tables.peekReply(uuid);
    const record = reply ?? this.#tables.peekRequest(uuid);
    if (typeof record === "string") {
      await this.#writes.add({ kind: "inspect", uuid, key: undefined });
      return { state: "damaged" };
    }
    if (record !== undefined) {
      if (record.expires <= now) return { state: "unknown" };
      return reply === undefined ? { state: "pending" } : { state: "answered", reply: record.frames };
    }
    const reason = this.#tables.deadReason(uuid, now);
    if (reason !== undefined) return { state: "dead", reason };
    return { state: this.#tables.isDamaged(uuid) ? "damaged" : "unknown" };
  }

  async forget(uuid: Buffer): Promise<void> {
    await this.#writes.add({ kind: "forget", uuid });
  }

  async expire(limit: number): Promise<number> {
    const removed = await this.#writes.add({ kind: "expire", limit });
    return removed as number;
  }

  async services(limit: number): Promise<Buffer[]> {
    this.#folder.assertOpen();
    return this.#tables.services(limit);
  }

  stats(): TitanicStoreStats {
    const { commits, operations } = this.#writes;
    return { ...this.#counts, commits, operations };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writes.close();
    await this.#folder.close();
  }

  /** One transaction: all operations are on disk afterwards, or none. */
  async #commit(operations: readonly Operation[]): Promise<(number | boolean | Error)[]> {
    const full = operations.some(({ kind }) => kind === "put")
      ? await this.#folder.room.refusal()
      : undefined;
    const changes = new Changes();
    const now = this.#now();
    const [results, counts] = await this.#folder.transaction(() => {
      const done = operations.map((operation) => this.#apply(operation, now, changes, full));
      return [done, this.#tables.count()] as const;
    });
    this.#counts = counts;
    for (const uuid of changes.ended) this.#held.delete(uuid.toString("latin1"));
    for (const record of changes.damaged) this.onDamage?.(record);
    return results;
  }

  #apply(
    operation: Operation,
    now: number,
    changes: Changes,
    full: StoreError | undefined,
  ): number | boolean | Error {
    const tables = this.#tables;
    switch (operation.kind) {
      case "put": {
        const { pending, answered, dead } = this.#counts;
        const kept = pending + answered + dead + changes.stored;
        // A repetition needs no room.
        const refused = full ?? (kept >= this.#maxRecords ? tooMany(kept) : undefined);
        if (refused !== undefined) return tables.isKnown(operation.request.uuid) ? false : refused;
        this.#folder.room.note(OVERHEAD + recordBytes(operation.request.body));
        return tables.put(operation.request, changes);
      }
      case "fail":
        tables.fail(operation.uuid, changes);
        return true;
      case "bury":
        return tables.bury(operation.uuid, operation.burial, now, changes);
      case "requeue":
        return tables.requeue(operation.uuid, operation.expires, now, changes);
      case "answer":
        return tables.answer(operation.uuid, operation.reply, operation.expires, now, changes);
      case "forget":
        tables.forget(operation.uuid, changes);
        return true;
      case "expire":
        return tables.expire(now, operation.limit, changes);
      case "inspect":
        tables.request(operation.uuid, changes);
        tables.reply(operation.uuid, changes);
        if (operation.key !== undefined) tables.removeKey(operation.key);
        return true;
    }
  }

  #assertOurs(): void {
    this.#folder.assertOpen();
    this.#folder.assertOwner();
  }
}

function tooMany(kept: number): StoreError {
  return new StoreError(
    "full",
    `${kept} requests, replies and dead letters are kept already, as many as allowed`,
  );
}
