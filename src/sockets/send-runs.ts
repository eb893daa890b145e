/**
 * The calls of `sendMany` of one socket that wait for room. They go on while it closes, as sends that wait do:
 *
 *   begin --message by message, as there is room--> end
 *     close: drained, none is left that could go on, or the linger is over --> abandon: none sends anything more
 */
import { ClosedError } from "../core/errors.js";
import type { Outbox } from "./outbox.js";

/** Of the socket. */
interface Sender {
  readonly outbox: Outbox;
  readonly sendsOutOfTurn: boolean;
  readonly reserved: boolean;
  assertFree(): void;
}

export class SendRuns {
  readonly #sender: Sender;
  #running = 0;
  #abandoned = false;

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  begin(): void {
    this.#running += 1;
  }

  end(): void {
    this.#running -= 1;
  }

  /** Sends that wait for room, and calls. */
  get waiting(): number {
    return this.#sender.outbox.waiting + this.#running;
  }

  /** Before each message. @throws ClosedError `EAGAIN` after {@link abandon}; else as `assertFree` of a socket that is open */
  assertGoing(): void {
    if (this.#abandoned)
      throw new ClosedError("EAGAIN", "The socket closed before all messages could be sent");
    if (this.#sender.reserved) this.#sender.assertFree();
  }

  /** As of an outbox. */
  async drained(): Promise<void> {
    const { outbox } = this.#sender;
    for (;;) {
      await outbox.drained();
      if (this.#running === 0 || this.#sender.sendsOutOfTurn) return;
      // Between two of its messages a call has nothing in the outbox: it goes on within this turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** As of an outbox. */
  abandon(): number {
    this.#abandoned = true;
    return this.#sender.outbox.abandon();
  }
}
