/**
 * Waiting: for a call's result, its timeout or its signal ({@link Waiter}), in turn ({@link Mutex}), until nothing is in
 * flight ({@link IdleWaits}), or for a call that runs only once ({@link Once}).
 */
import { checkCallOptions, invalidArgument } from "./arguments.js";
import { Link, LinkedList } from "./collections/queues.js";
import { AbortedError, type ErrorCode, InvalidArgumentError, ShoalError, TimeoutError } from "./errors.js";

/** A callback that does nothing. */
export function ignore(): void {}

/** ms; a longer timer would fire at once. */
export const MAX_TIMEOUT = 2_147_483_647;

export interface WaitOptions {
  /** Ends the wait with an `AbortError` (code `ABORT_ERR`). */
  readonly signal?: AbortSignal | undefined;
  /** ms until the wait ends with an error, at most 2,147,483,647; -1 waits without limit. Default: the socket's option. */
  readonly timeout?: number | undefined;
}

export const WAIT_OPTIONS: readonly string[] = ["signal", "timeout"];

/** A waiting call, settled by its result, timeout, signal or the socket's close. */
export class Waiter<T> {
  readonly promise: Promise<T>;
  settled = false;
  #resolve!: (value: T) => void;
  #reject!: (error: ShoalError) => void;
  #timer: NodeJS.Timeout | undefined = undefined;
  #signal: AbortSignal | undefined = undefined;
  #signalOnAbort: (() => void) | undefined = undefined;
  #onGivenUp: (why: "timeout" | "aborted") => void;

  /** @param timeout ms; negative for none */
  constructor(
    timeout: number,
    signal: AbortSignal | undefined,
    timedOut: () => ShoalError,
    onGivenUp: (why: "timeout" | "aborted") => void,
  ) {
    this.#onGivenUp = onGivenUp;
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (timeout >= 0) {
      // Input may have arrived while the program computed. A timer of 0 ms would take 1 ms.
      const expire = (): void => void setImmediate(() => this.#giveUp("timeout", timedOut()));
      if (timeout === 0) setImmediate(expire);
      else this.#timer = setTimeout(expire, timeout);
    }
    if (signal !== undefined) {
      this.#signal = signal;
      this.#signalOnAbort = () => this.#giveUp("aborted", new AbortedError(signal.reason));
      // It may have aborted since the caller checked it: within an event, or a turn later.
      if (signal.aborted) queueMicrotask(this.#signalOnAbort);
      else addAborted(signal, this.#signalOnAbort);
    }
  }

  resolve(value: T): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(error: ShoalError): void {
    if (this.#settle()) this.#reject(error);
  }

  /** An ignored promise causes no unhandled rejection. */
  abandon(error: ShoalError): void {
    if (!this.#settle()) return;
    this.promise.catch(ignore);
    this.#reject(error);
  }

  /** The caller gives up. An ignored promise causes no unhandled rejection. */
  withdraw(error: ShoalError): void {
    this.promise.catch(ignore);
    this.#giveUp("aborted", error);
  }

  #giveUp(why: "timeout" | "aborted", error: ShoalError): void {
    if (!this.#settle()) return;
    this.#onGivenUp(why);
    this.#reject(error);
  }

  /** Once, before the promise settles. */
  protected onSettled(): void {}

  #settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    if (this.#signal !== undefined && this.#signalOnAbort !== undefined) {
      removeAborted(this.#signal, this.#signalOnAbort);
    }
    this.onSettled();
    return true;
  }
}

interface Listeners {
  readonly calls: Set<() => void>;
  readonly listener: () => void;
}

/** One listener per signal: with one for each of 10,000 calls, adding it takes 40 µs, and Node.js warns of a leak. */
const aborted = new WeakMap<AbortSignal, Listeners>();

function addAborted(signal: AbortSignal, call: () => void): void {
  const known = aborted.get(signal);
  if (known !== undefined) {
    known.calls.add(call);
    return;
  }
  const calls = new Set([call]);
  const listener = (): void => {
    for (const each of [...calls]) each();
  };
  aborted.set(signal, { calls, listener });
  signal.addEventListener("abort", listener);
}

function removeAborted(signal: AbortSignal, call: () => void): void {
  const known = aborted.get(signal);
  if (known === undefined || !known.calls.delete(call) || known.calls.size > 0) return;
  aborted.delete(signal);
  signal.removeEventListener("abort", known.listener);
}

/** @throws InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR` when the signal is already aborted */
export function checkWait(options: WaitOptions | undefined): void {
  if (options === undefined) return;
  const { timeout, signal } = options;
  if (timeout !== undefined && !isTimeout(timeout)) {
    const got = typeof timeout === "number" ? timeout : typeof timeout;
    throw new InvalidArgumentError(
      `timeout must be a number of ms from 0 to ${MAX_TIMEOUT}, or -1; got ${got}`,
    );
  }
  if (signal === undefined) return;
  // Of any realm.
  if (Object.prototype.toString.call(signal) !== "[object AbortSignal]") {
    throw invalidArgument("signal must be an AbortSignal", signal);
  }
  if (signal.aborted) throw new AbortedError(signal.reason);
}

/**
 * A rejected promise if `checkWait` fails, else `undefined`. @param call its name @param known its option
 * names
 */
export function refusedWait(
  options: WaitOptions | undefined,
  call?: string,
  known: readonly string[] = WAIT_OPTIONS,
): Promise<never> | undefined {
  if (options === undefined) return undefined;
  try {
    if (call !== undefined) checkCallOptions(call, options, known);
    checkWait(options);
    return undefined;
  } catch (error) {
    return rejectNextTurn(error);
  }
}

/** A turn later, so that a retry loop does not starve timers and I/O. */
export function rejectNextTurn(error: unknown): Promise<never> {
  return new Promise((_resolve, reject) => {
    setImmediate(reject, error);
  });
}

/** For waits without a timeout. */
export function neverLate(): ShoalError {
  return new TimeoutError("ETIMEDOUT", "a wait without a timeout was late");
}

/**
 * The promise itself continues. @throws InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR`; the error of
 * `timedOut`
 */
export async function waitFor<T>(
  promise: Promise<T>,
  options: WaitOptions | undefined,
  timedOut: () => ShoalError,
): Promise<T> {
  // Without a turn before the signal is watched, in which it might abort.
  const refused = refusedWait(options);
  if (refused !== undefined) {
    promise.catch(ignore);
    return refused;
  }
  const { timeout = -1, signal } = options ?? {};
  if (timeout < 0 && signal === undefined) return promise;
  const waiter = new Waiter<T>(timeout, signal, timedOut, ignore);
  promise.then(
    (value) => waiter.resolve(value),
    (error: ShoalError) => waiter.reject(error),
  );
  return waiter.promise;
}

/** @param signal ends it */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Waiter<void>(ms, signal, neverLate, ignore).promise.catch(ignore);
}

/** @param timeout ms; -1: no limit @returns whether the promise was fulfilled in time; rejects as it does */
export function withTimeout(promise: Promise<unknown>, timeout: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = timeout < 0 ? undefined : setTimeout(resolve, timeout, false);
    void promise.then(() => resolve(true), reject).finally(() => clearTimeout(timer));
  });
}

/** @param timeout ms; negative: no limit @param begun of `performance.now()` @returns what is left of it; -1: no limit */
export function timeLeft(timeout: number, begun: number): number {
  return timeout < 0 ? -1 : Math.max(0, timeout - (performance.now() - begun));
}

function isTimeout(value: unknown): boolean {
  return typeof value === "number" && (value === -1 || (value >= 0 && value <= MAX_TIMEOUT));
}

/** A call that runs once, and whose events may call it again. */
export class Once<T> {
  /** `undefined` before the call. */
  promise: Promise<T> | undefined = undefined;

  call(begin: () => Promise<T>): Promise<T> {
    if (this.promise !== undefined) return this.promise;
    let settle: (result: Promise<T>) => void = ignore;
    this.promise = new Promise<T>((resolve) => {
      settle = resolve;
    });
    settle(begin());
    return this.promise;
  }
}

/** Calls that wait until nothing is in flight, or until a socket has messages or room. */
export class IdleWaits {
  #waits: (() => void)[] = [];

  get isAwaited(): boolean {
    return this.#waits.length > 0;
  }

  wait(isIdle: boolean): Promise<void> {
    return isIdle ? Promise.resolve() : new Promise((resolve) => this.#waits.push(resolve));
  }

  /** What they wait for is there, or the owner closes. */
  end(): void {
    if (this.isAwaited) for (const resolve of this.#waits.splice(0)) resolve();
  }
}

/** Mutual exclusion, in the order of arrival. */
export class Mutex {
  readonly #queue = new LinkedList<Waiter<void>>();
  taken = false;

  /**
   * @returns the function that releases the lock
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`
   */
  async take(options: WaitOptions = {}): Promise<() => void> {
    const refused = refusedWait(options);
    if (refused !== undefined) await refused;
    if (this.taken) {
      const waiter = new Waiter<void>(
        options.timeout ?? -1,
        options.signal,
        () => new TimeoutError("ETIMEDOUT", "Calls before this one took too long"),
        () => link.unlink(),
      );
      const link = new Link(waiter);
      this.#queue.push(link);
      await waiter.promise;
    }
    this.taken = true;
    return this.#done;
  }

  #done = (): void => {
    const next = this.#queue.shift();
    if (next === undefined) this.taken = false;
    else next.resolve();
  };
}

const ENDS_OF_WAITS: readonly ErrorCode[] = ["EAGAIN", "ETIMEDOUT", "ABORT_ERR"];

/**
 * Runs a waiting call with several steps, such as `request` and `ready`.
 *
 * It rejects when the socket closes. The program caused that, so an ignored promise must not end the process by an
 * unhandled rejection; other errors still do.
 *
 * @param isAbandoned whether the socket closed under the call
 */
export function runCall<T>(isAbandoned: () => boolean, steps: () => Promise<T>): Promise<T> {
  const follow = async (): Promise<T> => {
    try {
      return await steps();
    } catch (error) {
      if (isAbandoned()) promise.catch(ignore);
      // Errors made in timers and callbacks get the caller's stack.
      if (error instanceof ShoalError && ENDS_OF_WAITS.includes(error.code)) Error.captureStackTrace?.(error);
      throw error;
    }
  };
  const promise = follow();
  return promise;
}
