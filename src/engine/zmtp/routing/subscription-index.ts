/**
 * Prefixes and their subscribers. Pure.
 *
 * A topic is looked up once for each length of prefixes, whatever the number of subscriptions
 * (bench/micro/subscriptions.js).
 *
 * Subscribing twice counts once, as in libzmq; by 37/ZMTP a lost CANCEL would leak.
 */

import { SteadyMap } from "../../../core/collections/steady-map.js";
import { keyOf } from "../../../core/memory.js";

/** Most prefixes have one subscriber, and no set. */
type Subscribers<S> = S | Set<S>;

export class SubscriptionIndex<S extends object> {
  version = 0;
  readonly #byPrefix = new SteadyMap<Subscribers<S>>();
  readonly #bySubscriber = new Map<S, SteadyMap<true>>();
  readonly #lengths = new LengthSet();

  get size(): number {
    return this.#byPrefix.size;
  }

  /** Every topic has the same subscribers. */
  get isUniform(): boolean {
    const { sorted } = this.#lengths;
    return sorted.length === 0 || (sorted.length === 1 && sorted[0] === 0);
  }

  /** @param prefix one character per byte */
  has(prefix: string, subscriber: S): boolean {
    return this.#bySubscriber.get(subscriber)?.has(prefix) === true;
  }

  countOf(subscriber: S): number {
    return this.#bySubscriber.get(subscriber)?.size ?? 0;
  }

  bytesOf(subscriber: S): number {
    return this.#bySubscriber.get(subscriber)?.length ?? 0;
  }

  /** @returns `first`: no other subscriber had it; `added`: others had; `known`: the subscriber itself had */
  add(prefix: string, subscriber: S): "first" | "added" | "known" {
    let own = this.#bySubscriber.get(subscriber);
    if (own === undefined) {
      own = new SteadyMap();
      this.#bySubscriber.set(subscriber, own);
    }
    if (own.has(prefix)) return "known";
    own.set(prefix, true);
    this.version += 1;
    const subscribers = this.#byPrefix.get(prefix);
    if (subscribers === undefined) {
      this.#byPrefix.set(prefix, subscriber);
      this.#lengths.add(prefix.length);
      return "first";
    }
    if (subscribers instanceof Set) subscribers.add(subscriber);
    else this.#byPrefix.set(prefix, new Set([subscribers, subscriber]));
    return "added";
  }

  /**
   * @returns `last`: no subscriber has it any more; `removed`: others have; `foreign`: only others had;
   * `unknown`: none had
   */
  remove(prefix: string, subscriber: S): "last" | "removed" | "foreign" | "unknown" {
    const own = this.#bySubscriber.get(subscriber);
    if (own?.delete(prefix) !== true) return this.#byPrefix.has(prefix) ? "foreign" : "unknown";
    if (own.size === 0) this.#bySubscriber.delete(subscriber);
    return this.#drop(prefix, subscriber);
  }

  #drop(prefix: string, subscriber: S): "last" | "removed" {
    this.version += 1;
    const subscribers = this.#byPrefix.get(prefix);
    if (subscribers instanceof Set) {
      subscribers.delete(subscriber);
      if (subscribers.size > 0) return "removed";
    }
    this.#byPrefix.delete(prefix);
    this.#lengths.remove(prefix.length);
    return "last";
  }

  removeAll(subscriber: S): [prefix: string, outcome: "last" | "removed"][] {
    const own = this.#bySubscriber.get(subscriber);
    this.#bySubscriber.delete(subscriber);
    return [...(own?.keys() ?? [])].map((prefix) => [prefix, this.#drop(prefix, subscriber)]);
  }

  /** Visits the subscribers of every prefix of `topic`, some more than once. */
  match(topic: Uint8Array, visit: (subscriber: S) => void): void {
    const { sorted } = this.#lengths;
    for (let i = 0; i < sorted.length; i++) {
      const length = sorted[i] as number;
      if (length > topic.length) return;
      this.visit(length === 0 ? "" : keyOf(topic, 0, length), visit);
    }
  }

  /** Visits the subscribers of exactly this prefix, each once. */
  visit(prefix: string, visit: (subscriber: S) => void): void {
    const subscribers = this.#byPrefix.get(prefix);
    if (subscribers === undefined) return;
    if (subscribers instanceof Set) for (const subscriber of subscribers) visit(subscriber);
    else visit(subscribers);
  }
}

/** The different lengths of prefixes. */
export class LengthSet {
  /** Ascending. */
  readonly sorted: number[] = [];
  readonly #counts = new Map<number, number>();

  add(length: number): void {
    const count = this.#counts.get(length) ?? 0;
    this.#counts.set(length, count + 1);
    if (count > 0) return;
    // Peers decide how often lengths change, so none may cost a sort.
    const at = this.sorted.findIndex((other) => other > length);
    this.sorted.splice(at < 0 ? this.sorted.length : at, 0, length);
  }

  remove(length: number): void {
    const count = this.#counts.get(length);
    if (count === undefined) return;
    if (count > 1) this.#counts.set(length, count - 1);
    else {
      this.#counts.delete(length);
      this.sorted.splice(this.sorted.indexOf(length), 1);
    }
  }
}
