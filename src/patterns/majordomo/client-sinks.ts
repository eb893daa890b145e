/** What a caller gets for a request: a promise, an iteration, or what all workers said. */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { ShoalError } from "../../core/errors.js";
import { Calls } from "../../sockets/calls.js";
import type { CallSink, Taken } from "./client-call.js";
import { pieceCost } from "./stream-credit.js";

/** What decodes an answer's frames. May throw. */
export type Decode<T> = (frames: Buffer[]) => T;

/** An end without a body of its own, after pieces: only the form that MDP wants. */
function isBareEnd(body: readonly Buffer[]): boolean {
  return body.length === 0 || (body.length === 1 && (body[0] as Buffer).length === 0);
}

/** The whole answer at once. */
export class WholeSink<T> implements CallSink {
  /** What the caller holds. */
  promise: Promise<T> | undefined = undefined;
  readonly #decode: Decode<T>;
  readonly #maxBytes: number;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: ShoalError) => void;
  #joined: Buffer[] | undefined = undefined;
  #bytes = 0;

  /** @param maxBytes of pieces that are joined */
  constructor(
    decode: Decode<T>,
    maxBytes: number,
    resolve: (value: T) => void,
    reject: (error: ShoalError) => void,
  ) {
    this.#decode = decode;
    this.#maxBytes = maxBytes;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  answer(body: Buffer[], final: boolean): Taken {
    if (!final) {
      this.#bytes += pieceCost(body);
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
      this.#reject(error as ShoalError);
    }
    return "read";
  }

  failed(error: ShoalError, closing = false): void {
    if (closing) this.promise?.catch(ignore);
    this.#reject(error);
  }
}

/** What a reader of pieces tells of itself. */
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
  /** Told once, when nothing more comes. */
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

  answer(body: Buffer[], final: boolean): Taken {
    if (this.#done) return "read";
    if (!final || !this.#any || !isBareEnd(body)) {
      const cost = pieceCost(body);
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

  /** The reader leaves the loop: the worker is told. */
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
        const cost = pieceCost(piece);
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

function ignore(): void {}
