import { type ErrorCode, ShoalError } from "../core/errors.js";
import { ignore } from "../core/waiter.js";

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
