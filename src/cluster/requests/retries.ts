/**
 * Retry budget of a service for requests that their nodes may still have: a share of all, so that retries do not
 * multiply the load of slow nodes. Pure.
 */
import { MAX_SAVED_RETRIES, RETRIES_A_SECOND, RETRY_SHARE } from "./bounds.js";

export class RetryBudget {
  #saved = MAX_SAVED_RETRIES / RETRIES_A_SECOND;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  called(): void {
    this.#saved = Math.min(MAX_SAVED_RETRIES, this.#saved + RETRY_SHARE);
  }

  /** @returns whether it may be repeated, which is then counted */
  take(now: number): boolean {
    this.#saved = Math.min(MAX_SAVED_RETRIES, this.#saved + ((now - this.#at) * RETRIES_A_SECOND) / 1_000);
    this.#at = now;
    if (this.#saved < 1) return false;
    this.#saved -= 1;
    return true;
  }
}
