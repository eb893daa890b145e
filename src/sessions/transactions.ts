/**
 * Operations on a store, in batches: each commit takes all that wait. If another server was faster, or the store's
 * answer was lost, the batch is read and run again, so operations are idempotent. Each sees the store through a view.
 *
 *   waiting ──> run ──unread──> read ──┐
 *                ^ <───────────────────┘
 *                ├──> commit ──true──> settled
 *                └────false, unknown──┘
 */
import { describe } from "../core/arguments.js";
import { ClosedError } from "../core/errors.js";
import { StoreError } from "../store/store.js";
import { after, decodeJson, encodeJson, MAX_BATCH, MAX_COMMIT_TRIES, PAGE_BYTES } from "./records.js";
import type { SessionServerSettings } from "./server-options.js";
import {
  readMany,
  type SessionStore,
  type SessionStoreCheck,
  type SessionStoreEntry,
  type SessionStoreScan,
  type SessionStoreValue,
  type SessionStoreWrite,
} from "./store.js";

// --- View ------------------------------------------------------------------------------------------------------------

export type KeyRange = Omit<SessionStoreScan, "maxBytes">;

export class Unread extends Error {
  readonly keys: readonly string[];
  readonly range: KeyRange | undefined;

  constructor(keys: readonly string[], range?: KeyRange) {
    super("unread");
    this.keys = keys;
    this.range = range;
  }
}

/** An operation must run again after a preparation. */
export class NotPrepared extends Error {
  readonly prepare: () => Promise<void>;

  constructor(prepare: () => Promise<void>) {
    super("not prepared");
    this.prepare = prepare;
  }
}

/**
 * An operation's view of the store: values read, under the writes of this operation and earlier ones of its batch. A
 * missing value ends the operation, to run again after a read.
 */
export class View {
  readonly #known: ReadonlyMap<string, SessionStoreValue | undefined>;
  /** By the ranges' beginnings. */
  readonly #found: ReadonlyMap<string, readonly SessionStoreEntry[]>;
  readonly #used = new Set<string>();
  readonly #written = new Map<string, Buffer | undefined>();
  readonly #own = new Map<string, Buffer | undefined>();

  constructor(
    known: ReadonlyMap<string, SessionStoreValue | undefined>,
    found: ReadonlyMap<string, readonly SessionStoreEntry[]> = new Map(),
  ) {
    this.#known = known;
    this.#found = found;
  }

  /** @throws Unread */
  need(keys: readonly string[]): void {
    const unread = keys.filter(
      (key) => !this.#own.has(key) && !this.#written.has(key) && !this.#known.has(key),
    );
    if (unread.length > 0) throw new Unread(unread);
  }

  get(key: string): Buffer | undefined {
    if (this.#own.has(key)) return this.#own.get(key);
    if (this.#written.has(key)) return this.#written.get(key);
    if (!this.#known.has(key)) throw new Unread([key]);
    this.#used.add(key);
    return this.#known.get(key)?.value;
  }

  /**
   * The first keys with a value, about `limit`, and where the next ones begin. A commit does not check that there are no
   * others: their writers must write a key that the operation reads.
   *
   * @throws Unread
   */
  keysIn(range: KeyRange): { readonly keys: readonly string[]; readonly end: string } {
    const found = this.#found.get(range.from);
    if (found === undefined) throw new Unread([], range);
    const last = found.at(-1);
    const end = last === undefined ? range.to : after(last.key);
    const keys = new Set(found.map(({ key }) => key));
    for (const writes of [this.#written, this.#own])
      for (const [key, value] of writes) {
        if (value === undefined) keys.delete(key);
        else if (key >= range.from && key < end) keys.add(key);
      }
    return { keys: [...keys].sort(), end };
  }

  /** @throws Unread; StoreError `damaged` */
  getJson<T>(key: string): T | undefined {
    const bytes = this.get(key);
    return bytes === undefined ? undefined : (decodeJson(key, bytes) as T);
  }

  /** @param value `undefined` removes the key */
  set(key: string, value: Buffer | undefined): void {
    this.#own.set(key, value);
  }

  setJson(key: string, value: unknown): void {
    this.#own.set(key, encodeJson(value));
  }

  /** The operation is done: later ones see its writes. */
  keep(): void {
    for (const [key, value] of this.#own) this.#written.set(key, value);
    this.#own.clear();
  }

  /** The operation failed. Its reads stay checked, as the possible reason. */
  discard(): void {
    this.#own.clear();
  }

  checks(): SessionStoreCheck[] {
    return Array.from(this.#used, (key) => ({ key, version: this.#known.get(key)?.version ?? 0 }));
  }

  writes(): SessionStoreWrite[] {
    return Array.from(this.#written, ([key, value]) => ({ key, value }));
  }
}

// --- Batches ---------------------------------------------------------------------------------------------------------

/** Reads and writes a view. Runs again after {@link Unread} or {@link NotPrepared}; other errors are its result. */
export type Operation<T> = (view: View) => T;

/** Replaces an operation that found the store full by one without new keys. */
export type WhenFull<T> = (error: StoreError) => Operation<T>;

interface Waiting {
  readonly run: Operation<unknown>;
  readonly bytes: number;
  readonly whenFull: WhenFull<unknown> | undefined;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Known = Map<string, SessionStoreValue | undefined>;

type Result = { readonly value: unknown } | { readonly error: unknown };

export class Transactions {
  readonly #store: SessionStore;
  readonly #limits: Pick<SessionServerSettings, "maxPending" | "maxPendingBytes">;
  readonly #waiting: Waiting[] = [];
  #bytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;
  commits = 0;
  operations = 0;
  conflicts = 0;

  constructor(store: SessionStore, limits: Pick<SessionServerSettings, "maxPending" | "maxPendingBytes">) {
    this.#store = store;
    this.#limits = limits;
  }

  get pending(): number {
    return this.#waiting.length;
  }

  get hasRoom(): boolean {
    return this.#waiting.length < this.#limits.maxPending && this.#bytes < this.#limits.maxPendingBytes;
  }

  /**
   * @param bytes counted in `maxPendingBytes`
   * @returns the result, once the operation's writes are durable
   * @throws the operation's error; StoreError; ClosedError `EBADF`
   */
  run<T>(run: Operation<T>, bytes = 0, whenFull?: WhenFull<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new ClosedError("EBADF", "The server of sessions is closed"));
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ run, bytes, whenFull, resolve: resolve as (result: unknown) => void, reject });
      this.#bytes += bytes;
      this.#running ??= this.#work();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #work(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH);
      for (const { bytes } of batch) this.#bytes -= bytes;
      const left = batch.slice(await this.#run(batch));
      this.#waiting.unshift(...left);
      for (const { bytes } of left) this.#bytes += bytes;
      await undefined;
    }
    this.#running = undefined;
  }

  /** @returns settled operations, at least the first */
  async #run(batch: readonly Waiting[]): Promise<number> {
    try {
      const results = await this.#commit(batch);
      this.operations += results.length;
      for (const [i, result] of results.entries()) {
        const waiting = batch[i] as Waiting;
        if ("error" in result) waiting.reject(result.error);
        else waiting.resolve(result.value);
      }
      return results.length;
    } catch (error) {
      const [first] = batch as [Waiting];
      if (!isFull(error)) for (const { reject } of batch) reject(error);
      // Some need no room.
      else if (batch.length > 1) for (const each of batch) await this.#run([each]);
      else if (first.whenFull === undefined) first.reject(error);
      else await this.#run([{ ...first, run: first.whenFull(error), whenFull: undefined }]);
      return batch.length;
    }
  }

  /** @returns results of the first operations, at least one; others run after their commit */
  async #commit(batch: readonly Waiting[]): Promise<Result[]> {
    let failure = new StoreError("overloaded", `Other servers were faster ${MAX_COMMIT_TRIES} times`);
    const known: Known = new Map();
    for (let tries = 1; tries <= MAX_COMMIT_TRIES; tries++) {
      const { view, results } = await this.#settle(batch, known);
      const [checks, writes] = [view.checks(), view.writes()];
      if (writes.length === 0 && checks.length === 0) return results;
      try {
        const isDone: unknown = await this.#store.commit(checks, writes);
        if (typeof isDone !== "boolean")
          throw new StoreError(
            "failed",
            `commit of the store must return true or false; got ${describe(isDone)}`,
          );
        if (isDone) {
          this.commits += 1;
          return results;
        }
        this.conflicts += 1;
      } catch (error) {
        if (!(error instanceof StoreError) || error.reason !== "outcome-unknown") throw error;
        failure = error;
        known.clear();
      }
      // Messages are removed, but never change. Reading them each time can take longer than other servers' commits.
      for (const [key, value] of known)
        if (tries % 8 === 0 || value === undefined || !key.startsWith("q/")) known.delete(key);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 2 ** Math.min(tries, 6)));
    }
    throw failure;
  }

  /** Runs operations until they need no more reads or preparations; those that depend on the batch's writes follow its commit. */
  async #settle(
    batch: readonly Waiting[],
    known: Known,
  ): Promise<{ readonly view: View; readonly results: Result[] }> {
    const found = new Map<string, readonly SessionStoreEntry[]>();
    let count = batch.length;
    for (;;) {
      const view = new View(known, found);
      const unread = new Set<string>();
      const ranges: KeyRange[] = [];
      let unprepared: { readonly place: number; readonly error: NotPrepared } | undefined;
      const results = batch.slice(0, count).map(({ run }, place): Result => {
        try {
          const value = run(view);
          view.keep();
          return { value };
        } catch (error) {
          view.discard();
          if (error instanceof Unread) {
            for (const key of error.keys) unread.add(key);
            if (error.range !== undefined) ranges.push(error.range);
          } else if (error instanceof NotPrepared) unprepared ??= { place, error };
          return { error };
        }
      });
      if (unprepared?.place === 0) {
        await unprepared.error.prepare();
        known.clear();
        found.clear();
      } else if (unprepared !== undefined) count = unprepared.place;
      else if (unread.size > 0 || ranges.length > 0) {
        const names = [...unread];
        for (const [i, value] of (await readMany(this.#store, names)).entries())
          known.set(names[i] as string, value);
        for (const range of ranges) {
          const entries = await this.#store.scan({ ...range, maxBytes: PAGE_BYTES });
          for (const entry of entries) if (!known.has(entry.key)) known.set(entry.key, entry);
          found.set(range.from, entries);
        }
      } else return { view, results };
    }
  }
}

function isFull(error: unknown): error is StoreError {
  return error instanceof StoreError && error.reason === "full";
}
