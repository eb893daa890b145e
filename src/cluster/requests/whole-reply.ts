import { ClosedError, InvalidMessageError, type ShoalError } from "../../core/errors.js";
import type { PendingCall } from "../../patterns/kit/calls.js";
import type { CallSink } from "./call.js";
import type { ServiceRequestOptions } from "./types.js";
import type { BodyForm, Headers } from "./wire.js";

export type Decode = (form: BodyForm, body: Buffer) => unknown;

export class WholeReply implements CallSink {
  readonly #service: string;
  readonly #pending: PendingCall<unknown>;
  readonly #decode: Decode;
  readonly #onHeaders: ServiceRequestOptions["onReplyHeaders"];

  constructor(
    service: string,
    pending: PendingCall<unknown>,
    decode: Decode,
    onHeaders: ServiceRequestOptions["onReplyHeaders"],
  ) {
    this.#service = service;
    this.#pending = pending;
    this.#decode = decode;
    this.#onHeaders = onHeaders;
  }

  reply(form: BodyForm, body: Buffer, headers: Headers | undefined): void {
    let value: unknown;
    try {
      value = this.#decode(form, body);
    } catch (error) {
      const text = `the reply of ${this.#service} is refused: ${(error as Error).message}`;
      this.#pending.reject(
        error instanceof InvalidMessageError ? error : new InvalidMessageError(text, { cause: error }),
      );
      return;
    }
    try {
      if (headers !== undefined) this.#onHeaders?.(headers);
    } catch (error) {
      this.#pending.reject(error as ShoalError); // The program's own.
      return;
    }
    this.#pending.resolve(value);
  }

  part(): string {
    return "not-a-stream";
  }

  end(): void {
    this.#pending.resolve(undefined);
  }

  fail(error: ShoalError): void {
    if (error instanceof ClosedError) this.#pending.abandon(error);
    else this.#pending.reject(error);
  }
}
