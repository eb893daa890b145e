/** A client's changes under a prefix, as an async iterable of a bounded length. */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { CloneChange } from "./client-events.js";

/** Reads the changes of a map; see `CloneClient.watch`. */
export class CloneWatch<V> implements AsyncIterableIterator<CloneChange<V>, undefined> {
  /** @internal */
  readonly prefix: Buffer;
  readonly #max: number;
  readonly #onEnd: (watch: CloneWatch<V>) => void;
  readonly #onLost: () => void;
  readonly #queue = new RingBuffer<CloneChange<V>>();
  readonly #readers = new RingBuffer<(result: IteratorResult<CloneChange<V>, undefined>) => void>();
  #ended = false;
  #lost = 0;

  /** @internal */
  constructor(prefix: Buffer, max: number, onEnd: (watch: CloneWatch<V>) => void, onLost: () => void) {
    this.prefix = prefix;
    this.#max = max;
    this.#onEnd = onEnd;
    this.#onLost = onLost;
  }

  /** Changes that were dropped, the oldest first, because they were not read in time. */
  get lost(): number {
    return this.#lost;
  }

  /** The next change; `done` when the watch or the client is closed. */
  next(): Promise<IteratorResult<CloneChange<V>, undefined>> {
    const value = this.#queue.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  /** Ends the watch. */
  return(): Promise<IteratorResult<CloneChange<V>, undefined>> {
    this.#queue.clear();
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** @internal Whether a key is watched. */
  matches(key: Buffer): boolean {
    const { prefix } = this;
    return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
  }

  /** @internal */
  push(change: CloneChange<V>): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader({ done: false, value: change });
      return;
    }
    if (this.#queue.length >= this.#max) {
      this.#queue.shift();
      this.#lost += 1;
      this.#onLost();
    }
    this.#queue.push(change);
  }

  /** @internal No change comes any more; those that wait can be read. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(this);
    for (let reader = this.#readers.shift(); reader !== undefined; reader = this.#readers.shift())
      reader({ done: true, value: undefined });
  }
}
