/**
 * Titanic's store on LMDB: one folder, one process, every acknowledgement after
 * the commit is on the disk. Commits are shared by all that waits for one (group
 * commit), and run on a thread of the package `lmdb`, next to the event loop.
 */

import crypto from "node:crypto";
import { ClosedError } from "../../core/errors.js";
import { costOf } from "../../core/frame-cost.js";
import { boolean, bytes, checkOptions, choice, func } from "../kit/options.js";
import { StoreError } from "../kit/store/error.js";
import { GroupCommit } from "../kit/store/group-commit.js";
import { commitFailed, DiskRoom, type LmdbEnvironment, openStore, storeFolder } from "../kit/store/lmdb.js";
import { recordBytes } from "../kit/store/record.js";
import { Changes, LmdbTables, type QueuedKey, TABLES } from "./lmdb-tables.js";
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

/** Options of {@link LmdbStore.open}. */
export interface LmdbStoreOptions {
  /** Requests and replies kept together; past it new requests are refused. Default 10,000,000. */
  readonly maxRecords?: number;
  /** Operations that may wait for the disk; past it, or 256 MiB of them, they are refused. Default 100,000. */
  readonly maxPendingWrites?: number;
  /**
   * Bytes that stay free, on the disk and in pages of the file that hold nothing: new requests are refused
   * below, so that replies and closing, which need pages of their own before they give any back, still find
   * room. Default 67,108,864.
   */
  readonly minFreeBytes?: number;
  /**
   * What to do when the file is damaged: `"refuse"` to open and leave it as it is, or `"set-aside"`: rename it to
   * `data.mdb.damaged-TIME`, and begin with an empty store. It is never deleted. Default `"refuse"`.
   */
  readonly damagedFile?: "refuse" | "set-aside";
  /**
   * Opens the folder alongside the process that serves it, if there is one, and takes nothing over: for looking at dead
   * letters and putting them back. Default false.
   */
  readonly maintenance?: boolean;
  /** The wall clock, in ms since 1970. Default `Date.now`. */
  readonly wallClock?: () => number;
}

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
  /** Looks again inside a transaction at what could not be read outside, and sets it aside. */
  | { readonly kind: "inspect"; readonly uuid: Buffer; readonly key: QueuedKey | undefined };

/** Requests whose keys are looked at when the store is opened. */
const MAX_REPAIRED = 10_000;
/** Bytes that a request takes in addition to its body, about. */
const OVERHEAD = 200;

const OPTIONS = {
  maxRecords: bytes({ default: 10_000_000, min: 0 }),
  maxPendingWrites: bytes({ default: 100_000, min: 0 }),
  minFreeBytes: bytes({ default: 67_108_864, min: 0 }),
  damagedFile: choice(["refuse", "set-aside"], "refuse"),
  maintenance: boolean(false),
  wallClock: func<() => number>(),
};

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
  /** The file that was damaged and set aside at opening, and why. */
  damagedFile: { readonly file: string; readonly reason: string } | undefined;
  readonly #directory: string;
  readonly #environment: LmdbEnvironment;
  readonly #tables: LmdbTables;
  readonly #writes: GroupCommit<Operation, number | boolean>;
  /** Requests that are not to be claimed, until a time. */
  readonly #held = new Map<string, number>();
  readonly #token = crypto.randomBytes(16);
  /** Whether another process may own the store, and keeps it. */
  readonly #isGuest: boolean;
  readonly #maxRecords: number;
  readonly #room: DiskRoom;
  readonly #now: () => number;
  #pending = 0;
  #answered = 0;
  #dead = 0;
  #damaged = 0;
  /** Whether the numbers above are to be read from the tables: another process may have changed them. */
  #recount = false;
  #closed = false;
  #closing: Promise<void> | undefined;

  /**
   * Opens a folder, and makes it if it is not there. A second process that opens it takes it over: the
   * first one's writes are refused from then on with `taken`. Within a process the second is refused.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `lmdb`; InvalidArgumentError `EINVAL`;
   *   StoreError `damaged` when its file is not sound or none of LMDB, and `failed` when the folder cannot be
   *   opened; it is left as it is then. The file is read for that, up to 1 GiB of its pages
   */
  static open(directory: string, options: LmdbStoreOptions = {}): LmdbStore {
    return new LmdbStore(directory, options);
  }

  private constructor(directory: string, options: LmdbStoreOptions) {
    const { maxRecords, maxPendingWrites, minFreeBytes, damagedFile, maintenance, wallClock } = checkOptions(
      "LmdbStore",
      OPTIONS,
      options,
    );
    this.#isGuest = maintenance;
    this.#directory = storeFolder(directory);
    this.#maxRecords = maxRecords;
    this.#now = wallClock ?? Date.now;
    const file = {
      tables: TABLES,
      damagedFile,
      onSetAside: (path: string, reason: string): void => {
        this.damagedFile = { file: path, reason };
      },
    };
    [this.#environment, this.#tables] = openStore(this.#directory, file, (environment) => {
      const tables = new LmdbTables(environment);
      environment.transactionSync(() => {
        if (maintenance) return undefined;
        tables.owner = this.#token;
        tables.repair(MAX_REPAIRED);
        return undefined;
      });
      return tables;
    });
    this.#room = new DiskRoom(this.#directory, minFreeBytes, () => this.#tables.reusableBytes());
    this.#count();
    this.#writes = new GroupCommit((operations) => this.#commit(operations), maxPendingWrites);
  }

  put(request: TitanicNewRequest): Promise<boolean> {
    // A put's result is a boolean: to wait for it here would be one more promise for each request.
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
      // Nobody gets them by this claim, so nobody will release them.
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
    this.#assertOpen();
    return this.#tables.deadLetters(limit, after, this.#now());
  }

  async requeue(uuid: Buffer, expires: number): Promise<boolean> {
    return (await this.#writes.add({ kind: "requeue", uuid, expires })) === true;
  }

  async answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean> {
    return (await this.#writes.add({ kind: "answer", uuid, reply, expires }, costOf(reply))) === true;
  }

  async look(uuid: Buffer): Promise<TitanicRequestState> {
    this.#assertOpen();
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
    this.#assertOpen();
    this.#recount = true;
    return this.#tables.services(limit);
  }

  stats(): TitanicStoreStats {
    const { commits, operations } = this.#writes;
    return {
      pending: this.#pending,
      answered: this.#answered,
      dead: this.#dead,
      damaged: this.#damaged,
      commits,
      operations,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writes.close();
    this.#closed = true;
    await this.#environment.close();
  }

  /** All operations in one transaction: all of them are on the disk afterwards, or none. */
  async #commit(operations: readonly Operation[]): Promise<(number | boolean | Error)[]> {
    const full = operations.some(({ kind }) => kind === "put") ? await this.#room.refusal() : undefined;
    const changes = new Changes();
    const now = this.#now();
    let results: (number | boolean | Error)[];
    try {
      results = await this.#environment.childTransaction(() => {
        this.#assertOwner();
        if (this.#recount) this.#count();
        return operations.map((operation) => this.#apply(operation, now, changes, full));
      });
    } catch (error) {
      if (!(error instanceof StoreError)) this.#room.suspect();
      throw await commitFailed(error, this.#directory);
    }
    this.#pending += changes.pending;
    this.#answered += changes.answered;
    this.#dead += changes.dead;
    this.#damaged += changes.damaged.length;
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
        const kept =
          this.#pending + this.#answered + this.#dead + changes.pending + changes.answered + changes.dead;
        // A repetition needs no room.
        const refused = full ?? (kept >= this.#maxRecords ? tooMany(kept) : undefined);
        if (refused !== undefined) return tables.isKnown(operation.request.uuid) ? false : refused;
        this.#room.note(OVERHEAD + recordBytes(operation.request.body));
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

  /** Only at the start, or inside a transaction. */
  #count(): void {
    const { pending, answered, dead, damaged } = this.#tables.count();
    this.#pending = pending;
    this.#answered = answered;
    this.#dead = dead;
    this.#damaged = damaged;
    this.#recount = false;
  }

  #assertOurs(): void {
    this.#assertOpen();
    this.#assertOwner();
  }

  #assertOwner(): void {
    if (!this.#isGuest && this.#tables.owner?.equals(this.#token) !== true) throw taken(this.#directory);
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError("EBADF", "The store is closed");
  }
}

function tooMany(kept: number): StoreError {
  return new StoreError(
    "full",
    `${kept} requests, replies and dead letters are kept already, as many as allowed`,
  );
}

function taken(directory: string): StoreError {
  return new StoreError("taken", `Another process has opened the store in ${directory}, and serves it now`);
}
