/**
 * The delay before reconnecting: the interval, doubled with each failure up to the maximum, and a random part
 * against reconnects in step.
 */
import type { OptionValues } from "../../core/option-table.js";
import { MAX_TIMEOUT } from "../../core/waiter.js";

/** ms for an interval of 0, which doubling would not grow. */
const LEAST_INTERVAL = 10;

export type ReconnectOptions = Readonly<Pick<OptionValues, "reconnectInterval" | "reconnectMaxInterval">>;

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
    const { reconnectInterval, reconnectMaxInterval } = this.#options;
    if (reconnectInterval < 0) return undefined;
    const interval = reconnectInterval || LEAST_INTERVAL;
    const most = Math.max(interval, reconnectMaxInterval);
    const base = Math.min(most, interval * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.min(MAX_TIMEOUT, Math.round(base + this.#random() * base * 0.5));
  }

  reset(): void {
    this.#failures = 0;
  }
}
