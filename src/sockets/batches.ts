/** `socket.batches()`: batches of received messages as an async iterable. */
import { checkCallOptions, refuseExtra } from "../core/arguments.js";
import { ClosedError, InvalidStateError } from "../core/errors.js";
import type { WaitOptions } from "../core/waiter.js";
import { Lease } from "../engine/engine.js";
import { type BatchesOptions, checkMax, type MessageBatch } from "./readable.js";
import { CORE, type HasCore, type SocketCore } from "./socket-core.js";

const OPTIONS: readonly (keyof BatchesOptions)[] = ["max", "signal"];

type Result = IteratorResult<MessageBatch<unknown>, undefined>;

const DONE: Result = { value: undefined, done: true };

class Batch implements MessageBatch<unknown> {
  #messages: unknown[] | undefined;
  readonly #lease: Lease;

  constructor(messages: unknown[], lease: Lease) {
    this.#messages = messages;
    this.#lease = lease;
  }

  get messages(): readonly unknown[] {
    if (this.#messages === undefined) throw new ClosedError("EBADF", "The batch is disposed");
    return this.#messages;
  }

  get length(): number {
    return this.messages.length;
  }

  [Symbol.iterator](): IterableIterator<unknown> {
    return this.messages[Symbol.iterator]();
  }

  keep(): unknown[] {
    const messages = this.messages as unknown[];
    this.#lease.keep();
    return messages;
  }

  [Symbol.dispose](): void {
    if (this.#messages === undefined) return;
    this.#messages = undefined;
    this.#lease.release();
  }
}

class BatchIterator implements AsyncIterableIterator<MessageBatch<unknown>, undefined> {
  readonly #core: SocketCore;
  readonly #max: number;
  readonly #wait: WaitOptions | undefined;
  #waiting: Promise<unknown> | undefined;
  #done = false;

  constructor(core: SocketCore, max: number, signal: AbortSignal | undefined) {
    this.#core = core;
    this.#max = max;
    this.#wait = signal === undefined ? undefined : { signal };
  }

  next(): Promise<Result> {
    const core = this.#core;
    if (this.#done || core.closed) return Promise.resolve(DONE);
    try {
      core.assertFree();
    } catch (error) {
      return Promise.reject(error);
    }
    const lease = new Lease();
    const waiting = core.inbox.receiveMany(this.#max, this.#wait, lease);
    this.#waiting = waiting;
    return waiting.then((messages) => ({ value: new Batch(messages, lease), done: false }), this.#failed);
  }

  return(): Promise<Result> {
    this.#done = true;
    if (this.#waiting !== undefined) this.#core.inbox.withdraw(this.#waiting);
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #failed = (error: unknown): Result => {
    if (this.#done) return DONE;
    // Closing ends the loop; a call out of turn stays an error.
    if (this.#core.closed && !(error instanceof InvalidStateError)) return DONE;
    throw error;
  };
}

function batches(this: HasCore, options?: BatchesOptions, extra?: unknown): BatchIterator {
  if (extra !== undefined) refuseExtra("batches", "options", [extra]);
  checkCallOptions("batches", options, OPTIONS);
  return new BatchIterator(this[CORE], checkMax(options?.max), options?.signal);
}

/** @internal */
export const BATCHES = { batches };
