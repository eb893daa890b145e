/** What sockets that receive can do. */
import { checkCallOptions, checkInteger, refuseExtra } from "../core/arguments.js";
import { InvalidStateError } from "../core/errors.js";
import { rejectNextTurn, WAIT_OPTIONS, type WaitOptions } from "../core/waiter.js";
import type { Message } from "./message.js";
import { CORE, type HasCore } from "./socket-core.js";
import type { ReadableOptions } from "./socket-options.js";

/** What `receiveMany` takes. */
export interface ReceiveManyOptions extends WaitOptions {
  /** The most messages to get at once; at least 1. Default 1,000. */
  readonly max?: number;
}

/**
 * 1 or more messages that were received together.
 *
 * Their frames are views of memory that the socket uses again once the batch is disposed: from then on they must not be read,
 * sent or kept. What is sent on within the batch may still wait then, also where `send` was awaited: send it with `copy: true`, or
 * keep the batch. A batch that is never disposed is safe, and costs what `receiveMany` costs. With `SHOAL_CHECK_BATCHES=1` in the
 * environment what is called or asked of such a frame throws `ClosedError` `EBADF`; its bytes are `undefined`, views of it empty.
 */
export interface MessageBatch<M> extends Iterable<M>, Disposable {
  /** The messages, in the order in which they came. @throws ClosedError `EBADF` when the batch is disposed */
  readonly messages: readonly M[];
  /** How many there are. @throws ClosedError `EBADF` when the batch is disposed */
  readonly length: number;
  /** The messages. @throws ClosedError `EBADF` when the batch is disposed */
  [Symbol.iterator](): IterableIterator<M>;
  /**
   * The messages for good, as from `receiveMany`: their memory is not used again, whatever becomes of the batch. To keep one of
   * many, copy it: `Buffer.from(frame)`.
   *
   * @throws ClosedError `EBADF` when the batch is disposed
   */
  keep(): M[];
  /** The memory of the frames goes back to the socket. Further calls do nothing. */
  [Symbol.dispose](): void;
}

/** What `batches` takes. */
export interface BatchesOptions {
  /** The most messages of a batch; at least 1. Default 1,000. */
  readonly max?: number;
  /** Ends the loop with an `AbortError` (code `ABORT_ERR`). */
  readonly signal?: AbortSignal;
}

/** A socket that receives messages of type `M`: frames, unless said otherwise. */
export interface Readable<M = Message[]> extends Required<ReadableOptions> {
  /**
   * The next message; waits for it. Any number of calls may wait, at most
   * `maxPendingReceives`: they get messages in the order of the calls. A call
   * that times out or is aborted loses none.
   *
   * @returns the message's frames, each a Buffer that belongs to the program; with a codec the last is the decoded value. A frame is
   *   a view: one of 100 bytes keeps up to 64 KiB (128 over inproc). Copy what is kept for long: `Buffer.from(frame)`
   * @throws TimeoutError `EAGAIN` after `receiveTimeout` or `timeout`
   * @throws InvalidStateError `EFSM` in its place where the socket still has to send first (Request, Reply)
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` past `maxPendingReceives`
   * @throws InvalidArgumentError `EINVAL` for an unknown option or an invalid value
   * @throws AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the socket closes meanwhile, `EBADF` when it is closed
   */
  receive(options?: WaitOptions): Promise<M>;
  /**
   * 1 to `max` messages: those that are there, or the first that comes. Otherwise as {@link receive}.
   *
   * @throws InvalidArgumentError `EINVAL` for a `max` below 1; otherwise as `receive`
   */
  receiveMany(options?: ReceiveManyOptions): Promise<M[]>;
  /**
   * Batches of 1 to `max` messages until the socket closes or the signal is aborted, which throws `AbortedError`. The fastest
   * way to receive: one promise a batch, and with `using` memory that is used again.
   *
   * ```ts
   * for await (using batch of socket.batches()) for (const [frame] of batch) total += frame.length;
   * ```
   *
   * A loop that ends by `break` or an error loses the rest of its batch, and no other message.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a `max` below 1
   */
  batches(options?: BatchesOptions): AsyncIterableIterator<MessageBatch<M>, undefined>;
  /**
   * Messages until the socket closes or the signal is aborted, which throws `AbortedError`.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown option
   */
  messages(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<M, undefined>;
  /** Messages until the socket closes. Yields to timers and other sockets about twice a
   * millisecond, or, where the program takes longer, at least every 128 messages. */
  [Symbol.asyncIterator](): AsyncIterableIterator<M, undefined>;
}

const DEFAULT_MAX = 1_000;
const MANY_OPTIONS: readonly string[] = ["max", ...WAIT_OPTIONS];

function check(call: string, options: unknown, known: readonly string[], extra: unknown): void {
  if (extra !== undefined) refuseExtra(call, "options", [extra]);
  checkCallOptions(call, options, known);
}

/** @returns the most messages of a call; `max` or the default */
export function checkMax(max: number = DEFAULT_MAX): number {
  return checkInteger("max", max);
}

class MessageIterator<M> implements AsyncIterableIterator<M, undefined> {
  readonly #socket: HasCore & Readable<M>;
  readonly #options: WaitOptions | undefined;
  #done = false;

  constructor(socket: HasCore & Readable<M>, options: WaitOptions | undefined) {
    this.#socket = socket;
    this.#options = options;
  }

  next(): Promise<IteratorResult<M, undefined>> {
    if (this.#done || this.#socket[CORE].closed) return Promise.resolve({ value: undefined, done: true });
    // A message that is there already costs one promise, not three.
    if (this.#options === undefined && !this.#socket[CORE].reserved) {
      const value = this.#socket[CORE].inbox.tryReceive() as M | undefined;
      if (value !== undefined) return Promise.resolve({ value, done: false });
    }
    return this.#socket.receive(this.#options).then(toResult, this.#failed);
  }

  return(): Promise<IteratorResult<M, undefined>> {
    this.#done = true;
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #failed = (error: unknown): IteratorResult<M, undefined> => {
    // Closing is how a loop is ended; a call out of turn is a mistake, whatever comes after it.
    if (this.#socket[CORE].closed && !(error instanceof InvalidStateError))
      return { value: undefined, done: true };
    throw error;
  };
}

function toResult<M>(value: M): IteratorResult<M, undefined> {
  return { value, done: false };
}

/** The methods of {@link Readable}. @internal */
export const RECEIVING: Omit<Readable<unknown>, keyof ReadableOptions | "batches"> &
  ThisType<HasCore & Readable<unknown>> = {
  // Not rest parameters: they would make an array for each message.
  receive(options, extra?: unknown) {
    try {
      this[CORE].assertFree();
      if (options !== undefined || extra !== undefined) check("receive", options, WAIT_OPTIONS, extra);
      return this[CORE].inbox.receive(options);
    } catch (error) {
      return rejectNextTurn(error);
    }
  },
  receiveMany(options, extra?: unknown) {
    try {
      this[CORE].assertFree();
      if (options !== undefined || extra !== undefined) check("receiveMany", options, MANY_OPTIONS, extra);
      return this[CORE].inbox.receiveMany(checkMax(options?.max), options);
    } catch (error) {
      return rejectNextTurn(error);
    }
  },
  messages(options, extra?: unknown) {
    check("messages", options, ["signal"], extra);
    return new MessageIterator(this, options);
  },
  [Symbol.asyncIterator]() {
    return new MessageIterator(this, undefined);
  },
};
