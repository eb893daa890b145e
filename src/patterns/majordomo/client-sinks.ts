/** What a caller gets for a request: a promise, an iteration, or what all workers said. */

import type { ShoalError } from "../../core/errors.js";
import { RingBuffer } from "../../core/ring-buffer.js";
import { ServiceError } from "../common/service-error.js";
import type { CallSink } from "./client-call.js";
import { bytesOf } from "./protocol.js";

/** Bytes of one answer's pieces that are joined or wait to be read. */
const MAX_PIECE_BYTES = 67_108_864;

/** Pieces of one answer that wait to be read. */
const MAX_PIECES = 10_000;

/** What decodes an answer's frames. May throw. */
export type Decode<T> = (frames: Buffer[]) => T;

/** An end without a body of its own, after pieces: only the form that MDP wants. */
function isBareEnd(body: readonly Buffer[]): boolean {
  return body.length === 0 || (body.length === 1 && (body[0] as Buffer).length === 0);
}

/** The whole answer at once. */
export class WholeSink<T> implements CallSink {
  readonly #decode: Decode<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: ShoalError) => void;
  #joined: Buffer[] | undefined = undefined;
  #bytes = 0;

  constructor(decode: Decode<T>, resolve: (value: T) => void, reject: (error: ShoalError) => void) {
    this.#decode = decode;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  answer(body: Buffer[], final: boolean): void {
    let whole = body;
    if (!final || this.#joined !== undefined) {
      this.#bytes += bytesOf(body);
      this.#joined ??= [];
      if (this.#bytes <= MAX_PIECE_BYTES && !(final && isBareEnd(body))) this.#joined.push(...body);
      whole = this.#joined;
    }
    if (!final) return;
    if (this.#bytes > MAX_PIECE_BYTES) {
      this.#reject(new ServiceError("too-large", "The answer's pieces"));
      return;
    }
    try {
      this.#resolve(this.#decode(whole));
    } catch (error) {
      this.#reject(error as ShoalError);
    }
  }

  failed(error: ShoalError): void {
    this.#reject(error);
  }
}

/** Each piece as it comes. */
export class PieceSink<T> implements CallSink, AsyncIterableIterator<T, undefined> {
  readonly #decode: Decode<T>;
  readonly #pieces = new RingBuffer<Buffer[]>();
  readonly #giveUp: () => void;
  #bytes = 0;
  #any = false;
  #done = false;
  #error: unknown;
  #wake: (() => void) | undefined;
  /** Told once, when nothing more comes. */
  onDone: (() => void) | undefined = undefined;

  /** @param giveUp the reader wants no more, or is too slow */
  constructor(decode: Decode<T>, giveUp: () => void) {
    this.#decode = decode;
    this.#giveUp = giveUp;
  }

  answer(body: Buffer[], final: boolean): void {
    if (this.#done) return;
    if (!final || !this.#any || !isBareEnd(body)) {
      this.#pieces.push(body);
      this.#bytes += bytesOf(body);
    }
    this.#any = true;
    if (final) this.#finish();
    else if (this.#pieces.length > MAX_PIECES || this.#bytes > MAX_PIECE_BYTES) {
      this.failed(new ServiceError("too-large", "The pieces that wait to be read"));
      this.#giveUp();
    }
    this.#wake?.();
  }

  failed(error: unknown): void {
    if (this.#done) return;
    this.#finish();
    this.#error = error;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#bytes -= bytesOf(piece);
        return { value: this.#decode(piece), done: false };
      }
      if (this.#error !== undefined) {
        const error = this.#error;
        this.#error = undefined;
        throw error;
      }
      if (this.#done) return { value: undefined, done: true };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The reader leaves the loop: the worker is told. */
  return(): Promise<IteratorResult<T, undefined>> {
    if (!this.#done) {
      this.#finish();
      this.#giveUp();
    }
    this.#pieces.clear();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #finish(): void {
    this.#done = true;
    this.onDone?.();
  }
}
