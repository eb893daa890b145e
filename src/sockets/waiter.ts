/**
 * A call that waits: settled once, by the thing it waits for, its time-out, its
 * signal, or the socket's close, whichever is first.
 */
import { AbortedError, type ShoalError } from "../core/errors.js";

/** What every waiting call takes. */
export interface WaitOptions {
  /** Ends the wait with an `AbortError` (code `ABORT_ERR`). */
  readonly signal?: AbortSignal | undefined;
  /** ms until the wait ends with an error; -1 waits without limit. Default: the socket's option. */
  readonly timeout?: number | undefined;
}

export class Waiter<T> {
  readonly promise: Promise<T>;
  settled = false;
  #resolve!: (value: T) => void;
  #reject!: (error: ShoalError) => void;
  #timer: NodeJS.Timeout | undefined = undefined;
  #signal: AbortSignal | undefined = undefined;
  #onGivenUp: (why: "timeout" | "aborted") => void;

  /**
   * @param timeout ms; negative: none
   * @param timedOut makes the error for a time-out
   * @param onGivenUp the waiter is settled by its time-out or signal: forget it
   */
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
      this.#timer = setTimeout(() => this.#giveUp("timeout", timedOut()), timeout);
    }
    if (signal !== undefined) {
      this.#signal = signal;
      signal.addEventListener("abort", this.#signalOnAbort, { once: true });
    }
  }

  resolve(value: T): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(error: ShoalError): void {
    if (this.#settle()) this.#reject(error);
  }

  #signalOnAbort = (): void => {
    this.#giveUp("aborted", new AbortedError(this.#signal?.reason));
  };

  #giveUp(why: "timeout" | "aborted", error: ShoalError): void {
    if (!this.#settle()) return;
    this.#onGivenUp(why);
    this.#reject(error);
  }

  #settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#signalOnAbort);
    return true;
  }
}

/** A rejected promise when the signal is aborted already, else `undefined`. */
export function abortedAlready(signal: AbortSignal | undefined): Promise<never> | undefined {
  return signal?.aborted === true ? Promise.reject(new AbortedError(signal.reason)) : undefined;
}
