/**
 * A pattern's events, as listeners and as an async iterable, in the manner of a
 * socket's observer. With listeners only nothing is kept; from the first `receive`
 * or `for await` on, at most `MAX_QUEUED` wait for the reader, oldest dropped first
 * and counted.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { ClosedError, TimeoutError } from "../../core/errors.js";
import { refusedWait, Waiter, type WaitOptions } from "../../core/waiter.js";

/** Events kept for a reader that is slower than they come. */
const MAX_QUEUED = 1_000;

/** What every event has. */
export interface PatternEvent {
  readonly type: string;
}

type Of<E extends PatternEvent, T extends E["type"]> = Extract<E, { readonly type: T }>;
type Listener = (event: never) => void;

/** Hears what happens in a driver. Listeners and reading can be used together. */
export class PatternEvents<E extends PatternEvent> {
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #queue = new RingBuffer<E>();
  readonly #waiters = new RingBuffer<Waiter<E>>();
  #reads = false;
  #closed = false;
  #lost = 0;

  /** Whether the driver is closed: no event comes any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Events that were dropped because nobody read them in time. */
  get lost(): number {
    return this.#lost;
  }

  /** Calls `listener` for each event of a type. What it throws is raised as an uncaught exception. */
  on<T extends E["type"]>(type: T, listener: (event: Of<E, T>) => void): this {
    if (this.#closed) return this;
    const listeners = this.#listeners.get(type);
    if (listeners === undefined) this.#listeners.set(type, new Set([listener]));
    else listeners.add(listener);
    return this;
  }

  /** Removes a listener added by `on`. */
  off<T extends E["type"]>(type: T, listener: (event: Of<E, T>) => void): this {
    const listeners = this.#listeners.get(type);
    listeners?.delete(listener);
    if (listeners?.size === 0) this.#listeners.delete(type);
    return this;
  }

  /**
   * The next event.
   *
   * @throws ClosedError `EBADF` when the driver is closed and everything was read;
   *   TimeoutError `EAGAIN`; AbortedError `ABORT_ERR`
   */
  receive(options?: WaitOptions): Promise<E> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    this.#reads = true;
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve(event);
    if (this.#closed) return Promise.reject(new ClosedError("EBADF", "No event comes any more"));
    const waiter = new Waiter<E>(
      options?.timeout ?? -1,
      options?.signal,
      () => new TimeoutError("EAGAIN", "No event came in time"),
      () => this.#waiters.retain((other) => !other.settled),
    );
    this.#waiters.push(waiter);
    return waiter.promise;
  }

  /** Events until the driver is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<E, undefined> {
    this.#reads = true;
    for (;;) {
      try {
        yield await this.receive();
      } catch (error) {
        if (this.#closed) return undefined;
        throw error;
      }
    }
  }

  /** @internal */
  emit(event: E): void {
    if (this.#closed) return;
    const listeners = this.#listeners.get(event.type);
    if (listeners !== undefined) {
      for (const listener of [...listeners]) call(listener as (event: E) => void, event);
    }
    if (!this.#reads) return;
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      if (waiter.settled) continue;
      waiter.resolve(event);
      return;
    }
    if (this.#queue.length >= MAX_QUEUED) {
      this.#queue.shift();
      this.#lost += 1;
    }
    this.#queue.push(event);
  }

  /** @internal Nothing is heard any more; what is queued can still be read. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listeners.clear();
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      waiter.abandon(new ClosedError("EBADF", "No event comes any more"));
    }
  }
}

function call<E>(listener: (event: E) => void, event: E): void {
  try {
    listener(event);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
