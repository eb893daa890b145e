/**
 * A socket's events, as listeners and as an async iterable.
 *
 * Events are kept for `receive` and `for await` from the moment `socket.events`
 * is first looked at, at most `MAX_QUEUED` of them, oldest dropped first and
 * counted; with listeners only, nothing is kept.
 */

import { RingBuffer } from "../core/collections/ring-buffer.js";
import { ClosedError, InvalidArgumentError, TimeoutError } from "../core/errors.js";
import { refusedWait, Waiter, type WaitOptions } from "../core/waiter.js";
import type { EventOfType, EventType, SocketEvent } from "../engine/events.js";
import type { Socket } from "./socket.js";

/** Events kept for a reader that is slower than they come. */
const MAX_QUEUED = 1_000;

/** Reads given up that may stay in the queue before it is cleared of them. */
const SLACK = 16;

type Listener = (event: never) => void;

/** The way from an observer to what it observes. */
export const OBSERVE: unique symbol = Symbol("shoal.observe");

/** What an observer tells the observed. */
export interface Observation {
  /** Whether anybody listens or waits; told when that changes. */
  interested(interested: boolean): void;
  /** The observer hears nothing any more. */
  closed(): void;
}

/** What can be observed. */
export interface Observable {
  readonly closed: boolean;
  [OBSERVE](observer: Observer): Observation;
}

/** What takes listeners for a socket's events. */
export interface EventSubscriber {
  on<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): EventSubscriber;
  off<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): EventSubscriber;
}

/** Hears a socket's events. Listeners and reading can be used together. */
export class Observer implements EventSubscriber {
  readonly #listeners = new Map<EventType, Set<Listener>>();
  readonly #queue = new RingBuffer<SocketEvent>();
  readonly #waiters = new RingBuffer<Waiter<SocketEvent>>();
  readonly #observation: Observation;
  /** What `once` added, and the listener that it stands for. */
  readonly #once = new WeakMap<Listener, Listener>();
  #interest = 0;
  #waiting = 0;
  #reads = false;
  #closed = false;
  #lost = 0;

  /** One more observer of a socket; `socket.events` is the first, and mostly enough. */
  constructor(socket: Socket);
  /** @internal */
  constructor(source: Observable);
  constructor(source: Partial<Observable>) {
    if (typeof source?.[OBSERVE] !== "function") {
      throw new InvalidArgumentError(`An observer observes a socket; got ${typeof source}`);
    }
    this.#observation = source[OBSERVE](this);
    if (source.closed === true) this.close();
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
    if (this.#closed) return this;
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
    this.#once.set(wrapped, listener);
    return this.on(type, wrapped);
  }

  /** Removes a listener, added by `on` or `once`. */
  off<E extends EventType>(type: E, listener: (event: EventOfType<E>) => void): this {
    const listeners = this.#listeners.get(type);
    if (listeners === undefined) return this;
    const added = listeners.has(listener)
      ? listener
      : [...listeners].find((candidate) => this.#once.get(candidate) === listener);
    if (added !== undefined) {
      listeners.delete(added);
      if (listeners.size === 0) this.#listeners.delete(type);
      this.#interested(-1);
    }
    return this;
  }

  /**
   * The next event.
   *
   * @throws ClosedError `EBADF` when the observer is closed and everything was read;
   *   TimeoutError `EAGAIN`; AbortedError `ABORT_ERR`
   */
  receive(options?: WaitOptions): Promise<SocketEvent> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    this.#reads = true;
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve(event);
    if (this.#closed) return Promise.reject(new ClosedError("EBADF", "The observer is closed"));
    const waiter = new Waiter<SocketEvent>(
      options?.timeout ?? -1,
      options?.signal,
      () => new TimeoutError("EAGAIN", "No event came in time"),
      () => {
        this.#waiting -= 1;
        if (this.#waiters.length > 2 * this.#waiting + SLACK) this.#waiters.retain((other) => !other.settled);
        this.#interested(-1);
      },
    );
    this.#waiters.push(waiter);
    this.#waiting += 1;
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
      waiter.abandon(new ClosedError("EBADF", "The observer closed"));
    }
    this.#waiting = 0;
    if (this.#interest > 0) this.#observation.interested(false);
    this.#interest = 0;
    this.#observation.closed();
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
      this.#waiting -= 1;
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
    if (before !== after) this.#observation.interested(after);
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
