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
/**
 * Bytes of one commit at most, unless one operation alone has more. `pg` makes one text of all records of a statement, two
 * characters a byte, and the longest text that V8 has is of 2^29.
 */
const MAX_BATCH_BYTES = 33_554_432;
/** Bytes of the operations that wait, in addition to their number. */
const MAX_PENDING_BYTES = 268_435_456;

interface Waiting<Op, Result> {
  readonly op: Op;
  readonly bytes: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** Collects operations and commits them together, one commit at a time, in the order they came. */
export class GroupCommit<Op, Result> {
  readonly #commit: (ops: readonly Op[]) => Promise<readonly (Result | Error)[]>;
  readonly #maxPending: number;
  #waiting: Waiting<Op, Result>[] = [];
  /** Of those that wait. */
  #bytes = 0;
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
   * @param bytes that it writes, about; without any it is not refused for those of others
   * @throws StoreError `overloaded` past a bound; ClosedError `EBADF`; and whatever the commit failed with
   */
  add(op: Op, bytes = 0): Promise<Result> {
    if (this.#closed) return Promise.reject(new ClosedError("EBADF", "The store is closed"));
    if (this.#waiting.length >= this.#maxPending) {
      return Promise.reject(
        new StoreError("overloaded", `${this.#waiting.length} operations wait for the disk already`),
      );
    }
    if (bytes > 0 && this.#bytes > 0 && this.#bytes + bytes > MAX_PENDING_BYTES) {
      return Promise.reject(new StoreError("overloaded", `${this.#bytes} bytes wait for the disk already`));
    }
    this.#bytes += bytes;
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ op, bytes, resolve, reject });
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
      const batch = this.#take();
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

  /** What is committed next: at least one operation. */
  #take(): Waiting<Op, Result>[] {
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#waiting) {
      if (count === MAX_BATCH || (count > 0 && bytes + waiting.bytes > MAX_BATCH_BYTES)) break;
      count += 1;
      bytes += waiting.bytes;
    }
    this.#bytes -= bytes;
    return this.#waiting.splice(0, count);
  }
}
