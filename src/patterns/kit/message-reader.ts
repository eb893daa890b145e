/**
 * Inspects a socket's messages before a program gets them. Batches are taken on demand: a slow program leaves messages
 * in the socket's bounded queue.
 */

import { checkCallOptions } from "../../core/arguments.js";
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { ClosedError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { checkWait, WAIT_OPTIONS, type WaitOptions } from "../../core/waiter.js";
import type { ReceiveManyOptions } from "../../sockets/readable.js";
import type { Dealer } from "../../sockets/request-reply.js";
import { checkCount } from "./options.js";

export const BATCH = 256;

export interface MessageSource<M> {
  /** The socket's `receiveMany`. */
  receive(options: WaitOptions & { readonly max: number }): Promise<Buffer[][]>;
  /** Passes messages for the program to `deliver`. Errors end the call. */
  look(batch: Buffer[][], deliver: (message: M) => void): void;
}

const NO_OPTIONS: WaitOptions = {};
const MANY_OPTIONS: readonly string[] = [...WAIT_OPTIONS, "max"];
const DEFAULT_MAX = 1_000;

/** Yields messages until the driver is closed. */
export async function* untilClosed<M>(receive: () => Promise<M>): AsyncGenerator<M, undefined> {
  for (;;) {
    try {
      yield await receive();
    } catch (error) {
      if (error instanceof ClosedError) return undefined;
      throw error;
    }
  }
}

/** Passes a socket's messages on in batches until it closes. */
export async function readMessages(
  socket: Pick<Dealer, "closed" | "receiveMany" | "receiveTimeout">,
  take: (messages: Buffer[][]) => void,
): Promise<void> {
  try {
    socket.receiveTimeout = -1;
    for (;;) take(await socket.receiveMany());
  } catch (error) {
    if (!socket.closed && !(error instanceof ClosedError)) throw error;
  }
}

export class MessageReader<M> {
  readonly #source: MessageSource<M>;
  readonly #ready = new RingBuffer<M>();
  #busy = false;
  #closed = false;

  constructor(source: MessageSource<M>) {
    this.#source = source;
  }

  get waiting(): number {
    return this.#ready.length;
  }

  /** @returns how many inspected messages were dropped */
  discard(): number {
    const { length } = this.#ready;
    this.#ready.clear();
    return length;
  }

  /** Drops inspected messages: calls end with the source. */
  close(): void {
    this.#closed = true;
    this.#ready.clear();
  }

  /** @throws InvalidArgumentError `EINVAL`; AbortedError, TimeoutError, ClosedError as a socket's `receive` */
  async receive(options: WaitOptions = NO_OPTIONS): Promise<M> {
    if (options !== NO_OPTIONS) {
      checkCallOptions("receive", options, WAIT_OPTIONS);
      checkWait(options);
    }
    return this.#ready.shift() ?? this.#fill(options, () => this.#ready.shift());
  }

  /** @returns 1 to `max` messages @throws as {@link receive} */
  async receiveMany(options: ReceiveManyOptions = {}): Promise<M[]> {
    checkCallOptions("receiveMany", options, MANY_OPTIONS);
    checkWait(options);
    const max = checkCount("max", options.max ?? DEFAULT_MAX, 1);
    const take = (): M[] | undefined => {
      const messages: M[] = [];
      while (messages.length < max && this.#ready.length > 0) messages.push(this.#ready.shift() as M);
      return messages.length === 0 ? undefined : messages;
    };
    return take() ?? this.#fill(options, take);
  }

  async #fill<R>(options: WaitOptions, take: () => R | undefined): Promise<R> {
    if (this.#busy) throw new InvalidStateError("EFSM", "One call at a time waits for a message here");
    this.#busy = true;
    try {
      const { timeout = -1, signal } = options;
      const end = timeout < 0 ? undefined : performance.now() + timeout;
      for (;;) {
        const left = end === undefined ? -1 : Math.max(0, Math.ceil(end - performance.now()));
        const batch = await this.#source.receive({ max: BATCH, timeout: left, signal });
        this.#source.look(batch, this.#deliver);
        const taken = take();
        if (taken !== undefined) return taken;
        if (left === 0) throw new TimeoutError("EAGAIN", "No message came in time");
      }
    } finally {
      this.#busy = false;
    }
  }

  #deliver = (message: M): void => {
    if (!this.#closed) this.#ready.push(message);
  };
}
