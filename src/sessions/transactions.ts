/**
 * Operations on a store, in batches: each commit takes all that wait. If another server was faster, or the store's
 * answer was lost, the batch is read and run again, so operations are idempotent.
 *
 *   waiting ──> run ──unread──> read ──┐
 *                ^ <───────────────────┘
 *                ├──> commit ──true──> settled
 *                └────false, unknown──┘
 */
import { describe } from "../core/arguments.js";
import { ClosedError } from "../core/errors.js";
import { StoreError } from "../patterns/kit/store/error.js";
import { COMMIT_BACK_OFF, MAX_BATCH, MAX_COMMIT_TRIES, PAGE_BYTES } from "./bounds.js";
import { after } from "./records.js";
import { readMany, type SessionStore, type SessionStoreValue } from "./store.js";
import { type FoundKeys, type KeyRange, NotPrepared, Unread, View } from "./view.js";

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

type Result = { readonly value: unknown } | { readonly error: unknown };

export interface TransactionLimits {
  readonly maxPending: number;
  readonly maxPendingBytes: number;
}

export class Transactions {
  readonly #store: SessionStore;
  readonly #limits: TransactionLimits;
  readonly #random: () => number;
  readonly #waiting: Waiting[] = [];
  #bytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;
  commits = 0;
  operations = 0;
  conflicts = 0;

  constructor(store: SessionStore, limits: TransactionLimits, random: () => number = Math.random) {
    this.#store = store;
    this.#limits = limits;
    this.#random = random;
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
      try {
        const done = await this.#run(batch);
        const left = batch.slice(done);
        this.#waiting.unshift(...left);
        for (const { bytes } of left) this.#bytes += bytes;
      } catch (error) {
        if (isFull(error)) await this.#runEach(batch, error);
        else for (const { reject } of batch) reject(error);
      }
      await undefined;
    }
    this.#running = undefined;
  }

  /** @returns settled operations, at least the first */
  async #run(batch: readonly Waiting[]): Promise<number> {
    const results = await this.#commit(batch);
    this.operations += results.length;
    for (const [i, result] of results.entries()) {
      const waiting = batch[i] as Waiting;
      if ("error" in result) waiting.reject(result.error);
      else waiting.resolve(result.value);
    }
    return results.length;
  }

  /** The batch has no room, so each operation runs alone. @param error of the batch */
  async #runEach(batch: readonly Waiting[], error: StoreError): Promise<void> {
    for (const waiting of batch) {
      let refusal = error;
      try {
        if (batch.length > 1) {
          await this.#run([waiting]);
          continue;
        }
      } catch (cause) {
        if (!isFull(cause)) {
          waiting.reject(cause);
          continue;
        }
        refusal = cause;
      }
      const { whenFull } = waiting;
      if (whenFull === undefined) waiting.reject(refusal);
      else await this.#run([{ ...waiting, run: whenFull(refusal) }]).catch(waiting.reject);
    }
  }

  /** @returns results of the first operations, at least one; others run after their commit */
  async #commit(batch: readonly Waiting[]): Promise<Result[]> {
    for (let tries = 1; ; tries++) {
      const { view, results } = await this.#settle(batch);
      const [checks, writes] = [view.checks(), view.writes()];
      try {
        if (writes.length === 0 && checks.length === 0) return results;
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
        if (tries >= MAX_COMMIT_TRIES) throw error;
      }
      if (tries >= MAX_COMMIT_TRIES)
        throw new StoreError("overloaded", `Other servers were faster ${tries} times`);
      await this.#backOff(tries);
    }
  }

  /** Runs operations until they need no more reads or preparations; those that depend on the batch's writes follow its commit. */
  async #settle(batch: readonly Waiting[]): Promise<{ readonly view: View; readonly results: Result[] }> {
    const known = new Map<string, SessionStoreValue | undefined>();
    const found = new Map<string, FoundKeys>();
    let count = batch.length;
    let prepared = -1;
    for (;;) {
      const view = new View(known, found);
      const unread = new Set<string>();
      const ranges: KeyRange[] = [];
      let unprepared = -1;
      let prepare = (): Promise<void> => Promise.resolve();
      const results = batch.slice(0, count).map(({ run }, i): Result => {
        try {
          const value = run(view);
          view.keep();
          return { value };
        } catch (error) {
          view.discard();
          if (error instanceof Unread) {
            for (const key of error.keys) unread.add(key);
            if (error.range !== undefined) ranges.push(error.range);
          } else if (error instanceof NotPrepared && unprepared < 0) {
            unprepared = i;
            prepare = error.prepare;
          }
          return { error };
        }
      });
      if (unprepared > 0 && unprepared === prepared) {
        count = unprepared;
        prepared = -1;
      } else if (unprepared >= 0) {
        await prepare();
        prepared = unprepared;
        known.clear();
        found.clear();
      } else if (unread.size > 0 || ranges.length > 0) {
        await this.#read([...unread], known);
        for (const range of ranges) await this.#find(range, known, found);
      } else return { view, results };
    }
  }

  async #read(keys: readonly string[], into: Map<string, SessionStoreValue | undefined>): Promise<void> {
    const values = await readMany(this.#store, keys);
    for (const [i, key] of keys.entries()) into.set(key, values[i]);
  }

  async #find(
    range: KeyRange,
    known: Map<string, SessionStoreValue | undefined>,
    found: Map<string, FoundKeys>,
  ): Promise<void> {
    const entries = await this.#store.scan({ ...range, maxBytes: PAGE_BYTES });
    for (const entry of entries) if (!known.has(entry.key)) known.set(entry.key, entry);
    const last = entries.at(-1);
    const end = last === undefined ? range.to : after(last.key);
    found.set(range.from, { keys: entries.map(({ key }) => key), end });
  }

  #backOff(tries: number): Promise<void> {
    const longest = COMMIT_BACK_OFF * 2 ** Math.min(tries, 6);
    return new Promise((resolve) => setTimeout(resolve, this.#random() * longest));
  }
}

function isFull(error: unknown): error is StoreError {
  return error instanceof StoreError && error.reason === "full";
}
