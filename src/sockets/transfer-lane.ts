/** A shortcut for `trySend` and `sendMany` of single frames given away to a socket of the same thread. */
import type { FramePassing } from "../engine/engine.js";
import type { Outbox } from "./outbox.js";
import type { Counters } from "./stats.js";

/** The global is a getter in Node.js (engine/zmtp/transferred.ts). */
const Bytes = Buffer;

export class TransferLane {
  readonly #passing: FramePassing;
  readonly #outbox: Outbox;
  readonly #counters: Counters;
  /** Most bytes of a message. */
  readonly #largest: number;

  constructor(passing: FramePassing, outbox: Outbox, counters: Counters, largest: number | undefined) {
    this.#passing = passing;
    this.#outbox = outbox;
    this.#counters = counters;
    this.#largest = largest ?? Number.MAX_SAFE_INTEGER;
  }

  /** @returns `false` if the outbox has to decide */
  trySend(message: unknown): boolean {
    if (!this.#isFor(message)) return false;
    if (this.#outbox.waiting > 0 || !this.#passing.pass(message)) return false;
    const counters = this.#counters;
    counters.sent += 1;
    counters.delivered += 1;
    counters.bytesSent += message.length;
    return true;
  }

  takes(messages: readonly unknown[]): boolean {
    for (let i = 0; i < messages.length; i++) if (!this.#isFor(messages[i])) return false;
    return true;
  }

  /** Sends messages from index `from` on while there is room, if {@link takes}. @returns their number */
  passMany(messages: readonly Buffer[], from: number): number {
    if (this.#outbox.waiting > 0) return 0;
    const passing = this.#passing;
    let bytes = 0;
    let at = from;
    for (; at < messages.length; at++) {
      const message = messages[at] as Buffer;
      if (!passing.pass(message)) break;
      bytes += message.length;
    }
    const counters = this.#counters;
    counters.sent += at - from;
    counters.delivered += at - from;
    counters.bytesSent += bytes;
    return at - from;
  }

  /** Not empty: all messages share the frame of `null`, which must not be given away. */
  #isFor(message: unknown): message is Buffer {
    return message instanceof Bytes && message.length > 0 && message.length <= this.#largest;
  }
}
