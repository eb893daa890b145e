/** The calls of a client: what is asked, and what its caller gets: a promise or an iteration. */

import { Link } from "../../core/collections/linked-list.js";
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { ShoalError } from "../../core/errors.js";
import { costOf } from "../../core/frame-cost.js";
import { ignore } from "../../core/ignore.js";
import { Calls } from "../../sockets/calls.js";
import { ReadWindow } from "../kit/window.js";
import { Body, Dialect, EMPTY, type Frames, type RequestId } from "./wire.js";

/** What became of a piece: its reader has it, or will read it later; or there is no room for it. */
export type Taken = "read" | "kept" | "refused";

/** Who waits for a call. None of these may throw. */
export interface CallSink {
  /** A piece of the answer, or the last of it, which is never refused. */
  answer(body: Buffer[], final: boolean): Taken;
  /** Whether pieces wait to be read: the time for the next one does not run meanwhile. */
  readonly unread?: boolean;
  /** Whether nothing more comes. */
  readonly done?: boolean;
  /** Called once, when nothing more comes. */
  onDone?: (() => void) | undefined;
  /** @param closing the program closes its client: a caller that does not look at its promise is no error then */
  failed(error: ShoalError, closing?: boolean): void;
}

/** A service as its client knows it. */
export interface CalledService {
  readonly name: string;
  /** The name's bytes. */
  readonly frame: Buffer;
}

/** How a service is asked. */
export interface CallTerms {
  /** ms of one attempt; 0: no limit. */
  readonly timeout: number;
  /** Attempts after the first. */
  readonly retries: number;
  /** ms of all of it; 0: no limit. */
  readonly total: number;
  /** For the handler, encoded. */
  readonly headers: Buffer;
  /** The same with those of who observes the client. A plain broker does not get them. */
  readonly observed?: Buffer;
}

/** What is asked. */
export interface Asked {
  readonly service: CalledService;
  readonly body: Frames;
  readonly terms: CallTerms;
  readonly sink: CallSink;
}

/** A connection to a broker (client-connections.ts). */
export class Connection {
  readonly number: number;
  readonly endpoint: string;
  /** What its broker speaks; `undefined` before its answer. */
  dialect: Dialect | undefined = undefined;
  /** It gets no further request. */
  isLeft = false;
  /** Requests that were sent over it and have not ended. */
  calls = 0;
  /** The request of a plain broker. */
  call: Call | undefined = undefined;
  /** Identifies the broker's life. */
  incarnation: Buffer = EMPTY;
  /** ms between heartbeats. */
  interval = 0;
  lastSeen = 0;
  /** When a heartbeat or an answer is due; `undefined` while nothing is wanted of the broker. */
  dueAt: number | undefined = undefined;

  constructor(number: number, endpoint: string) {
    this.number = number;
    this.endpoint = endpoint;
  }

  /** Whether its broker is shoal's. */
  get isExtended(): boolean {
    return this.dialect === Dialect.Shoal;
  }

  get isPlain(): boolean {
    return this.dialect !== undefined && this.dialect !== Dialect.Shoal;
  }
}

export class Call {
  readonly id: RequestId;
  readonly service: CalledService;
  readonly body: Body;
  readonly terms: CallTerms;
  readonly sink: CallSink;
  /** Of the request. */
  readonly bytes: number;
  /** When its time is over; 0: never. */
  expiresAt = 0;
  /** Attempts that may still be made. */
  retries: number;
  /** Where it was sent to; `undefined`: nowhere yet. */
  connection: Connection | undefined = undefined;
  /** Pieces of its answer that have come. */
  pieces = 0;
  /** Of an answer in pieces. */
  #window: ReadWindow | undefined = undefined;
  /** The broker says that no worker offers the service. */
  noWorkers = false;
  deadline = 0;
  readonly deadlineLink: Link<Call> = new Link<Call>(this);
  /** In the queue. Made for those that have to wait. */
  placeLink: Link<Call> | undefined = undefined;

  constructor(id: RequestId, { service, body, terms, sink }: Asked) {
    this.id = id;
    this.service = service;
    this.body = Body.of(body);
    this.terms = terms;
    this.sink = sink;
    this.bytes = this.body.cost;
    this.retries = terms.retries;
  }

  get window(): ReadWindow {
    this.#window ??= new ReadWindow();
    return this.#window;
  }

  get place(): Link<Call> {
    this.placeLink ??= new Link<Call>(this);
    return this.placeLink;
  }

  /** ms of one attempt; 0: no limit. */
  get attemptTimeout(): number {
    return this.terms.timeout;
  }

  get headers(): Buffer {
    return this.terms.headers;
  }

  get observed(): Buffer {
    return this.terms.observed ?? EMPTY;
  }

  /** Whether it may not be sent again: half an answer is not continued. */
  get final(): boolean {
    return this.retries === 0 || this.pieces > 0;
  }
}

/** What decodes an answer's frames. May throw. */
export type Decode<T> = (frames: Buffer[]) => T;

/** An end without a body of its own, after pieces: only the form that MDP wants. */
function isBareEnd(body: readonly Buffer[]): boolean {
  return body.length === 0 || (body.length === 1 && (body[0] as Buffer).length === 0);
}

/** What settles the promise that was made last. */
const captured: { resolve: (value: never) => void; reject: (error: unknown) => void } = {
  resolve: ignore,
  reject: ignore,
};

/** For all promises of requests: a closure for each was a tenth of what a request allocates. */
function capture(resolve: (value: never) => void, reject: (error: unknown) => void): void {
  captured.resolve = resolve;
  captured.reject = reject;
}

/** The whole answer at once. */
export class WholeSink<T> implements CallSink {
  /** What the caller holds. */
  readonly promise: Promise<T> = new Promise<T>(capture);
  readonly #resolve = captured.resolve as (value: T) => void;
  readonly #reject = captured.reject;
  readonly #decode: Decode<T>;
  readonly #maxBytes: number;
  #joined: Buffer[] | undefined = undefined;
  #bytes = 0;
  done = false;
  onDone: (() => void) | undefined = undefined;

  /** @param maxBytes of pieces that are joined */
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

  failed(error: ShoalError, closing = false): void {
    if (closing) this.promise.catch(ignore);
    this.#reject(error);
    this.#finish();
  }

  #finish(): void {
    this.done = true;
    this.onDone?.();
  }
}

/** What a reader of pieces reports. */
export interface PieceReader {
  /** It has read a piece. */
  read(cost: number): void;
  /** It wants no more. */
  giveUp(): void;
}

/** Each piece as it comes. */
export class PieceSink<T> implements CallSink, AsyncIterableIterator<T, undefined> {
  readonly #decode: Decode<T>;
  readonly #maxBytes: number;
  readonly #pieces = new RingBuffer<Buffer[]>();
  readonly #reader: PieceReader;
  #bytes = 0;
  #any = false;
  #done = false;
  #error: unknown;
  /** Readers that wait. */
  readonly #reads = new Calls();
  /** Who waits for a piece, in the order of their calls. */
  readonly #waiting = new RingBuffer<() => void>();
  onDone: (() => void) | undefined = undefined;

  /** @param maxBytes of pieces that wait to be read; one always may */
  constructor(decode: Decode<T>, maxBytes: number, reader: PieceReader) {
    this.#decode = decode;
    this.#maxBytes = maxBytes;
    this.#reader = reader;
  }

  get unread(): boolean {
    return this.#pieces.length > 0;
  }

  get done(): boolean {
    return this.#done;
  }

  answer(body: Buffer[], final: boolean): Taken {
    if (this.#done) return "read";
    // Without frames, an end is only that: a handler may give no pieces at all.
    if (!final || !(this.#any ? isBareEnd(body) : body.length === 0)) {
      const cost = costOf(body);
      if (!final && this.#bytes > 0 && this.#bytes + cost > this.#maxBytes) return "refused";
      this.#pieces.push(body);
      this.#bytes += cost;
    }
    this.#any = true;
    if (final) this.#finish();
    else this.#waiting.shift()?.();
    return "kept";
  }

  failed(error: unknown, closing = false): void {
    if (this.#done) return;
    if (closing) this.#reads.abandon();
    this.#error = error;
    this.#finish();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const waits = this.#pieces.length === 0 && !this.#done;
    return waits ? this.#reads.run(() => this.#next()) : this.#next();
  }

  /** The reader leaves the loop: the request is cancelled. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#pieces.clear();
    this.#bytes = 0;
    if (!this.#done) {
      this.#finish();
      this.#reader.giveUp();
    }
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        const cost = costOf(piece);
        this.#bytes -= cost;
        this.#reader.read(cost);
        return { value: this.#decode(piece), done: false };
      }
      if (this.#error !== undefined) {
        const error = this.#error;
        this.#error = undefined;
        throw error;
      }
      if (this.#done) return { value: undefined, done: true };
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  #finish(): void {
    this.#done = true;
    for (let wake = this.#waiting.shift(); wake !== undefined; wake = this.#waiting.shift()) wake();
    this.onDone?.();
  }
}
