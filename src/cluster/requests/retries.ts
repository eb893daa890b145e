/**
 * How many requests of a service may be repeated though their nodes may still have them: a part of all, so that retries do not multiply the
 * load of nodes that are slow. Pure.
 */
import { MAX_SAVED_RETRIES, RETRIES_A_SECOND, RETRY_SHARE } from "./bounds.js";

export class RetryBudget {
  #saved = MAX_SAVED_RETRIES / RETRIES_A_SECOND;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  /** A request was made. */
  called(): void {
    this.#saved = Math.min(MAX_SAVED_RETRIES, this.#saved + RETRY_SHARE);
  }

  /** @returns whether it may be repeated; then that counts */
  take(now: number): boolean {
    this.#saved = Math.min(MAX_SAVED_RETRIES, this.#saved + ((now - this.#at) * RETRIES_A_SECOND) / 1_000);
    this.#at = now;
    if (this.#saved < 1) return false;
    this.#saved -= 1;
    return true;
  }
}
