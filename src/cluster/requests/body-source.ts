/**
 * Source of a streamed body: the program's async iterable, read only as far as the serving node has granted.
 *
 *   UNREAD ──first grant──> READING ──its end──> DONE
 *      │                       └──the request is over, no more is read: the source is left, as by a `break` ──> DONE
 *      └──the request is over: nothing of it was taken, and it stays the program's
 */
import type { DriverTimer } from "../../core/driver-timer.js";
import type { ShoalError } from "../../core/errors.js";
import { encodeBody, sizeOfBody } from "./body.js";
import type { Call, CallSource } from "./call.js";
import type { RequestCalls } from "./calls.js";
import { SendCredit } from "./stream-window.js";
import type { EncodedBody } from "./wire.js";

interface Emitter {
  on(event: "error", listener: (error: unknown) => void): unknown;
  off(event: "error", listener: (error: unknown) => void): unknown;
}

/** Bytes and strings are not streamed. */
export function isStreamedBody(body: unknown): body is AsyncIterable<unknown> {
  return (
    typeof body === "object" &&
    typeof (body as { readonly [Symbol.asyncIterator]?: unknown } | null)?.[Symbol.asyncIterator] ===
      "function"
  );
}

export class BodySource implements CallSource {
  /** Set once the request has begun. */
  call: Call | undefined = undefined;
  readonly #source: AsyncIterable<unknown>;
  readonly #calls: RequestCalls;
  readonly #timer: DriverTimer;
  readonly #credit = new SendCredit(0, 0);
  #isReading = false;
  #isOver = false;

  constructor(source: AsyncIterable<unknown>, calls: RequestCalls, timer: DriverTimer) {
    this.#source = source;
    this.#calls = calls;
    this.#timer = timer;
    // A Node.js stream may fail unread (a missing file): without a listener the process would end.
    this.#emitter?.on("error", this.#onError);
  }

  get #emitter(): Emitter | undefined {
    const { on, off } = this.#source as Partial<Emitter>;
    return typeof on === "function" && typeof off === "function"
      ? (this.#source as unknown as Emitter)
      : undefined;
  }

  readonly #onError = (error: unknown): void => {
    // Readers get the error too.
    if (!this.#isReading) this.#failed(error);
  };

  granted(parts: number, bytes: number): void {
    if (this.#isOver) return;
    if (parts === 0 && bytes === 0) {
      this.stop();
      return;
    }
    this.#credit.granted(parts, bytes);
    if (this.#isReading) return;
    this.#isReading = true;
    void this.#read();
  }

  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#credit.wake();
    void this.#leave();
  }

  /** Never rejects. */
  async #leave(): Promise<void> {
    try {
      if (!this.#isReading) this.#emitter?.off("error", this.#onError);
      // A silent stream's iterator could not be left before its next value.
      const { destroy } = this.#source as { readonly destroy?: unknown };
      if (this.#isReading && typeof destroy === "function") await destroy.call(this.#source);
    } catch {
      // The request is over, so no one waits for an error of the source.
    }
  }

  /** Never rejects. */
  async #read(): Promise<void> {
    try {
      for await (const part of this.#source) {
        if (this.#isOver) return;
        const body = encodeBody(part);
        while (!this.#credit.hasRoom && !this.#isOver)
          await new Promise<void>((resolve) => this.#credit.whenRoom(resolve));
        if (this.#isOver) return;
        this.#credit.sent(sizeOfBody(body));
        await this.#send(body);
        if (this.#isOver) return;
      }
      if (this.#isOver) return;
      this.#isOver = true;
      if (this.call !== undefined) this.#calls.endBody(this.#timer.now(), this.call);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Settles when the next may be sent. */
  #send(part: EncodedBody): Promise<void> {
    return new Promise((resolve) => {
      if (this.call === undefined) resolve();
      else this.#calls.sendPart(this.#timer.now(), this.call, part, resolve);
    });
  }

  /** The source threw, or yielded an invalid body. A source that was left fails no request. */
  #failed(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.call === undefined) return;
    // Without an error the caller would wait on.
    const why = error ?? new Error(`the body of ${this.call.terms.service} threw no error`);
    this.#calls.giveUp(this.#timer.now(), this.call, why as ShoalError);
  }
}
