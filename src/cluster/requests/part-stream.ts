/** Reader of a streamed reply or body: parts in order, and its end. Leaving the loop cancels it. */
import { owned } from "../../core/bytes.js";
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { ShoalError } from "../../core/errors.js";
import type { CallSink } from "./call.js";
import { ReceiveWindow } from "./stream-window.js";
import type { BodyForm } from "./wire.js";

interface Part {
  readonly form: BodyForm;
  readonly body: Buffer;
}

interface Reader {
  resolve(result: IteratorResult<unknown, undefined>): void;
  reject(error: unknown): void;
}

const DONE: IteratorResult<unknown, undefined> = Object.freeze({ done: true, value: undefined });

export class PartStream implements CallSink, AsyncIterableIterator<unknown, undefined> {
  over?: () => void;
  readonly #decode: (form: BodyForm, body: Buffer) => unknown;
  readonly #grant: (parts: number, bytes: number) => void;
  readonly #window: ReceiveWindow;
  readonly #parts = new RingBuffer<Part>();
  readonly #readers = new RingBuffer<Reader>();
  #isOver = false;
  #error: ShoalError | undefined = undefined;

  /**
   * @param decode throws for a nonconforming part
   * @param grant gets parts and bytes more for the sender; 0 and 0: stop
   */
  constructor(
    maxParts: number,
    maxBytes: number,
    decode: (form: BodyForm, body: Buffer) => unknown,
    grant: (parts: number, bytes: number) => void,
  ) {
    this.#window = new ReceiveWindow(maxParts, maxBytes);
    this.#decode = decode;
    this.#grant = grant;
  }

  // --- Arrivals
  // --------------------------------------------------------------------------------------------------------

  part(form: BodyForm, body: Buffer): string | undefined {
    if (!this.#window.onPart(body.length)) return "window";
    // The other end does not know yet that the reader left.
    if (this.#isOver) return undefined;
    this.#parts.push({ form, body: owned(body) });
    this.#serve();
    return undefined;
  }

  /** A reply that is not streamed is its only part. */
  reply(form: BodyForm, body: Buffer): void {
    this.#parts.push({ form, body: owned(body) });
    this.end();
  }

  end(): void {
    this.#over(undefined);
  }

  fail(error: ShoalError): void {
    this.#over(error);
  }

  // --- Reading
  // ---------------------------------------------------------------------------------------------------------

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#serve();
    });
  }

  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#parts.clear();
    this.#error = undefined;
    if (!this.#isOver) {
      this.#grant(0, 0);
      this.#over(undefined);
    }
    return DONE;
  }

  #over(error: ShoalError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.#serve();
  }

  #serve(): void {
    while (this.#readers.length > 0) {
      const part = this.#parts.shift();
      if (part === undefined && !this.#isOver) return;
      const reader = this.#readers.shift() as Reader;
      if (part !== undefined) this.#give(reader, part);
      else if (this.#error === undefined) reader.resolve(DONE);
      else {
        reader.reject(this.#error);
        // An iterator fails once.
        this.#error = undefined;
      }
    }
  }

  #give(reader: Reader, { form, body }: Part): void {
    const grant = this.#isOver ? undefined : this.#window.onRead(body.length);
    if (grant !== undefined) this.#grant(grant.parts, grant.bytes);
    try {
      reader.resolve({ done: false, value: this.#decode(form, body) });
    } catch (error) {
      reader.reject(error);
      void this.return();
    }
  }
}
