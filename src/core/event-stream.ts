/**
 * Events, as listeners and as an async iterable: of a socket (sockets/observer.ts), of a pattern's driver, of a proxy.
 *
 * Listeners and reading can be used together. With listeners only, nothing is kept. For a reader at most `MAX_QUEUED`
 * events are kept, oldest dropped first and counted in `lost`: from the first `receive` or `for await` on, or, where
 * `keepsUnread` is set, from the start.
 */
import { describe } from "./arguments.js";
import { RingBuffer } from "./collections/ring-buffer.js";
import { ClosedError, InvalidArgumentError, TimeoutError } from "./errors.js";
import { suggest } from "./suggestions.js";
import { refusedWait, Waiter, type WaitOptions } from "./waiter.js";

/** Events kept for a reader that is slower than they come. */
const MAX_QUEUED = 1_000;

/** Reads given up that may stay in the queue before it is cleared of them. */
const SLACK = 16;

/** What every event has. */
export interface TypedEvent {
  readonly type: string;
}

/** The events of some types. */
export type EventOf<E extends TypedEvent, T extends E["type"]> = Extract<E, { readonly type: T }>;

/**
 * Every name of a union of events. A record, so that the compiler finds one that is missing, and one that shares a member of the
 * union with another: `EventOf` would find no event of it, and its listeners would get `never`.
 */
export type EventNames<E extends TypedEvent> = {
  readonly [T in E["type"]]: [EventOf<E, T>] extends [never] ? never : true;
};

/** How a stream keeps its events. */
export interface EventStreamOptions<E extends TypedEvent> {
  /** The names there are; another name throws. Default: any name. */
  readonly names?: EventNames<E>;
  /** Whether events are kept before the first read, as long as there are no listeners. Default `false`. */
  readonly keepsUnread?: boolean;
  /** Called with each event that has neither a listener nor a reader. It must not throw. */
  readonly unheard?: (event: E) => void;
}

type Listener = (event: never) => void;

/**
 * A stream of events: `on`, `once` and `off` for listeners, `receive` and `for await` for a reader.
 *
 * @example
 * ```ts
 * import { Pull } from "shoal";
 *
 * const pull = new Pull();
 * pull.events.on("bind", ({ type }) => console.log(type)); // bind
 * await pull.bind("tcp://127.0.0.1:*");
 * await pull.close();
 * ```
 */
export class EventStream<E extends TypedEvent> {
  readonly #names: Readonly<Record<string, true>> | undefined;
  readonly #keepsUnread: boolean;
  readonly #unheard: ((event: E) => void) | undefined;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #queue = new RingBuffer<E>();
  readonly #waiters = new RingBuffer<Waiter<E>>();
  /** What `once` added, and the listener that it stands for. */
  readonly #once = new WeakMap<Listener, Listener>();
  #interest = 0;
  #waiting = 0;
  #reads = false;
  #closed = false;
  #lost = 0;

  /** @internal */
  constructor(options: EventStreamOptions<E> = {}) {
    this.#names = options.names;
    this.#keepsUnread = options.keepsUnread ?? false;
    this.#unheard = options.unheard;
  }

  /** Whether no event comes any more: the stream or its source was closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Events that were dropped because nobody read them in time. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Calls `listener` for each event of a type. What it throws is raised as an uncaught exception, and disturbs nothing
   * else. On a closed stream it does nothing.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown event name or a listener that is not a function
   */
  on<T extends E["type"]>(type: T, listener: (event: EventOf<E, T>) => void): this {
    this.#check(type, listener);
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

  /**
   * The same for one event only.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown event name or a listener that is not a function
   */
  once<T extends E["type"]>(type: T, listener: (event: EventOf<E, T>) => void): this {
    this.#check(type, listener);
    const wrapped = (event: EventOf<E, T>): void => {
      this.off(type, wrapped);
      listener(event);
    };
    this.#once.set(wrapped, listener);
    return this.on(type, wrapped);
  }

  /**
   * Removes a listener that `on` or `once` added.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown event name or a listener that is not a function
   */
  off<T extends E["type"]>(type: T, listener: (event: EventOf<E, T>) => void): this {
    this.#check(type, listener);
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
   * @throws ClosedError `EBADF` when the stream is closed and everything was read; TimeoutError `EAGAIN`;
   *   AbortedError `ABORT_ERR`
   */
  receive(options?: WaitOptions): Promise<E> {
    const refused = refusedWait(options, "receive");
    if (refused !== undefined) return refused;
    this.#reads = true;
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve(event);
    if (this.#closed) return Promise.reject(ended());
    const waiter = new Waiter<E>(
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

  /** Events until the stream closes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<E, undefined> {
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
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      if (waiter.settled) continue;
      this.#waiting -= 1;
      this.#interested(-1);
      waiter.resolve(event);
      return;
    }
    if (listeners === undefined && !this.#reads) this.#unheard?.(event);
    if (!this.#reads && (!this.#keepsUnread || this.#listeners.size > 0)) return;
    if (this.#queue.length >= MAX_QUEUED) {
      this.#queue.shift();
      this.#lost += 1;
    }
    this.#queue.push(event);
  }

  /** @internal No event comes any more; what is queued can still be read. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listeners.clear();
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      waiter.abandon(ended());
    }
    this.#waiting = 0;
    if (this.#interest > 0) this.onInterest(false);
    this.#interest = 0;
  }

  /** @internal Whether an event of this name comes to a listener, or to a reader. */
  hears(type: E["type"]): boolean {
    return this.#reads || this.#listeners.has(type);
  }

  /** @internal Whether there are listeners or readers, each time that this changes. */
  protected onInterest(_interested: boolean): void {}

  #check(type: string, listener: unknown): void {
    if (this.#names !== undefined && !(typeof type === "string" && Object.hasOwn(this.#names, type))) {
      const near = suggest(type, Object.keys(this.#names));
      throw new InvalidArgumentError(`There is no event ${describe(type)}${near}`);
    }
    if (typeof listener !== "function")
      throw new InvalidArgumentError(`A listener is a function; got ${describe(listener)}`);
  }

  #interested(change: 1 | -1): void {
    const before = this.#interest > 0;
    this.#interest += change;
    const after = this.#interest > 0;
    if (before !== after) this.onInterest(after);
  }
}

function ended(): ClosedError {
  return new ClosedError("EBADF", "No event comes any more");
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
