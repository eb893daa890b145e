/**
 * The delay before reconnecting: the interval, doubled with each failure up to the maximum, and a random part
 * against reconnects in step.
 */

/** ms for an interval of 0, which doubling would not grow. */
export const LEAST_INTERVAL = 10;

export interface ReconnectOptions {
  /** ms; -1: never, 0: `LEAST_INTERVAL`. */
  readonly interval: number;
  /** ms; no growth if less than the interval. */
  readonly maxInterval: number;
}

export class Backoff {
  readonly #options: ReconnectOptions;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: ReconnectOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** ms until the next attempt; `undefined`: none. */
  next(): number | undefined {
    const { maxInterval } = this.#options;
    if (this.#options.interval < 0) return undefined;
    const interval = this.#options.interval || LEAST_INTERVAL;
    const most = Math.max(interval, maxInterval);
    const base = Math.min(most, interval * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.round(base + this.#random() * base * 0.5);
  }

  reset(): void {
    this.#failures = 0;
  }
}
