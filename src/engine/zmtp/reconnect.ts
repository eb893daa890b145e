/**
 * How long to wait before the next attempt: the interval, doubled with every
 * failure up to the maximum, with a random part so that the peers of a server
 * that restarts do not come back in step. Pure.
 */

/**
 * What an interval of 0 is taken for, in ms: as soon as may be. A peer that refuses at once would otherwise be dialled
 * as often as the event loop turns, since doubling 0 does not grow.
 */
export const LEAST_INTERVAL = 10;

export interface ReconnectOptions {
  /** ms; -1: never again, 0: `LEAST_INTERVAL`. */
  readonly interval: number;
  /** ms; 0 or less than the interval: it does not grow. */
  readonly maxInterval: number;
}

export class Backoff {
  readonly #options: ReconnectOptions;
  readonly #random: () => number;
  #failures = 0;

  /** @param random 0 to 1 */
  constructor(options: ReconnectOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** ms until the next attempt; `undefined`: no further attempt. */
  next(): number | undefined {
    const { maxInterval } = this.#options;
    if (this.#options.interval < 0) return undefined;
    const interval = this.#options.interval || LEAST_INTERVAL;
    const most = Math.max(interval, maxInterval);
    const base = Math.min(most, interval * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    // Between the interval and half as much again, never beyond the maximum by more than that.
    return Math.round(base + this.#random() * base * 0.5);
  }

  /** A connection stood. */
  reset(): void {
    this.#failures = 0;
  }
}
