/**
 * Calls of a socket that wait for something and are made of several steps, such as `request` and `ready`.
 *
 * When the socket closes, each of them ends with an error. The program ended them itself, so a caller that does not
 * look at its promise must not end the process by an unhandled rejection; any other error still does.
 */

import { type ErrorCode, ShoalError } from "../core/errors.js";

const ENDS_OF_WAITS: readonly ErrorCode[] = ["EAGAIN", "ETIMEDOUT", "ABORT_ERR"];

interface Call {
  promise: Promise<unknown> | undefined;
}

export class Calls {
  #open: Set<Call> | undefined = undefined;

  /** Starts a call. @returns its promise, which `abandon` can mark as handled */
  run<T>(steps: () => Promise<T>): Promise<T> {
    const call: Call = { promise: undefined };
    const promise = this.#follow(call, steps);
    call.promise = promise;
    return promise;
  }

  /** The socket closes: what its open calls reject with from now on needs no handler. */
  abandon(): void {
    if (this.#open === undefined) return;
    for (const { promise } of this.#open) promise?.catch(ignore);
    this.#open.clear();
  }

  async #follow<T>(call: Call, steps: () => Promise<T>): Promise<T> {
    this.#open ??= new Set();
    this.#open.add(call);
    try {
      return await steps();
    } catch (error) {
      // Made in a timer, or in what ended the wait: from here the stack leads to the caller.
      if (error instanceof ShoalError && ENDS_OF_WAITS.includes(error.code)) Error.captureStackTrace?.(error);
      throw error;
    } finally {
      this.#open.delete(call);
    }
  }
}

function ignore(): void {}
