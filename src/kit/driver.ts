/**
 * Base of the patterns' drivers.
 *
 *   open ──drain──> draining ──close──> closed
 *     └─────────────close─────────────────^
 *
 * A subclass implements `onClose`, which runs once, and `onDrain` if it has work in flight. Its public methods start
 * with `assertOpen`.
 */

import { checkInteger, checkKeys } from "../core/arguments.js";
import { ClosedError, type ShoalError, TimeoutError } from "../core/errors.js";
import { type EventNames, EventStream, type TypedEvent } from "../core/event-stream.js";
import {
  checkWait,
  IdleWaits,
  MAX_TIMEOUT,
  Once,
  runCall,
  WAIT_OPTIONS,
  Waiter,
  type WaitOptions,
  waitFor,
} from "../core/waiter.js";
import type { Socket } from "../sockets/socket.js";
import { exposedText, isRefusal, stackOf } from "./errors.js";
import { CLOSE_LINGER } from "./options.js";

/** Options of `close`. */
export interface PatternCloseOptions {
  /** ms to finish work in flight and send queued messages; 0: no wait, -1: no limit. Default 1,000. */
  readonly linger?: number | undefined;
}

/** Options of `ready` and `drain`. */
export interface PatternWaitOptions extends WaitOptions {
  /** ms; default -1: no limit. */
  readonly timeout?: number | undefined;
}

export abstract class Driver<E extends TypedEvent, S> {
  readonly events: EventStream<E>;
  /** @internal Name of the class. */
  readonly driverName: string;
  /** Calls of `neverReached`. */
  #ends = 0;
  readonly #reaching = new Set<Waiter<void>>();
  #closed = false;
  readonly #draining = new Once<void>();
  readonly #closing = new Once<void>();
  readonly #ended = new IdleWaits();

  /**
   * @internal
   * @param name of the class, for errors
   * @param subject of warnings
   */
  protected constructor(name: string, events: EventNames<E>, subject = name) {
    this.driverName = name;
    const warn = unheardFailures(subject);
    // They follow from it.
    const unheard = (event: E): void => {
      if (!this.#closed) warn(event);
    };
    this.events = new EventStream<E>({ names: events, unheard });
  }

  get closed(): boolean {
    return this.#closed;
  }

  get draining(): boolean {
    return this.#draining.promise !== undefined;
  }

  abstract stats(): S;

  /**
   * Accepts nothing new and finishes work in flight; new calls reject with `EAGAIN`. Repeated calls join the first.
   * @param options `timeout` in ms, default -1: no limit; draining continues after a timeout or abort
   * @returns settles when nothing is in flight, or the driver closes
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF` after `close`
   */
  async drain(options: PatternWaitOptions = {}): Promise<void> {
    checkKeys(`${this.driverName}.drain`, options, WAIT_OPTIONS);
    checkWait(options);
    if (this.#closed) throw this.#closedError();
    await waitFor(
      this.#draining.call(() => Promise.race([this.onDrain(), this.#ended.wait(false)])),
      options,
      () => new TimeoutError("ETIMEDOUT", `${this.driverName} did not drain within ${options.timeout} ms`),
    );
  }

  /**
   * Closes the driver. Pending calls reject with `EAGAIN`, never as an unhandled rejection; later calls with `EBADF`.
   * @throws InvalidArgumentError `EINVAL` for an unknown option or an invalid linger; nothing is closed then
   */
  close(options: PatternCloseOptions = {}): Promise<void> {
    let linger: number;
    try {
      checkKeys(`${this.driverName}.close`, options, ["linger"]);
      const { linger: given = CLOSE_LINGER } = options;
      linger = checkInteger("linger", given, -1, MAX_TIMEOUT);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#closed = true;
    this.neverReached(new ClosedError("EAGAIN", `${this.driverName} closed while the call waited`));
    return this.#closing.call(() => this.#end(linger));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  protected get stopping(): boolean {
    return this.draining || this.#closed;
  }

  /**
   * @internal Called once.
   * @param linger ms, -1: no limit
   */
  protected abstract onClose(linger: number): Promise<void>;

  /** @internal Settles when nothing is in flight; called once. A drain also ends with the driver. */
  protected onDrain(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * @internal
   * @throws ClosedError `EBADF` when closed, `EAGAIN` while draining
   */
  protected assertOpen(): void {
    if (this.#closed) throw this.#closedError();
    if (this.draining) throw new ClosedError("EAGAIN", `${this.driverName} drains, and takes nothing new`);
  }

  /** @internal Runs a call such as `ready`, whose rejection at close needs no handler. */
  protected run<T>(steps: () => Promise<T>): Promise<T> {
    const ends = this.#ends;
    return runCall(() => this.#ends > ends, steps);
  }

  /**
   * @internal Settles when {@link reached} is called, or at once.
   * @param late makes the error of a timeout
   */
  protected whenReached(isReady: boolean, options: WaitOptions = {}, late?: () => ShoalError): Promise<void> {
    return this.run(async () => {
      if (this.#closed) throw this.#closedError();
      checkKeys(`${this.driverName}.ready`, options, WAIT_OPTIONS);
      checkWait(options);
      if (isReady) return;
      const { timeout = -1, signal } = options;
      const notReady = (): ShoalError =>
        new TimeoutError("ETIMEDOUT", `${this.driverName} was not ready within ${timeout} ms`);
      const waiter = new Waiter<void>(timeout, signal, late ?? notReady, () => this.#reaching.delete(waiter));
      this.#reaching.add(waiter);
      await waiter.promise;
    });
  }

  /** @internal The driver is ready, or never will be. */
  protected reached(error?: ShoalError): void {
    for (const waiter of this.#reaching) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
    this.#reaching.clear();
  }

  /** @internal What waits for `reached` ends, and causes no unhandled rejection. */
  protected neverReached(error: ShoalError): void {
    this.#ends += 1;
    this.reached(error);
  }

  /** @internal Settles when the socket has a peer. */
  protected whenConnected(socket: Socket, options: PatternWaitOptions): Promise<void> {
    return this.run(async () => {
      this.assertOpen();
      checkKeys(`${this.driverName}.ready`, options, WAIT_OPTIONS);
      const { timeout = -1, signal } = options;
      await socket.ready({ peers: 1, timeout, signal });
    });
  }

  async #end(linger: number): Promise<void> {
    try {
      await this.onClose(linger);
    } finally {
      this.events.close();
      this.#ended.end();
    }
  }

  #closedError(): ClosedError {
    return new ClosedError("EBADF", `${this.driverName} is closed`);
  }
}

const FAILURE_EVENTS: ReadonlySet<string> = new Set([
  "handler:failed",
  "subscription:failed",
  "worker:crashed",
]);
/** Clients can cause failures as fast as they send. */
const MAX_WARNINGS = 10;
const PERIOD = 1_000;

/** Warns the process of failures of a program's functions that nobody listens to. */
function unheardFailures(name: string): (event: TypedEvent) => void {
  let since = Number.NEGATIVE_INFINITY;
  let warned = 0;
  return (event) => {
    if (!FAILURE_EVENTS.has(event.type)) return;
    const { error: thrown } = event as TypedEvent & { readonly error?: unknown };
    // What is wrong with a refused reply is its cause, which the client does not get.
    const error = isRefusal(thrown) ? thrown.cause : thrown;
    // An exposed error is an answer to the client.
    if (exposedText(error) !== undefined) return;
    const now = performance.now();
    if (now - since >= PERIOD) {
      since = now;
      warned = 0;
    }
    if (warned >= MAX_WARNINGS) return;
    warned += 1;
    process.emitWarning(`${name}: no listener for "${event.type}"\n${stackOf(error)}`, {
      type: "ShoalWarning",
      code: "SHOAL_HANDLER_FAILED",
    });
  };
}
