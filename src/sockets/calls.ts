/**
 * Waiting calls with several steps, such as `request` and `ready`.
 *
 * They reject when the socket closes. The program caused that, so an ignored promise must not end the process by an
 * unhandled rejection; other errors still do.
 */

import { type ErrorCode, ShoalError } from "../core/errors.js";
import { ignore } from "../core/ignore.js";

const ENDS_OF_WAITS: readonly ErrorCode[] = ["EAGAIN", "ETIMEDOUT", "ABORT_ERR"];

interface Call {
  promise: Promise<unknown> | undefined;
}

export class Calls {
  #open: Set<Call> | undefined = undefined;

  run<T>(steps: () => Promise<T>): Promise<T> {
    const call: Call = { promise: undefined };
    const promise = this.#follow(call, steps);
    call.promise = promise;
    return promise;
  }

  /** Marks promises of open calls as handled. */
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
      // Errors made in timers and callbacks get the caller's stack.
      if (error instanceof ShoalError && ENDS_OF_WAITS.includes(error.code)) Error.captureStackTrace?.(error);
      throw error;
    } finally {
      this.#open.delete(call);
    }
  }
}
