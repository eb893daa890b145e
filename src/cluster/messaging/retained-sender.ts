/** Sends items of retained values, and waits for room: a peer that is slow holds up its own alone. */
import { MessageKind, type SendResult } from "./parts.js";

/** What they are counted under where a link drops them. */
const PREFIX = "$retained";

export interface RetainedSenderEffects {
  send(to: string, kind: number, item: Uint8Array, prefix: string, uncounted: boolean): SendResult;
  /** Settles when there is room. @throws when the peer is gone */
  room(to: string): Promise<void>;
}

export class RetainedSender {
  readonly #effects: RetainedSenderEffects;
  #closed = false;

  constructor(effects: RetainedSenderEffects) {
    this.#effects = effects;
  }

  async send(to: string, item: Buffer): Promise<SendResult> {
    for (;;) {
      const result = this.#effects.send(to, MessageKind.RETAINED, item, PREFIX, true);
      if (result !== "full" || this.#closed) return result;
      try {
        await this.#effects.room(to);
      } catch {
        // The peer is gone.
        return "unreachable";
      }
      await turn();
    }
  }

  close(): void {
    this.#closed = true;
  }
}

/** The event loop turns. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
