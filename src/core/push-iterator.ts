/** An async iterator of pushed values: in order, then the end, or an error once. The subclass bounds what is not read. */
import { RingBuffer } from "./collections/queues.js";
import { ClosedError } from "./errors.js";
import { ignore } from "./waiter.js";

interface Reader<T> {
  result: Promise<IteratorResult<T, undefined>>;
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

export abstract class PushIterator<V, T = V> implements AsyncIterableIterator<T, undefined> {
  /** @internal Pushed, and not read yet. */
  protected readonly queue: RingBuffer<V> = new RingBuffer<V>();
  readonly #readers = new RingBuffer<Reader<T>>();
  #ended = false;
  #error: unknown = undefined;

  /** @internal Later values do not come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** @internal */
  push(value: V): void {
    this.queue.push(value);
    this.#serve();
  }

  /** @internal Values before it can still be read. @param error of the read after them */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#serve();
    this.onEnd();
  }

  /** The next value, once it is there; `done` at the end. */
  next(): Promise<IteratorResult<T, undefined>> {
    const reader = { resolve: ignore, reject: ignore } as unknown as Reader<T>;
    reader.result = new Promise((resolve, reject) => {
      reader.resolve = resolve;
      reader.reject = reject;
    });
    this.#readers.push(reader);
    this.#serve();
    return reader.result;
  }

  /** Leaves the iteration: queued values are dropped. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.queue.clear();
    this.#error = undefined;
    if (!this.#ended) {
      this.end();
      this.onLeft();
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** @internal Decodes a value that is read now. Its error ends the iteration, since a loop does not. */
  protected abstract read(value: V): T;

  /** @internal */
  protected onEnd(): void {}

  /** @internal The reader left before the end. */
  protected onLeft(): void {}

  #serve(): void {
    while (this.#readers.length > 0) {
      const value = this.queue.shift();
      if (value === undefined && !this.#ended) return;
      const { resolve, reject, result } = this.#readers.shift() as Reader<T>;
      if (value !== undefined) {
        try {
          resolve({ done: false, value: this.read(value) });
        } catch (error) {
          reject(error);
          void this.return();
        }
      } else if (this.#error === undefined) resolve({ done: true, value: undefined });
      else {
        // The caller of `close` expects it.
        if (this.#error instanceof ClosedError) result.catch(ignore);
        reject(this.#error);
        this.#error = undefined;
      }
    }
  }
}
