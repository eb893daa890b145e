/**
 * Waits until changes have settled: a rule (`Debounce`, pure) and its timer.
 *
 *   note --quiet ms without another--> due
 *     +-------patience ms at most----> due
 */
import { systemClock } from "./clock.js";

/** The rule: when something that is being written is worth reading. Pure. */
export class Debounce {
  readonly #quiet: number;
  readonly #patience: number;
  #first: number | undefined;
  #last = 0;

  /**
   * @param quiet ms without a change after which it counts as written
   * @param patience ms after the first change after which it is read in any case
   */
  constructor(quiet: number, patience: number) {
    this.#quiet = quiet;
    this.#patience = patience;
  }

  /** Something changed. */
  note(now: number): void {
    this.#first ??= now;
    this.#last = now;
  }

  /** ms to wait; `undefined` when nothing has changed. */
  wait(now: number): number | undefined {
    if (this.#first === undefined) return undefined;
    return Math.max(0, Math.min(this.#last + this.#quiet, this.#first + this.#patience) - now);
  }

  /** It is read now. */
  read(): void {
    this.#first = undefined;
  }
}

/** Calls `onSettled` once changes have settled. Its timer does not keep the process alive. */
export class DebounceTimer {
  readonly #rule: Debounce;
  readonly #onSettled: () => void;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(rule: Debounce, onSettled: () => void) {
    this.#rule = rule;
    this.#onSettled = onSettled;
  }

  /** Something changed. */
  note(): void {
    this.#rule.note(systemClock.now());
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    const wait = this.#rule.wait(systemClock.now());
    if (wait === undefined || this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#rule.wait(systemClock.now()) !== 0) return this.#arm();
      this.#rule.read();
      this.#onSettled();
    }, wait).unref();
  }
}
