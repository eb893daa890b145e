/**
 * Distributes a socket's events (the table: engine/events.ts) to observers, handlers and waiting calls. Observers with
 * listeners and waiting calls keep the process alive.
 */
import { ClosedError, type ShoalError, TimeoutError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import { ignore, refusedWait, Waiter, type WaitOptions } from "../core/waiter.js";
import type { EventType, SocketEvent } from "../engine/events.js";
import { forgetStall } from "./stalls.js";

const FAILURES: readonly EventType[] = [
  "connect:retry",
  "handshake:error:auth",
  "handshake:error:other",
  "handshake:error:protocol",
];

type Handler = (event: SocketEvent) => void;
type OnFailure = (endpoint: string, error: ShoalError | undefined, isFirst: boolean) => void;

const MAX_FAILURES = 16;

interface Wanted {
  readonly count: number;
  readonly noun: string;
  readonly verb: string;
}

interface Waiting {
  readonly waiter: Waiter<void>;
  readonly stop: () => void;
  readonly what: Wanted;
}

function countText({ count, noun }: Wanted): string {
  return count === 1 ? `a ${noun}` : `${count} ${noun}s`;
}

function missingText({ count, noun, verb }: Wanted): string {
  return `${count === 1 ? `no ${noun}` : `fewer than ${count} ${noun}s`} ${verb}`;
}

export class SocketEvents {
  readonly #onHold: (held: boolean) => void;
  // Replaced on change, so events go to those present when they happened.
  #handlers: readonly Handler[] = [];
  #observers: readonly EventStream<SocketEvent>[] = [];
  #waiting: readonly Waiting[] = [];
  /** The latest error by endpoint, the latest last; `undefined` until an attempt has failed. */
  #failures: Map<string, ShoalError | undefined> | undefined = undefined;
  #holds = 0;
  #lost = 0;
  closed = false;
  readonly #onFailure: OnFailure;

  /**
   * @param onHold called when events begin or cease to keep the process alive
   * @param onFailure called for each failure, and for each dial (no error); `isFirst`: since the socket reached it last
   */
  constructor(onHold: (held: boolean) => void, onFailure: OnFailure = ignore) {
    this.#onHold = onHold;
    this.#onFailure = onFailure;
  }

  /** The latest failure of an endpoint not reached yet. */
  get lastFailure(): ShoalError | undefined {
    return [...(this.#failures?.values() ?? [])].filter((error) => error !== undefined).at(-1);
  }

  /** Dialled endpoints without an answer yet. */
  get silent(): string[] {
    const failures = [...(this.#failures ?? [])];
    return failures.filter(([, error]) => error === undefined).map(([address]) => address);
  }

  /** What a call waits for, in words: "a peer". */
  get awaited(): string | undefined {
    const what = this.#waiting[0]?.what;
    return what && countText(what);
  }

  get hearsFailures(): boolean {
    return this.#observers.some((observer) => FAILURES.some((type) => observer.hears(type)));
  }

  /** Events not read in time. */
  get lost(): number {
    let lost = this.#lost;
    for (const observer of this.#observers) lost += observer.lost;
    return lost;
  }

  observe(observer: EventStream<SocketEvent>): void {
    this.#observers = [...this.#observers, observer];
  }

  unobserve(observer: EventStream<SocketEvent>): void {
    this.#observers = this.#observers.filter((each) => each !== observer);
    this.#lost += observer.lost;
  }

  listen(handler: Handler): void {
    this.#handlers = [...this.#handlers, handler];
  }

  emit(event: SocketEvent): void {
    if (event.type === "handshake" || event.type === "peer:join") {
      this.#failures?.delete(event.address);
      // Also one of more than `MAX_FAILURES`, whose next loss must not count from the first dial.
      forgetStall(event.address);
    } else if (FAILURES.includes(event.type) && "error" in event && event.error !== undefined)
      this.#failed(event.address ?? "", event.error);
    else if (event.type === "connect:delay") this.#failed(event.address, undefined);
    const handlers = this.#handlers;
    const observers = this.#observers;
    for (let i = 0; i < handlers.length; i++) handlers[i]?.(event);
    for (let i = 0; i < observers.length; i++) observers[i]?.emit(event);
  }

  /**
   * Waits until `done`, called now and after each event, returns true or throws.
   *
   * @param what words for errors
   */
  waitFor(
    done: (event: SocketEvent | undefined) => boolean,
    what: Wanted,
    options: WaitOptions | undefined,
  ): Promise<void> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (done(undefined)) return Promise.resolve();
    const stop = (): void => {
      this.#handlers = this.#handlers.filter((each) => each !== handler);
      this.#waiting = this.#waiting.filter((each) => each.waiter !== waiter);
      this.hold(-1);
    };
    const waiter = new Waiter<void>(
      options?.timeout ?? -1,
      options?.signal,
      () => {
        const last = this.lastFailure;
        const silent = this.silent.join(", ");
        const why = last !== undefined ? `; last: ${last.message}` : silent && `; no answer from ${silent}`;
        const message = `${missingText(what)} within ${options?.timeout} ms${why}`;
        return new TimeoutError("ETIMEDOUT", message, { cause: last });
      },
      stop,
    );
    const handler: Handler = (event) => {
      try {
        if (!done(event)) return;
        stop();
        waiter.resolve();
      } catch (error) {
        stop();
        waiter.reject(error as TimeoutError);
      }
    };
    this.#handlers = [...this.#handlers, handler];
    this.#waiting = [...this.#waiting, { waiter, stop, what }];
    this.hold(1);
    return waiter.promise;
  }

  abandon(): void {
    for (const { waiter, stop, what } of this.#waiting) {
      stop();
      waiter.abandon(new ClosedError("EAGAIN", `The socket closed before ${countText(what)} ${what.verb}`));
    }
  }

  end(): void {
    this.emit({ type: "end" });
    this.closed = true;
    this.#handlers = [];
    for (const observer of this.#observers) observer.close();
  }

  forget(endpoint: string): void {
    this.#failures?.delete(endpoint);
  }

  #failed(address: string, error: ShoalError | undefined): void {
    this.#failures ??= new Map();
    const failures = this.#failures;
    // A new dial keeps the reason of the last one.
    const last = error ?? failures.get(address);
    const isFirst = !failures.delete(address);
    const [oldest] = failures.keys();
    if (failures.size >= MAX_FAILURES) failures.delete(oldest as string);
    failures.set(address, last);
    this.#onFailure(address, error, isFirst);
  }

  /** Counts the reasons to keep the process alive. */
  hold(change: 1 | -1): void {
    const before = this.#holds > 0;
    this.#holds += change;
    const after = this.#holds > 0;
    if (before !== after) this.#onHold(after);
  }
}
