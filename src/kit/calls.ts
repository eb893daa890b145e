/**
 * Pending calls of a client, bounded in count and bytes. Each settles once: by its reply, timeout, signal, or the
 * client's close.
 *
 * A client returns `call.promise` itself: a derived promise would become an unhandled rejection when it closes.
 */

import { Link, LinkedList } from "../core/collections/queues.js";
import { ClosedError, InvalidStateError, type ShoalError, TimeoutError } from "../core/errors.js";
import { checkWait, IdleWaits, ignore, Waiter } from "../core/waiter.js";
import { anything, bytes, type Given, integer, type Settings } from "./options.js";

export const CALL_OPTIONS = {
  /** ms; -1: no limit. Default: the client's. */
  timeout: integer({ min: -1 }),
  /** Cancels the request, which may have been handled. */
  signal: anything<AbortSignal>(),
};

/** Options of one call. */
export type CallOptions = Given<typeof CALL_OPTIONS>;

export const CALL_LIMITS = {
  /** Pending calls; more reject with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPending: integer({ default: 10_000 }),
  /** Bytes of pending requests, plus 64 per frame; a single request may be larger. Default 64 MiB. */
  maxPendingBytes: bytes({ default: 67_108_864 }),
};

export type CallLimits = Settings<typeof CALL_LIMITS>;

export interface CallTerms {
  /** ms; -1 or `undefined`: no limit. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onGivenUp?: (why: "timeout" | "aborted") => void;
}

interface Waiting {
  readonly link: Link<Waiting>;
  abandon(error: ShoalError): void;
}

/** A wait that its reply ends, too, and that counts until it ends. */
export class PendingCall<T> extends Waiter<T> {
  /** @internal */
  readonly link: Link<Waiting> = new Link<Waiting>(this);
  readonly #calls: PendingCalls;
  readonly #bytes: number;

  /** @internal Use {@link PendingCalls.add}. */
  constructor(calls: PendingCalls, bytes: number, terms: CallTerms, timedOut?: () => ShoalError) {
    const { timeout = -1, signal, onGivenUp = ignore } = terms;
    super(timeout, signal, timedOut ?? noReply(timeout), onGivenUp);
    this.#calls = calls;
    this.#bytes = bytes;
  }

  protected override onSettled(): void {
    this.#calls.remove(this, this.#bytes);
  }
}

export class PendingCalls {
  readonly #limits: CallLimits;
  /** A Set would keep later calls alive by its replaced tables until a full collection. */
  readonly #open = new LinkedList<Waiting>();
  size = 0;
  #bytes = 0;
  readonly #idle = new IdleWaits();

  constructor(limits: CallLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param bytes cost of its request
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`; InvalidArgumentError `EINVAL` for an invalid timeout or signal;
   *   AbortedError `ABORT_ERR`
   */
  add<T>(bytes: number, terms: CallTerms = {}, timedOut?: () => ShoalError): PendingCall<T> {
    checkWait(terms);
    const { maxPending, maxPendingBytes } = this.#limits;
    if (this.size >= maxPending)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `${this.size} calls wait for their replies already (maxPending)`,
      );
    if (this.size > 0 && this.#bytes + bytes > maxPendingBytes)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `Calls of ${this.#bytes} bytes wait for their replies already (maxPendingBytes)`,
      );
    const call = new PendingCall<T>(this, bytes, terms, timedOut);
    this.#open.push(call.link);
    this.size += 1;
    this.#bytes += bytes;
    return call;
  }

  /** Rejects pending calls, by default with `EAGAIN`. */
  close(error: ShoalError = new ClosedError("EAGAIN", "The client closed while the call waited")): void {
    for (const call of [...this.#open]) call.abandon(error);
  }

  idle(): Promise<void> {
    return this.#idle.wait(this.size === 0);
  }

  /** @internal */
  remove(call: Waiting, bytes: number): void {
    this.#open.remove(call.link);
    this.size -= 1;
    this.#bytes -= bytes;
    if (this.size === 0) this.#idle.end();
  }
}

function noReply(timeout: number): () => ShoalError {
  return () => new TimeoutError("ETIMEDOUT", `No reply came within ${timeout} ms`);
}
