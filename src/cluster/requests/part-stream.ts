/** Reader of a streamed reply: parts in order, and its end. Leaving the loop cancels it. */
import { owned } from "../../core/bytes.js";
import { ReceiveWindow } from "../../core/credit.js";
import type { ShoalError } from "../../core/errors.js";
import { PushIterator } from "../../core/push-iterator.js";
import type { CallSink } from "./call.js";
import type { BodyForm } from "./wire.js";

interface Part {
  readonly form: BodyForm;
  readonly body: Buffer;
}

export class PartStream extends PushIterator<Part, unknown> implements CallSink {
  over?: () => void;
  readonly #decode: (form: BodyForm, body: Buffer) => unknown;
  readonly #grant: (parts: number, bytes: number) => void;
  readonly #parts: ReceiveWindow;
  readonly #bytes: ReceiveWindow;

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
    super();
    this.#parts = new ReceiveWindow(maxParts);
    this.#bytes = new ReceiveWindow(maxBytes);
    this.#decode = decode;
    this.#grant = grant;
  }

  part(form: BodyForm, body: Buffer): string | undefined {
    if (this.#parts.allowed <= 0 || this.#bytes.allowed <= 0) return "window";
    this.#parts.unread += 1;
    this.#bytes.unread += body.length;
    // The other end does not know yet that the reader left.
    if (!this.ended) this.push({ form, body: owned(body) });
    return undefined;
  }

  /** A reply that is not streamed is its only part, and grants nothing. */
  reply(form: BodyForm, body: Buffer): void {
    this.queue.push({ form, body: owned(body) });
    this.end();
  }

  fail(error: ShoalError): void {
    this.end(error);
  }

  protected read({ form, body }: Part): unknown {
    const parts = this.#parts.read(1);
    const bytes = this.#bytes.read(body.length);
    if (!this.ended && (parts > 0 || bytes > 0)) this.#grant(parts, bytes);
    return this.#decode(form, body);
  }

  protected override onLeft(): void {
    this.#grant(0, 0);
  }
}
