/** A caller's single reply. */
import { ClosedError, InvalidMessageError, type ShoalError } from "../../core/errors.js";
import type { Waiter } from "../../core/waiter.js";
import type { CallSink } from "./call.js";
import type { ServiceRequestOptions } from "./types.js";
import type { BodyForm, Headers } from "./wire.js";

/** Decodes a body to the program's value. */
export type Decode = (form: BodyForm, body: Buffer) => unknown;

export class WholeReply implements CallSink {
  readonly #service: string;
  readonly #waiter: Waiter<unknown>;
  readonly #decode: Decode;
  readonly #onHeaders: ServiceRequestOptions["onReplyHeaders"];

  constructor(
    service: string,
    waiter: Waiter<unknown>,
    decode: Decode,
    onHeaders: ServiceRequestOptions["onReplyHeaders"],
  ) {
    this.#service = service;
    this.#waiter = waiter;
    this.#decode = decode;
    this.#onHeaders = onHeaders;
  }

  reply(form: BodyForm, body: Buffer, headers: Headers | undefined): void {
    let value: unknown;
    try {
      value = this.#decode(form, body);
    } catch (error) {
      const text = `the reply of ${this.#service} is refused: ${(error as Error).message}`;
      this.#waiter.reject(
        error instanceof InvalidMessageError ? error : new InvalidMessageError(text, { cause: error }),
      );
      return;
    }
    try {
      if (headers !== undefined) this.#onHeaders?.(headers);
    } catch (error) {
      this.#waiter.reject(error as ShoalError); // The program's own.
      return;
    }
    this.#waiter.resolve(value);
  }

  part(): string {
    return "not-a-stream";
  }

  end(): void {
    this.#waiter.resolve(undefined);
  }

  fail(error: ShoalError): void {
    if (error instanceof ClosedError) this.#waiter.abandon(error);
    else this.#waiter.reject(error);
  }
}
