/**
 * The subscriptions of a node's own clients: filters → values. The first of a filter begins the node's interest in it,
 * which the other nodes hear of; the last one ends it.
 */
import { checkFilter, matches } from "./topics.js";

export interface SubscriptionTableOptions {
  /** The first subscription of a filter was added. */
  readonly onFirst?: (filter: string) => void;
  /** The last one was deleted. */
  readonly onLast?: (filter: string) => void;
}

export class SubscriptionTable<T> {
  readonly #entries = new Map<string, Map<T, number>>();
  readonly #onFirst: ((filter: string) => void) | undefined;
  readonly #onLast: ((filter: string) => void) | undefined;
  #size = 0;
  #next = 0;

  constructor({ onFirst, onLast }: SubscriptionTableOptions = {}) {
    this.#onFirst = onFirst;
    this.#onLast = onLast;
  }

  /** Subscriptions. */
  get size(): number {
    return this.#size;
  }

  /** Filters, each once. */
  get filters(): number {
    return this.#entries.size;
  }

  /**
   * Adds a subscription; the same value with the same filter counts once.
   *
   * @throws InvalidArgumentError `EINVAL` for what is not a filter, and past `MAX_SHAPES`
   */
  add(filter: string, value: T): void {
    checkFilter(filter);
    const values = this.#entries.get(filter);
    if (values?.has(value)) return;
    this.#size++;
    if (values !== undefined) {
      values.set(value, this.#next++);
      return;
    }
    this.#entries.set(filter, new Map([[value, this.#next++]]));
    this.#onFirst?.(filter);
  }

  /** `false` where there was no such subscription. */
  delete(filter: string, value: T): boolean {
    const values = this.#entries.get(filter);
    if (values?.delete(value) !== true) return false;
    this.#size--;
    if (values.size > 0) return true;
    this.#entries.delete(filter);
    this.#onLast?.(filter);
    return true;
  }

  /**
   * Appends an entry for each subscription that matches, the oldest first: a value with two filters that match comes twice.
   *
   * @returns how many were appended
   */
  match(topic: string, into: T[]): number {
    const found: [T, number][] = [];
    for (const [filter, values] of this.#entries) if (matches(filter, topic)) found.push(...values);
    found.sort(([, one], [, other]) => one - other);
    for (const [value] of found) into.push(value);
    return found.length;
  }

  /** The filters, in no order. */
  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }
}

/**
 * Of subscriptions that match one message, those that get it: of each client the oldest, which stands for the others that
 * overlap with it, and each one that asked for a message of its own.
 *
 * @param found the subscriptions, the oldest first, as {@link SubscriptionTable.match} gives them; it keeps those that get it
 */
export function onceForEachClient<T extends { readonly client: unknown; readonly each: boolean }>(
  found: T[],
): void {
  if (found.length < 2) return;
  const served = new Set<unknown>();
  let kept = 0;
  for (const subscription of found) {
    if (!subscription.each) {
      if (served.has(subscription.client)) continue;
      served.add(subscription.client);
    }
    found[kept++] = subscription;
  }
  found.length = kept;
}
