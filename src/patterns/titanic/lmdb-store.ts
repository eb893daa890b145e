/**
 * Titanic's store on LMDB: one folder, one process, every acknowledgement after
 * the commit is on the disk. Commits are shared by all that waits for one (group
 * commit), and run on a thread of the package `lmdb`, beside the event loop.
 */
import { randomBytes } from "node:crypto";
import { statfs } from "node:fs/promises";
import { resolve } from "node:path";
import { ClosedError, InvalidArgumentError, NotSupportedError } from "../../core/errors.js";
import { GroupCommit } from "./group-commit.js";
import { commitCause, type LmdbEnvironment, openEnvironment } from "./lmdb-module.js";
import { Changes, LmdbTables, type QueuedKey } from "./lmdb-tables.js";
import {
  type ClaimedRequest,
  type DamagedRecord,
  type NewRequest,
  type RequestState,
  StoreError,
  type StoreStats,
  type TitanicStore,
} from "./store.js";

/** Options of {@link LmdbStore.open}. */
export interface LmdbStoreOptions {
  /** Requests and replies kept together; past it new requests are refused. Default 10,000,000. */
  readonly maxRecords?: number;
  /** Operations that may wait for the disk; past it they are refused. Default 100,000. */
  readonly maxPendingWrites?: number;
  /**
   * Bytes that stay free on the disk: new requests are refused below, so that replies and closing, which
   * need pages of their own before they give any back, still find room. Default 67,108,864.
   */
  readonly minFreeBytes?: number;
  /** The wall clock, in ms since 1970. Default `Date.now`. */
  readonly wallClock?: () => number;
}

type Operation =
  | { readonly kind: "put"; readonly request: NewRequest }
  | {
      readonly kind: "answer";
      readonly uuid: Buffer;
      readonly reply: readonly Buffer[];
      readonly expires: number;
    }
  | { readonly kind: "forget"; readonly uuid: Buffer }
  | { readonly kind: "expire"; readonly limit: number }
  /** Looks again inside a transaction at what could not be read outside, and sets it aside. */
  | { readonly kind: "inspect"; readonly uuid: Buffer; readonly key: QueuedKey | undefined };

/** A request that is not to be claimed, until a time; the number of claims so far. */
interface Hold {
  until: number;
  attempts: number;
}

/** Bytes that the disk may lose between two looks at it. */
const LOOK_EVERY_BYTES = 1_048_576;
/** Bytes that a request takes beside its body, about. */
const OVERHEAD = 200;
const DEFAULTS = { maxRecords: 10_000_000, maxPendingWrites: 100_000, minFreeBytes: 67_108_864 };

/** Folders that this process has open: LMDB must not be opened twice by one process. */
const open = new Set<string>();

export class LmdbStore implements TitanicStore {
  readonly name = "lmdb";
  onDamage: ((record: DamagedRecord) => void) | undefined;
  readonly #directory: string;
  readonly #environment: LmdbEnvironment;
  readonly #tables: LmdbTables;
  readonly #writes: GroupCommit<Operation, number | boolean>;
  readonly #held = new Map<string, Hold>();
  readonly #token = randomBytes(16);
  readonly #maxRecords: number;
  readonly #minFreeBytes: number;
  readonly #now: () => number;
  #pending: number;
  #answered: number;
  #damaged: number;
  /** Bytes written since the disk was looked at; more than enough at first, so that the first request looks. */
  #unseen = LOOK_EVERY_BYTES;
  #roomy = true;
  #closed = false;
  #closing: Promise<void> | undefined;

  /**
   * Opens a folder, and makes it if it is not there. A second process that opens it takes it over: the
   * first one's writes are refused from then on with `taken`. Within a process the second is refused.
   *
   * @throws NotSupportedError `NOT_SUPPORTED` without the package `lmdb`; InvalidArgumentError `EINVAL`;
   *   StoreError `failed` when the folder cannot be opened, or holds something else; it is left as it is then
   */
  static open(directory: string, options: LmdbStoreOptions = {}): LmdbStore {
    return new LmdbStore(directory, options);
  }

  private constructor(directory: string, options: LmdbStoreOptions) {
    if (typeof directory !== "string" || directory === "")
      throw new InvalidArgumentError("The store on LMDB needs the path of a folder");
    const bounds = { ...DEFAULTS, ...options };
    for (const name of Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]) {
      if (!Number.isSafeInteger(bounds[name]) || bounds[name] < 0)
        throw new InvalidArgumentError(`${name} is a whole number, 0 or more; got ${String(bounds[name])}`);
    }
    this.#directory = resolve(directory);
    this.#maxRecords = bounds.maxRecords;
    this.#minFreeBytes = bounds.minFreeBytes;
    this.#now = options.wallClock ?? Date.now;
    if (open.has(this.#directory))
      throw new StoreError("taken", `This process has the store in ${this.#directory} open already`);
    try {
      this.#environment = openEnvironment(this.#directory);
      this.#tables = new LmdbTables(this.#environment);
      this.#environment.transactionSync(() => {
        this.#tables.owner = this.#token;
        return undefined;
      });
    } catch (cause) {
      if (cause instanceof NotSupportedError) throw cause;
      throw new StoreError("failed", `The store in ${this.#directory} cannot be opened`, { cause });
    }
    open.add(this.#directory);
    const { pending, answered, damaged } = this.#tables.count();
    this.#pending = pending;
    this.#answered = answered;
    this.#damaged = damaged;
    this.#writes = new GroupCommit((operations) => this.#commit(operations), bounds.maxPendingWrites);
  }

  async put(request: NewRequest): Promise<void> {
    await this.#writes.add({ kind: "put", request });
  }

  async claim(service: Buffer, limit: number): Promise<ClaimedRequest[]> {
    this.#assertOurs();
    const now = this.#now();
    const claimed: ClaimedRequest[] = [];
    const unsound: QueuedKey[] = [];
    for (const key of this.#tables.queued(service)) {
      if (claimed.length >= limit) break;
      const name = key.uuid.toString("latin1");
      const hold = this.#held.get(name);
      if (hold !== undefined && hold.until > now) continue;
      const record = this.#tables.peekRequest(key.uuid);
      if (record === undefined || typeof record === "string") {
        unsound.push({ service, uuid: Buffer.from(key.uuid) });
        continue;
      }
      if (record.expires <= now) continue;
      const attempts = (hold?.attempts ?? 0) + 1;
      this.#held.set(name, { until: Number.POSITIVE_INFINITY, attempts });
      const [, ...body] = record.frames;
      claimed.push({ uuid: Buffer.from(key.uuid), service, body, expires: record.expires, attempts });
    }
    await Promise.all(unsound.map((key) => this.#writes.add({ kind: "inspect", uuid: key.uuid, key })));
    return claimed;
  }

  async release(uuid: Buffer, delay: number): Promise<void> {
    const hold = this.#held.get(uuid.toString("latin1"));
    if (hold !== undefined) hold.until = this.#now() + delay;
  }

  async answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean> {
    return (await this.#writes.add({ kind: "answer", uuid, reply, expires })) === true;
  }

  async look(uuid: Buffer): Promise<RequestState> {
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
    return this.#tables.services(limit);
  }

  stats(): StoreStats {
    const { commits, operations } = this.#writes;
    return {
      pending: this.#pending,
      answered: this.#answered,
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
    open.delete(this.#directory);
  }

  /** All operations in one transaction: all of them are on the disk afterwards, or none. */
  async #commit(operations: readonly Operation[]): Promise<(number | boolean | Error)[]> {
    const full = operations.some(({ kind }) => kind === "put") ? await this.#lookForRoom() : undefined;
    const changes = new Changes();
    const now = this.#now();
    let results: (number | boolean | Error)[];
    try {
      results = await this.#environment.childTransaction(() => {
        if (this.#tables.owner?.equals(this.#token) !== true) throw taken(this.#directory);
        return operations.map((operation) => this.#apply(operation, now, changes, full));
      });
    } catch (error) {
      throw await this.#commitFailed(error);
    }
    this.#pending += changes.pending;
    this.#answered += changes.answered;
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
        const kept = this.#pending + this.#answered + changes.pending + changes.answered;
        if (full !== undefined) return full;
        if (kept >= this.#maxRecords)
          return new StoreError("full", `${kept} requests and replies are kept already, as many as allowed`);
        this.#unseen += OVERHEAD;
        for (const frame of operation.request.body) this.#unseen += frame.length;
        tables.put(operation.request, changes);
        return true;
      }
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

  /** An error when the disk has less room than has to stay free. Looked at once for each megabyte, and always when full. */
  async #lookForRoom(): Promise<StoreError | undefined> {
    if (!this.#roomy || this.#unseen >= LOOK_EVERY_BYTES) {
      this.#unseen = 0;
      const { bavail, bsize } = await statfs(this.#directory);
      this.#roomy = bavail * bsize >= this.#minFreeBytes;
    }
    return this.#roomy
      ? undefined
      : new StoreError(
          "full",
          `The disk of ${this.#directory} has less than ${this.#minFreeBytes} bytes left`,
        );
  }

  async #commitFailed(error: unknown): Promise<Error> {
    if (error instanceof StoreError) return error;
    const cause = await commitCause(error);
    this.#roomy = false; // Whatever it was, the next request looks at the disk first.
    return new StoreError(
      "failed",
      `The store in ${this.#directory} could not write; nothing of it was kept`,
      {
        cause,
      },
    );
  }

  #assertOurs(): void {
    this.#assertOpen();
    if (this.#tables.owner?.equals(this.#token) !== true) throw taken(this.#directory);
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError("EBADF", "The store is closed");
  }
}

function taken(directory: string): StoreError {
  return new StoreError("taken", `Another process has opened the store in ${directory}, and serves it now`);
}
