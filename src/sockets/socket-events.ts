/**
 * Who gets a socket's events: observers of the program, the socket's own
 * handlers, and calls that wait for something to happen. While any of them is
 * interested, the engine keeps the process alive.
 */
import { ClosedError, type ShoalError, TimeoutError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import { refusedWait, Waiter, type WaitOptions } from "../core/waiter.js";
import type { EventType, SocketEvent } from "../engine/events.js";
import { forgetStall, REPORT_AFTER } from "./stalls.js";

const FAILURES: readonly EventType[] = [
  "connect:retry",
  "handshake:error:auth",
  "handshake:error:other",
  "handshake:error:protocol",
];

type Handler = (event: SocketEvent) => void;

/** Endpoints whose last failure is kept, for the errors of waits. */
const MAX_FAILURES = 16;

/** Of an endpoint that has not been reached since. */
interface Failure {
  /** The latest. */
  readonly error: ShoalError;
  /** When the first one was, in ms of a monotonic clock. */
  readonly since: number;
}

/** What a call waits for, in the words of its errors: "3 peers became ready". */
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

function wantedText({ count, noun, verb }: Wanted): string {
  return `${count === 1 ? `a ${noun}` : `${count} ${noun}s`} ${verb}`;
}

function missingText({ count, noun, verb }: Wanted): string {
  return `${count === 1 ? `no ${noun}` : `fewer than ${count} ${noun}s`} ${verb}`;
}

export class SocketEvents {
  readonly #onHold: (held: boolean) => void;
  // Lists that are replaced when they change: an event goes to those who were there when it happened.
  #handlers: readonly Handler[] = [];
  #observers: readonly EventStream<SocketEvent>[] = [];
  /** Calls that wait for an event, and the error of each when the socket closes. */
  #waiting: readonly Waiting[] = [];
  /** Why the last attempt at each endpoint failed, if none has succeeded since; the latest last. */
  #failures: Map<string, Failure> | undefined = undefined;
  #holds = 0;
  #lost = 0;
  #closed = false;

  readonly #onStall: (endpoint: string, error: ShoalError) => void;

  /**
   * @param onHold whether the events keep the process alive; called when that changes
   * @param onStall an endpoint has failed for longer than `REPORT_AFTER`, and no observer hears of it; called at each attempt
   */
  constructor(
    onHold: (held: boolean) => void,
    onStall: (endpoint: string, error: ShoalError) => void = () => undefined,
  ) {
    this.#onHold = onHold;
    this.#onStall = onStall;
  }

  /** Why the latest attempt to connect failed; `undefined` when none has failed, or its endpoint has been reached since. */
  get lastFailure(): ShoalError | undefined {
    return [...(this.#failures?.values() ?? [])].at(-1)?.error;
  }

  /** Whether an observer of the program hears of connections that fail. */
  get hearsFailures(): boolean {
    return this.#observers.some((observer) => FAILURES.some((type) => observer.hears(type)));
  }

  /** Whether waiting has no use any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Events that no observer read in time. */
  get lost(): number {
    let lost = this.#lost;
    for (const observer of this.#observers) lost += observer.lost;
    return lost;
  }

  /** An observer hears all events from now on. */
  observe(observer: EventStream<SocketEvent>): void {
    this.#observers = [...this.#observers, observer];
  }

  /** It is closed. */
  unobserve(observer: EventStream<SocketEvent>): void {
    this.#observers = this.#observers.filter((each) => each !== observer);
    this.#lost += observer.lost;
  }

  /** Hears all events from now on, for the socket's own use. */
  listen(handler: Handler): void {
    this.#handlers = [...this.#handlers, handler];
  }

  emit(event: SocketEvent): void {
    if (event.type === "handshake") {
      if (this.#failures?.delete(event.address) === true) forgetStall(event.address);
    } else if (FAILURES.includes(event.type) && "error" in event && event.error !== undefined)
      this.#failed(event.address ?? "", event.error);
    const handlers = this.#handlers;
    const observers = this.#observers;
    for (let i = 0; i < handlers.length; i++) handlers[i]?.(event);
    for (let i = 0; i < observers.length; i++) observers[i]?.emit(event);
  }

  /**
   * Waits until `done` returns true; it is called now and after every event. What it throws ends the wait.
   *
   * @param what for the errors
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
        const errors = [...(this.#failures?.values() ?? [])].map(({ error }) => error);
        const last = errors.at(-1);
        const why = last === undefined ? "" : `; last: ${last.message}`;
        const message = `${missingText(what)} within ${options?.timeout} ms${why}`;
        const cause = errors.length > 1 ? new AggregateError(errors, "Several endpoints failed") : last;
        return new TimeoutError("ETIMEDOUT", message, { cause });
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

  /** The socket begins to close: nothing is worth waiting for. */
  abandon(): void {
    for (const { waiter, stop, what } of this.#waiting) {
      stop();
      waiter.abandon(new ClosedError("EAGAIN", `The socket closed before ${wantedText(what)}`));
    }
  }

  /** The socket is closed: the last event, and the end of all observing. */
  end(): void {
    this.emit({ type: "end" });
    this.#closed = true;
    this.#handlers = [];
    for (const observer of this.#observers) observer.close();
  }

  /** The socket is not connected to an endpoint any more. */
  forget(endpoint: string): void {
    this.#failures?.delete(endpoint);
  }

  #failed(address: string, error: ShoalError): void {
    this.#failures ??= new Map();
    const failures = this.#failures;
    const now = performance.now();
    const { since = now } = failures.get(address) ?? {};
    failures.delete(address);
    for (const oldest of failures.keys()) {
      if (failures.size < MAX_FAILURES) break;
      failures.delete(oldest);
    }
    failures.set(address, { error, since });
    if (now - since >= REPORT_AFTER && !this.hearsFailures) this.#onStall(address, error);
  }

  /** One more, or one less, keeps the process alive. */
  hold(change: 1 | -1): void {
    const before = this.#holds > 0;
    this.#holds += change;
    const after = this.#holds > 0;
    if (before !== after) this.#onHold(after);
  }
}
