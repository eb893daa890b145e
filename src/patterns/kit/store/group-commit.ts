/**
 * Group commit: what comes while one commit is on its way to the disk goes out
 * together with the next. One flush of the disk then serves a thousand
 * requests, and a single one waits for no timer.
 *
 *   idle --add--> scheduled --turn ends--> committing --done--> idle, or committing the next
 */
import { ClosedError } from "../../../core/errors.js";
import { StoreError } from "./error.js";

/** Operations of one commit at most; bounds the memory and the time of a single transaction. */
const MAX_BATCH = 4_096;

interface Waiting<Op, Result> {
  readonly op: Op;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** Collects operations and commits them together, one commit at a time, in the order they came. */
export class GroupCommit<Op, Result> {
  readonly #commit: (ops: readonly Op[]) => Promise<readonly (Result | Error)[]>;
  readonly #maxPending: number;
  #waiting: Waiting<Op, Result>[] = [];
  #running: Promise<void> | undefined;
  #closed = false;
  /** Commits that were tried, and operations in those that worked. */
  commits = 0;
  operations = 0;

  /**
   * @param commit makes them durable together; the results are in the operations' order, an Error in place
   *   of one refuses that operation alone. When it rejects, none of them took place
   * @param maxPending operations that may wait; one more is refused
   */
  constructor(commit: (ops: readonly Op[]) => Promise<readonly (Result | Error)[]>, maxPending: number) {
    this.#commit = commit;
    this.#maxPending = maxPending;
  }

  /** Operations that wait for their commit to begin. */
  get pending(): number {
    return this.#waiting.length;
  }

  /**
   * Settles when the operation is durable.
   *
   * @throws StoreError `overloaded` past the bound; ClosedError `EBADF`; and whatever the commit failed with
   */
  add(op: Op): Promise<Result> {
    if (this.#closed) return Promise.reject(new ClosedError("EBADF", "The store is closed"));
    if (this.#waiting.length >= this.#maxPending) {
      return Promise.reject(
        new StoreError("overloaded", `${this.#waiting.length} operations wait for the disk already`),
      );
    }
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ op, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Takes no more; settles when everything that came before is durable or has failed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // The requests of one read of the network arrive in one turn: they belong together.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH);
      this.commits += 1;
      try {
        const results = await this.#commit(batch.map(({ op }) => op));
        this.operations += batch.length;
        for (const [i, waiting] of batch.entries()) {
          const result = results[i] as Result | Error;
          if (result instanceof Error) waiting.reject(result);
          else waiting.resolve(result);
        }
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    this.#running = undefined;
  }
}
