/**
 * Waiting calls with several steps, such as `request` and `ready`.
 *
 * When the socket closes, they reject. The program caused that itself, so an ignored promise must not end the process by an
 * unhandled rejection. Other errors still do.
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

  /** Marks the promises of open calls as handled, because the socket closes. */
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
      // Errors made in timers and callbacks get the caller's stack here.
      if (error instanceof ShoalError && ENDS_OF_WAITS.includes(error.code)) Error.captureStackTrace?.(error);
      throw error;
    } finally {
      this.#open.delete(call);
    }
  }
}

function ignore(): void {}
