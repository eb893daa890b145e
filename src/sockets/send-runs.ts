/**
 * A socket's waiting calls of `sendMany`, which continue while it closes:
 *
 *   begin --message by message, as there is room--> end
 *     close: drained, or the linger is over --> abandon: no further message is sent
 */
import { ClosedError } from "../core/errors.js";
import type { Outbox } from "./outbox.js";

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

  get waiting(): number {
    return this.#sender.outbox.waiting + this.#running;
  }

  /** @throws ClosedError `EAGAIN` after {@link abandon}; otherwise as `assertFree` */
  assertGoing(): void {
    if (this.#abandoned)
      throw new ClosedError("EAGAIN", "The socket closed before all messages could be sent");
    if (this.#sender.reserved) this.#sender.assertFree();
  }

  async drained(): Promise<void> {
    const { outbox } = this.#sender;
    for (;;) {
      await outbox.drained();
      if (this.#running === 0 || this.#sender.sendsOutOfTurn) return;
      // Between two messages a call has nothing in the outbox.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  abandon(): number {
    this.#abandoned = true;
    return this.#sender.outbox.abandon();
  }
}
