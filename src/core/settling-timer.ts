/** The clock of Settling: hears of changes, and says when they have settled. */
import { systemClock } from "./clock.js";
import type { Settling } from "./settling.js";

/** Holds no process. */
export class SettlingTimer {
  readonly #settling: Settling;
  readonly #onSettled: () => void;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(settling: Settling, onSettled: () => void) {
    this.#settling = settling;
    this.#onSettled = onSettled;
  }

  /** Something changed. */
  note(): void {
    this.#settling.note(systemClock.now());
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    const wait = this.#settling.wait(systemClock.now());
    if (wait === undefined || this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#settling.wait(systemClock.now()) !== 0) return this.#arm();
      this.#settling.read();
      this.#onSettled();
    }, wait).unref();
  }
}
