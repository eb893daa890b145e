/**
 * A socket's events, as listeners and as an async iterable.
 *
 * Events are kept for `receive` and `for await` from the moment `socket.events`
 * is first looked at, at most `MAX_QUEUED` of them, oldest dropped first and
 * counted; with listeners only, nothing is kept.
 */
import { ClosedError } from "../core/errors.js";
import { RingBuffer } from "../core/ring-buffer.js";
import type { EventOfType, EventType, SocketEvent } from "../engine/events.js";
import { abortedAlready, Waiter, type WaitOptions } from "./waiter.js";

/** Events kept for a reader that is slower than they come. */
const MAX_QUEUED = 1_000;

type Listener = (event: never) => void;

/** Hears a socket's events. Listeners and reading can be used together. */
export class Observer {
  readonly #listeners = new Map<EventType, Set<Listener>>();
  readonly #queue = new RingBuffer<SocketEvent>();
  readonly #waiters = new RingBuffer<Waiter<SocketEvent>>();
  readonly #onInterest: (interested: boolean) => void;
  #interest = 0;
  #reads = false;
  #closed = false;
  #lost = 0;

  /** @internal Use `socket.events`. */
  constructor(onInterest: (interested: boolean) => void) {
    this.#onInterest = onInterest;
  }

  /** Whether the observer or its socket was closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Events that were dropped because nobody read them in time. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Calls `listener` for each event of a type. A listener keeps the process alive.
   * What a listener throws is raised as an uncaught exception, and disturbs nothing else.
   */
  on<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): this {
    let listeners = this.#listeners.get(type);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(type, listeners);
    }
    if (!listeners.has(listener)) {
      listeners.add(listener);
      this.#interested(1);
    }
    return this;
  }

  /** The same for one event only. */
  once<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): this {
    const wrapped = (event: EventOfType<E>): void => {
      this.off(type, wrapped);
      listener(event);
    };
    return this.on(type, wrapped);
  }

  /** Removes a listener. */
  off<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): this {
    if (this.#listeners.get(type)?.delete(listener) === true) this.#interested(-1);
    return this;
  }

  /**
   * The next event.
   *
   * @throws ClosedError `EBADF` when the observer is closed and everything was read
   */
  receive(options?: WaitOptions): Promise<SocketEvent> {
    this.#reads = true;
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve(event);
    if (this.#closed) return Promise.reject(new ClosedError("EBADF", "The observer is closed"));
    const aborted = abortedAlready(options?.signal);
    if (aborted !== undefined) return aborted;
    const waiter = new Waiter<SocketEvent>(
      options?.timeout ?? -1,
      options?.signal,
      () => new ClosedError("EAGAIN", "No event came in time"),
      () => this.#interested(-1),
    );
    this.#waiters.push(waiter);
    this.#interested(1);
    return waiter.promise;
  }

  /** Events until the socket closes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SocketEvent, undefined> {
    for (;;) {
      try {
        yield await this.receive();
      } catch (error) {
        if (this.#closed) return undefined;
        throw error;
      }
    }
  }

  /** Ends the observing; the socket goes on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listeners.clear();
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      waiter.reject(new ClosedError("EBADF", "The observer closed"));
    }
    this.#interest = 0;
    this.#onInterest(false);
  }

  /** @internal */
  emit(event: SocketEvent): void {
    if (this.#closed) return;
    const listeners = this.#listeners.get(event.type);
    if (listeners !== undefined) {
      for (const listener of [...listeners]) call(listener as (event: SocketEvent) => void, event);
    }
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      if (waiter.settled) continue;
      this.#interested(-1);
      waiter.resolve(event);
      return;
    }
    if (this.#listeners.size > 0 && !this.#reads) return;
    if (this.#queue.length >= MAX_QUEUED) {
      this.#queue.shift();
      this.#lost += 1;
    }
    this.#queue.push(event);
  }

  #interested(change: 1 | -1): void {
    const before = this.#interest > 0;
    this.#interest += change;
    const after = this.#interest > 0;
    if (before !== after) this.#onInterest(after);
  }
}

function call(listener: (event: SocketEvent) => void, event: SocketEvent): void {
  try {
    listener(event);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
