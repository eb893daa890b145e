/**
 * Waiting calls with several steps, such as `request` and `ready`.
 *
 * They reject when the socket closes. The program caused that, so an ignored promise must not end the process by an
 * unhandled rejection; other errors still do.
 */

import { Link, LinkedList } from "../core/collections/linked-list.js";
import { type ErrorCode, ShoalError } from "../core/errors.js";
import { ignore } from "../core/ignore.js";

const ENDS_OF_WAITS: readonly ErrorCode[] = ["EAGAIN", "ETIMEDOUT", "ABORT_ERR"];

class Call {
  promise: Promise<unknown> | undefined = undefined;
  readonly link: Link<Call> = new Link<Call>(this);
}

export class Calls {
  /** A Set would keep its outgrown tables after thousands of calls. */
  #open: LinkedList<Call> | undefined = undefined;

  run<T>(steps: () => Promise<T>): Promise<T> {
    const call = new Call();
    const promise = this.#follow(call, steps);
    call.promise = promise;
    return promise;
  }

  /** Marks promises of open calls as handled. */
  abandon(): void {
    for (const { promise } of this.#open ?? []) promise?.catch(ignore);
    this.#open = undefined;
  }

  async #follow<T>(call: Call, steps: () => Promise<T>): Promise<T> {
    this.#open ??= new LinkedList();
    this.#open.push(call.link);
    try {
      return await steps();
    } catch (error) {
      // Errors made in timers and callbacks get the caller's stack.
      if (error instanceof ShoalError && ENDS_OF_WAITS.includes(error.code)) Error.captureStackTrace?.(error);
      throw error;
    } finally {
      call.link.unlink();
    }
  }
}
