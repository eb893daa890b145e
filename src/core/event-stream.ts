/**
 * Events for listeners and async iteration. A reader's queue holds at most `MAX_QUEUED` events; the oldest
 * are dropped and counted in `lost`. Queueing starts with the first read, or at once with `keepsUnread` while
 * there are no listeners.
 */
import { describe, invalidArgument, suggest } from "./arguments.js";
import { Link, LinkedList, RingBuffer } from "./collections/queues.js";
import { ClosedError, InvalidArgumentError, TimeoutError } from "./errors.js";
import { refusedWait, Waiter, type WaitOptions } from "./waiter.js";

const MAX_QUEUED = 1_000;

export interface TypedEvent {
  readonly type: string;
}

export type EventOf<E extends TypedEvent, T extends E["type"]> = Extract<E, { readonly type: T }>;

/** The names of a table of events. */
export type EventNames<E extends TypedEvent> = Readonly<Record<E["type"], true>>;

declare const FIELDS: unique symbol;

/** A row of a table of events. @typeParam F the event's fields besides its type */
export type EventRow<F> = true & { readonly [FIELDS]?: F };

type Fields<Row> = Row extends EventRow<infer F> ? F : never;
type Flat<T> = T extends unknown ? { readonly [K in keyof T]: T[K] } : never;

/** The events of a table, whose keys are their types. */
export type EventsOf<Table> = {
  [T in keyof Table & string]: Flat<{ readonly type: T } & Fields<Table[T]>>;
}[keyof Table & string];

export function event<F = unknown>(): EventRow<F> {
  return true as EventRow<F>;
}

export interface EventStreamOptions<E extends TypedEvent> {
  /** Other names throw. Default: any name. */
  readonly names?: EventNames<E>;
  /** Keeps events before the first read while there are no listeners. */
  readonly keepsUnread?: boolean;
  /** Gets events without a listener or reader. It must not throw. */
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
  /** By type and given listener: what is called. */
  readonly #listeners = new Map<string, Map<Listener, Listener>>();
  readonly #queue = new RingBuffer<E>();
  readonly #waiters = new LinkedList<Waiter<E>>();
  #interest = 0;
  #reads = false;
  #closed = false;
  #lost = 0;

  /** @internal */
  constructor(options: EventStreamOptions<E> = {}) {
    this.#names = options.names;
    this.#keepsUnread = options.keepsUnread ?? false;
    this.#unheard = options.unheard;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Events dropped because the reader was too slow. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Calls `listener` for each event of a type, once each, however often it was given. Its errors become uncaught exceptions. Does nothing on a
   * closed stream.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown event name or a listener that is not a function
   */
  on<T extends E["type"]>(type: T, listener: (event: EventOf<E, T>) => void): this {
    this.#check(type, listener);
    this.#add(type, listener, listener);
    return this;
  }

  /**
   * Calls `listener` for the next event of a type only.
   *
   * @throws InvalidArgumentError `EINVAL` as `on`
   */
  once<T extends E["type"]>(type: T, listener: (event: EventOf<E, T>) => void): this {
    this.#check(type, listener);
    this.#add(type, listener, (event: EventOf<E, T>) => {
      this.off(type, listener);
      listener(event);
    });
    return this;
  }

  #add(type: string, given: Listener, called: Listener): void {
    if (this.#closed) return;
    const listeners = this.#listeners.get(type) ?? new Map<Listener, Listener>();
    this.#listeners.set(type, listeners);
    const isNew = !listeners.has(given);
    // `on` also lasts after `once`, and `once` takes nothing from `on`.
    if (isNew || called === given) listeners.set(given, called);
    if (isNew) this.#interested(1);
  }

  /**
   * Removes a listener that `on` or `once` added.
   *
   * @throws InvalidArgumentError `EINVAL` as `on`
   */
  off<T extends E["type"]>(type: T, listener: (event: EventOf<E, T>) => void): this {
    this.#check(type, listener);
    const listeners = this.#listeners.get(type);
    if (listeners?.delete(listener) !== true) return this;
    if (listeners.size === 0) this.#listeners.delete(type);
    this.#interested(-1);
    return this;
  }

  /**
   * Waits for the next event.
   *
   * @throws ClosedError `EBADF` when the stream is closed and its queue is empty; TimeoutError `EAGAIN`;
   * AbortedError `ABORT_ERR`
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
        link.unlink();
        this.#interested(-1);
      },
    );
    const link = new Link(waiter);
    this.#waiters.push(link);
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
      for (const listener of [...listeners.values()]) call(listener as (event: E) => void, event);
    }
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
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

  /** @internal Stops further events; queued ones can still be read. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listeners.clear();
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      waiter.abandon(ended());
    }
    if (this.#interest > 0) this.onInterest(false);
    this.#interest = 0;
  }

  /** @internal Whether a listener or reader gets events of this name. */
  hears(type: E["type"]): boolean {
    return this.#reads || this.#listeners.has(type);
  }

  /** @internal Called when the first listener or reader arrives or the last one leaves. */
  protected onInterest(_interested: boolean): void {}

  #check(type: string, listener: unknown): void {
    if (this.#names !== undefined && !(typeof type === "string" && Object.hasOwn(this.#names, type))) {
      const near = suggest(type, Object.keys(this.#names));
      throw new InvalidArgumentError(`There is no event ${describe(type)}${near}`);
    }
    if (typeof listener !== "function") throw invalidArgument("A listener must be a function", listener);
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
