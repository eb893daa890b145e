/**
 * A publisher's subscriptions, counted by prefix. Pure.
 *
 * Peers choose the prefixes, so only a bounded number is counted; further ones work.
 */
import { SteadyMap } from "../core/collections/steady-map.js";

export const MAX_COUNTED_PREFIXES = 100_000;

export class SubscriptionTable {
  readonly #counts = new SteadyMap<number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(prefix: Buffer): void {
    const key = prefix.toString("latin1");
    const count = this.#counts.get(key);
    if (count === undefined && this.#counts.size >= MAX_COUNTED_PREFIXES) return;
    this.#counts.set(key, (count ?? 0) + 1);
    this.#total += 1;
  }

  remove(prefix: Buffer): void {
    const key = prefix.toString("latin1");
    const count = this.#counts.get(key);
    if (count === undefined) return;
    this.#total -= 1;
    if (count === 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
  }

  /** Subscriptions that match this first frame. */
  matching(topic: Buffer): number {
    const text = topic.toString("latin1");
    let count = 0;
    for (let length = 0; length <= text.length; length++)
      count += this.#counts.get(text.slice(0, length)) ?? 0;
    return count;
  }
}
