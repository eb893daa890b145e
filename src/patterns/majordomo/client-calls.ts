/** Calls of a client, and the promises and iterations that callers get. */

import { Link } from "../../core/collections/queues.js";
import type { ReceiveWindow } from "../../core/credit.js";
import { ClosedError, type ShoalError } from "../../core/errors.js";
import { costOf } from "../../core/memory.js";
import { PushIterator } from "../../core/push-iterator.js";
import { ignore } from "../../core/waiter.js";
import { Body, Dialect, type Frames } from "./protocol.js";

/** A kept piece is read later. */
export type Taken = "read" | "kept" | "refused";

/** Receives a call's answer. Its methods must not throw. */
export interface CallSink {
  /** @param final the end of the answer, which is never refused */
  answer(body: Buffer[], final: boolean): Taken;
  /** Unread pieces stop the timer for the next one. */
  readonly unread?: boolean;
  readonly done?: boolean;
  onDone?: (() => void) | undefined;
  /** @param error ClosedError: the client closes, and an unhandled rejection must not end the process */
  failed(error: ShoalError): void;
}

export interface CalledService {
  readonly name: string;
  readonly frame: Buffer;
  /** A call has ended with an answer or error of the broker. */
  isKnown: boolean;
}

export interface CallTerms {
  /** ms per attempt; 0: no limit. */
  readonly timeout: number;
  /** Attempts after the first. */
  readonly retries: number;
  /** ms in total; 0: no limit. */
  readonly total: number;
  /** Encoded headers for the handler. */
  readonly headers: Buffer;
  /** Headers plus trace context. Plain brokers do not get them. */
  readonly observed?: Buffer;
}

export class Connection {
  readonly number: number;
  readonly endpoint: string;
  /** `undefined` before the broker's answer. */
  dialect: Dialect | undefined = undefined;
  /** It gets no more requests. */
  isLeft = false;
  /** Unanswered requests. */
  calls = 0;
  /** The one request of a plain broker. */
  call: Call | undefined = undefined;
  /** ms between heartbeats. */
  interval = 0;
  lastSeen = 0;
  /** Time of the next heartbeat, or for an answer to the negotiation. */
  dueAt: number | undefined = undefined;

  constructor(number: number, endpoint: string) {
    this.number = number;
    this.endpoint = endpoint;
  }

  get isExtended(): boolean {
    return this.dialect === Dialect.Shoal;
  }

  get isPlain(): boolean {
    return this.dialect !== undefined && this.dialect !== Dialect.Shoal;
  }
}

/** No `PendingCall` of the kit: the deadlines of its attempts are rules, which simulations run in virtual time. */
export class Call {
  /** Given when it is submitted. */
  sequence = 0;
  readonly service: CalledService;
  readonly body: Body;
  readonly terms: CallTerms;
  readonly sink: CallSink;
  /** Cost of the request's frames. */
  readonly bytes: number;
  /** End of `total`; 0: none. */
  expiresAt = 0;
  retries: number;
  /** `undefined` while queued. */
  connection: Connection | undefined = undefined;
  pieces = 0;
  /** Of an answer in pieces. */
  window: ReceiveWindow | undefined = undefined;
  deadline = 0;
  readonly deadlineLink: Link<Call> = new Link<Call>(this);
  /** Created on demand. */
  placeLink: Link<Call> | undefined = undefined;

  constructor(service: CalledService, body: Frames, terms: CallTerms, sink: CallSink) {
    this.service = service;
    this.body = Body.of(body);
    this.terms = terms;
    this.sink = sink;
    this.bytes = this.body.cost;
    this.retries = terms.retries;
  }

  get place(): Link<Call> {
    this.placeLink ??= new Link<Call>(this);
    return this.placeLink;
  }

  /** Not sent again: no attempts are left, or pieces have arrived. */
  get final(): boolean {
    return this.retries === 0 || this.pieces > 0;
  }
}

/** May throw. */
export type Decode<T> = (frames: Buffer[]) => T;

/** An empty frame after pieces: MDP requires a body. */
function isBareEnd(body: readonly Buffer[]): boolean {
  return body.length === 0 || (body.length === 1 && (body[0] as Buffer).length === 0);
}

/** Of the latest promise. */
const captured: { resolve: (value: never) => void; reject: (error: unknown) => void } = {
  resolve: ignore,
  reject: ignore,
};

/** Shared by all promises: one closure per request was a tenth of its allocations. */
function capture(resolve: (value: never) => void, reject: (error: unknown) => void): void {
  captured.resolve = resolve;
  captured.reject = reject;
}

/** Joins pieces to one answer. */
export class WholeSink<T> implements CallSink {
  readonly promise: Promise<T> = new Promise<T>(capture);
  readonly #resolve = captured.resolve as (value: T) => void;
  readonly #reject = captured.reject;
  readonly #decode: Decode<T>;
  readonly #maxBytes: number;
  #joined: Buffer[] | undefined = undefined;
  #bytes = 0;
  done = false;
  onDone: (() => void) | undefined = undefined;

  /** @param maxBytes bound of joined pieces */
  constructor(decode: Decode<T>, maxBytes: number) {
    this.#decode = decode;
    this.#maxBytes = maxBytes;
  }

  answer(body: Buffer[], final: boolean): Taken {
    if (!final) {
      this.#bytes += costOf(body);
      if (this.#bytes > this.#maxBytes) return "refused";
      this.#joined ??= [];
      for (let i = 0; i < body.length; i++) this.#joined.push(body[i] as Buffer);
      return "read";
    }
    const joined = this.#joined;
    const whole = joined === undefined ? body : isBareEnd(body) ? joined : [...joined, ...body];
    try {
      this.#resolve(this.#decode(whole));
    } catch (error) {
      this.#reject(error);
    }
    this.#finish();
    return "read";
  }

  failed(error: ShoalError): void {
    if (error instanceof ClosedError) this.promise.catch(ignore);
    this.#reject(error);
    this.#finish();
  }

  #finish(): void {
    this.done = true;
    this.onDone?.();
  }
}

export interface PieceReader {
  read(cost: number): void;
  /** The reader left the loop. */
  giveUp(): void;
}

/** Iterates over pieces as they arrive. */
export class PieceSink<T> extends PushIterator<Buffer[], T> implements CallSink {
  readonly #decode: Decode<T>;
  readonly #maxBytes: number;
  readonly #reader: PieceReader;
  #bytes = 0;
  #any = false;
  onDone: (() => void) | undefined = undefined;

  /** @param maxBytes bound of unread pieces; a single one may be larger */
  constructor(decode: Decode<T>, maxBytes: number, reader: PieceReader) {
    super();
    this.#decode = decode;
    this.#maxBytes = maxBytes;
    this.#reader = reader;
  }

  get unread(): boolean {
    return this.queue.length > 0;
  }

  get done(): boolean {
    return this.ended;
  }

  answer(body: Buffer[], final: boolean): Taken {
    if (this.ended) return "read";
    // A handler may send no pieces at all.
    if (!final || !(this.#any ? isBareEnd(body) : body.length === 0)) {
      const cost = costOf(body);
      if (!final && this.#bytes > 0 && this.#bytes + cost > this.#maxBytes) return "refused";
      this.#bytes += cost;
      this.push(body);
    }
    this.#any = true;
    if (final) this.end();
    return "kept";
  }

  failed(error: unknown): void {
    this.end(error);
  }

  protected read(piece: Buffer[]): T {
    const cost = costOf(piece);
    this.#bytes -= cost;
    this.#reader.read(cost);
    return this.#decode(piece);
  }

  protected override onEnd(): void {
    this.onDone?.();
  }

  protected override onLeft(): void {
    this.#reader.giveUp();
  }
}
