/**
 * Group commit: operations that arrive during a commit share the next one.
 *
 *   idle --add--> scheduled --turn ends--> committing --done--> idle, or committing the next
 */
import { ClosedError } from "../core/errors.js";
import { StoreError } from "./record.js";

/** Operations of a commit: bounds memory and time. */
const MAX_BATCH = 4_096;
/**
 * Bytes of a commit; a single operation may be larger. `pg` makes one string of a statement's records, two characters
 * per byte, and V8's longest string has 2^29.
 */
const MAX_BATCH_BYTES = 33_554_432;
const MAX_PENDING_BYTES = 268_435_456;

interface Waiting<Op, Result> {
  readonly op: Op;
  readonly bytes: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit<Op, Result> {
  readonly #commit: (ops: readonly Op[]) => Promise<readonly (Result | Error)[]>;
  readonly #maxPending: number;
  #waiting: Waiting<Op, Result>[] = [];
  #bytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;
  /** Attempted commits; operations of successful ones. */
  commits = 0;
  operations = 0;

  /**
   * @param commit makes operations durable together. An Error among its results refuses that operation; a rejection
   *   means that nothing was changed
   * @param maxPending waiting operations; further ones are refused
   */
  constructor(commit: (ops: readonly Op[]) => Promise<readonly (Result | Error)[]>, maxPending: number) {
    this.#commit = commit;
    this.#maxPending = maxPending;
  }

  /**
   * Settles when the operation is durable.
   *
   * @param bytes of its writes, about; 0: no bound of bytes
   * @throws StoreError `overloaded` past a bound; ClosedError `EBADF`; the error of the commit
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

  /** Settles when all earlier operations are durable or have failed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests of one read arrive in one turn.
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

  /** At least one operation. */
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
