/** The calls by which sockets receive: single messages, several together, and loops over both. */
import { checkCallOptions, checkInteger } from "../core/arguments.js";
import { ClosedError, InvalidStateError } from "../core/errors.js";
import { rejectNextTurn, WAIT_OPTIONS, type WaitOptions } from "../core/waiter.js";
import { Lease } from "../engine/engine.js";
import type { Message } from "./message.js";
import { CORE, type HasCore, type SocketCore } from "./socket-core.js";
import type { ReadableOptions } from "./socket-options.js";

export interface ReceiveManyOptions extends WaitOptions {
  /** Most messages, from 1. Default 1,000. */
  readonly max?: number;
}

/**
 * Messages received together.
 *
 * The frames are views of memory that the socket reuses after dispose. Do not read, send or keep them then: a forwarded
 * frame may still be queued after an awaited `send`, so send it with `copy: true` or keep the batch. A batch never
 * disposed is safe, at the cost of `receiveMany`.
 */
export interface MessageBatch<M> extends Iterable<M>, Disposable {
  /** The messages in order of arrival. @throws ClosedError `EBADF` after dispose */
  readonly messages: readonly M[];
  /** Number of messages. @throws ClosedError `EBADF` after dispose */
  readonly length: number;
  /** @throws ClosedError `EBADF` after dispose */
  [Symbol.iterator](): IterableIterator<M>;
  /**
   * Returns the messages for permanent use: their memory is never reused. For a single frame, use `Buffer.from(frame)`.
   *
   * @throws ClosedError `EBADF` after dispose
   */
  keep(): M[];
  /** Returns the memory to the socket. Further calls have no effect. */
  [Symbol.dispose](): void;
}

export interface BatchesOptions {
  /** Most messages of a batch, from 1. Default 1,000. */
  readonly max?: number;
  /** Ends the loop with `AbortError` (`ABORT_ERR`). */
  readonly signal?: AbortSignal;
}

/** Receives messages of type `M`, by default frames. */
export interface Readable<M = Message[]> extends Required<ReadableOptions> {
  /**
   * Waits for the next message. At most `maxPendingReceives` calls wait, in order. Aborted and timed-out calls lose no
   * message.
   *
   * @returns the message's frames as Buffers that the program owns; with a codec the last is the decoded value. A frame
   *   is a view: 100 bytes may retain 64 KiB (128 over inproc), so copy it for long use: `Buffer.from(frame)`
   * @throws TimeoutError `EAGAIN` after `receiveTimeout` or `timeout`
   * @throws InvalidStateError `EFSM` if the socket must send first (Request, Reply)
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`; InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR`
   * @throws ClosedError `EAGAIN` when the socket closes meanwhile, `EBADF` when closed
   */
  receive(options?: WaitOptions): Promise<M>;
  /**
   * Returns the available messages, or the next: 1 to `max`. Otherwise like {@link receive}.
   *
   * @throws as `receive`
   */
  receiveMany(options?: ReceiveManyOptions): Promise<M[]>;
  /**
   * Batches of 1 to `max` messages until the socket closes or the signal aborts (`AbortedError`). The fastest way to
   * receive: one promise per batch, and reused memory with `using`.
   *
   * ```ts
   * for await (using batch of socket.batches()) for (const [frame] of batch) total += frame.length;
   * ```
   *
   * Leaving the loop loses only the rest of its batch.
   *
   * @throws InvalidArgumentError `EINVAL`
   */
  batches(options?: BatchesOptions): AsyncIterableIterator<MessageBatch<M>, undefined>;
  /**
   * Messages until the socket closes or the signal aborts (`AbortedError`).
   *
   * @throws InvalidArgumentError `EINVAL`
   */
  messages(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<M, undefined>;
  /**
   * Messages until the socket closes. Yields to timers and other sockets about twice per millisecond, at least every
   * 128 messages.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<M, undefined>;
}

const MANY_OPTIONS: readonly string[] = ["max", ...WAIT_OPTIONS];
const BATCHES_OPTIONS: readonly (keyof BatchesOptions)[] = ["max", "signal"];

function checkMax(max = 1_000): number {
  return checkInteger("max", max);
}

const DONE: IteratorReturnResult<undefined> = Object.freeze({ value: undefined, done: true });

/** A loop ends by `break`, by an error, or quietly when the socket closes. */
abstract class ReceiveIterator<T> implements AsyncIterableIterator<T, undefined> {
  protected readonly core: SocketCore;
  protected waiting: Promise<unknown> | undefined;
  protected done = false;

  constructor(core: SocketCore) {
    this.core = core;
  }

  abstract next(): Promise<IteratorResult<T, undefined>>;

  /** Ends a waiting `next`, which would take a message that nobody reads. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.done = true;
    if (this.waiting !== undefined) this.core.inbox.withdraw(this.waiting);
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  protected failed = (error: unknown): IteratorResult<T, undefined> => {
    // Closing ends the loop; a call out of turn stays an error.
    if (this.done || (this.core.closed && !(error instanceof InvalidStateError))) return DONE;
    throw error;
  };
}

class MessageIterator<M> extends ReceiveIterator<M> {
  readonly #socket: HasCore & Readable<M>;
  readonly #options: WaitOptions | undefined;

  constructor(socket: HasCore & Readable<M>, options: WaitOptions | undefined) {
    super(socket[CORE]);
    this.#socket = socket;
    this.#options = options;
  }

  next(): Promise<IteratorResult<M, undefined>> {
    if (this.done || this.core.closed) return Promise.resolve(DONE);
    // One promise instead of three for an available message.
    if (this.#options === undefined && !this.core.reserved) {
      const value = this.core.inbox.tryReceive() as M | undefined;
      if (value !== undefined) return Promise.resolve({ value, done: false });
    }
    const waiting = this.#socket.receive(this.#options);
    this.waiting = waiting;
    return waiting.then(toResult, this.failed);
  }
}

function toResult<M>(value: M): IteratorResult<M, undefined> {
  return { value, done: false };
}

/** @internal */
export const RECEIVING: Omit<Readable<unknown>, keyof ReadableOptions> &
  ThisType<HasCore & Readable<unknown>> = {
  receive(options) {
    try {
      this[CORE].assertFree();
      if (options !== undefined) checkCallOptions("receive", options, WAIT_OPTIONS);
      return this[CORE].inbox.receive(options);
    } catch (error) {
      return rejectNextTurn(error);
    }
  },
  receiveMany(options) {
    try {
      this[CORE].assertFree();
      if (options !== undefined) checkCallOptions("receiveMany", options, MANY_OPTIONS);
      return this[CORE].inbox.receiveMany(checkMax(options?.max), options);
    } catch (error) {
      return rejectNextTurn(error);
    }
  },
  batches(options) {
    checkCallOptions("batches", options, BATCHES_OPTIONS);
    return new BatchIterator(this[CORE], checkMax(options?.max), options?.signal);
  },
  messages(options) {
    checkCallOptions("messages", options, ["signal"]);
    return new MessageIterator(this, options);
  },
  [Symbol.asyncIterator]() {
    return new MessageIterator(this, undefined);
  },
};

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

/** `socket.batches()`: batches of received messages as an async iterable. */
class BatchIterator extends ReceiveIterator<MessageBatch<unknown>> {
  readonly #max: number;
  readonly #wait: WaitOptions | undefined;

  constructor(core: SocketCore, max: number, signal: AbortSignal | undefined) {
    super(core);
    this.#max = max;
    this.#wait = signal === undefined ? undefined : { signal };
  }

  next(): Promise<IteratorResult<MessageBatch<unknown>, undefined>> {
    const { core } = this;
    if (this.done || core.closed) return Promise.resolve(DONE);
    try {
      core.assertFree();
    } catch (error) {
      return Promise.reject(error);
    }
    const lease = new Lease();
    const waiting = core.inbox.receiveMany(this.#max, this.#wait, lease);
    this.waiting = waiting;
    return waiting.then((messages) => ({ value: new Batch(messages, lease), done: false }), this.failed);
  }
}
