/**
 * Flow control of a stream: its receiver grants credit, and the sender stops without any.
 *
 *   sender   SendCredit: granted, not used ──parts──>   receiver   ReceiveWindow: unread
 *                       <──credit when half of the window was read──
 *
 * A part that begins within the credit is sent whole, so that one larger than the window passes.
 */
import { withTimeout } from "./waiter.js";

export class SendCredit {
  #parts: number;
  #bytes: number;
  readonly #timeout: number;
  #onRoom: (() => void) | undefined = undefined;

  /** @param timeout ms of a wait for credit; 0: no limit */
  constructor(parts: number, bytes: number, timeout = 0) {
    this.#parts = parts;
    this.#bytes = bytes;
    this.#timeout = timeout;
  }

  get hasRoom(): boolean {
    return this.#parts > 0 && this.#bytes > 0;
  }

  sent(bytes: number): void {
    this.#parts -= 1;
    this.#bytes -= bytes;
  }

  /** Bounded against overflow. */
  granted(parts: number, bytes: number): void {
    this.#parts = Math.min(this.#parts + parts, Number.MAX_SAFE_INTEGER);
    this.#bytes = Math.min(this.#bytes + bytes, Number.MAX_SAFE_INTEGER);
    if (this.hasRoom) this.wake();
  }

  /** Settles when there is room, after the timeout, or at `wake`. */
  async room(): Promise<void> {
    const isThere = new Promise<void>((resolve) => {
      this.#onRoom = resolve;
    });
    await withTimeout(isThere, this.#timeout === 0 ? -1 : this.#timeout);
  }

  wake(): void {
    const onRoom = this.#onRoom;
    this.#onRoom = undefined;
    onRoom?.();
  }
}

/** What the peer may send, in bytes or parts. */
export class ReceiveWindow {
  size: number;
  unread = 0;
  #ungranted = 0;

  constructor(size: number) {
    this.size = size;
  }

  get allowed(): number {
    return this.size - this.unread - this.#ungranted;
  }

  /** @returns the credit to grant now */
  read(amount: number): number {
    this.unread -= amount;
    this.#ungranted += amount;
    if (2 * this.#ungranted < this.size) return 0;
    const granted = this.#ungranted;
    this.#ungranted = 0;
    return granted;
  }
}
