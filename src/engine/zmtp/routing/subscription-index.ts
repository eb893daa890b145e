/**
 * Who subscribed to what: prefixes, and the subscribers of each. Pure.
 *
 * A table by prefix, and the set of the prefixes' lengths. A topic is looked up
 * once for each length that occurs and is not longer than it, so the cost does
 * not grow with the number of subscriptions (bench/micro/subscriptions.js), and a
 * million of them take a hash table's entry each, not a tree of nodes.
 *
 * Each subscriber has a set: subscribing twice is subscribing once, as in libzmq
 * (37/ZMTP would have the publisher count, which a lost CANCEL makes leak).
 */

import { keyOf } from "../codec/text.js";
import { LengthSet } from "./length-set.js";
import { LongPrefixes, SHORT_PREFIX } from "./long-prefixes.js";

/** Most prefixes have one subscriber: no set for those. */
type Subscribers<S> = S | Set<S>;

export class SubscriptionIndex<S extends object> {
  /** Grows with each change: what was found before may be used as long as it has not. */
  version = 0;
  readonly #byPrefix = new Map<string, Subscribers<S>>();
  readonly #bySubscriber = new Map<S, Set<string>>();
  /** Bytes of each subscriber's prefixes. */
  readonly #bytes = new Map<S, number>();
  readonly #lengths = new LengthSet();
  readonly #long = new LongPrefixes();

  /** Different prefixes. */
  get size(): number {
    return this.#byPrefix.size;
  }

  /** Whether every topic has the same subscribers: nobody asked for a prefix but the empty one. */
  get isUniform(): boolean {
    const lengths = this.#lengths.sorted;
    return lengths.length === 0 || (lengths.length === 1 && lengths[0] === 0);
  }

  /** A subscriber's prefixes, one character a byte. */
  prefixesOf(subscriber: S): ReadonlySet<string> | undefined {
    return this.#bySubscriber.get(subscriber);
  }

  /** How many prefixes a subscriber has. */
  countOf(subscriber: S): number {
    return this.#bySubscriber.get(subscriber)?.size ?? 0;
  }

  /** Bytes of a subscriber's prefixes together. */
  bytesOf(subscriber: S): number {
    return this.#bytes.get(subscriber) ?? 0;
  }

  /** @returns `first`: nobody else had it; `added`: others had; `known`: the subscriber itself had */
  add(prefix: string, subscriber: S): "first" | "added" | "known" {
    let own = this.#bySubscriber.get(subscriber);
    if (own === undefined) {
      own = new Set();
      this.#bySubscriber.set(subscriber, own);
    }
    if (own.has(prefix)) return "known";
    own.add(prefix);
    this.version += 1;
    this.#bytes.set(subscriber, this.bytesOf(subscriber) + prefix.length);
    const subscribers = this.#byPrefix.get(prefix);
    if (subscribers === undefined) {
      this.#byPrefix.set(prefix, subscriber);
      this.#lengths.add(prefix.length);
      if (prefix.length > SHORT_PREFIX) this.#long.add(prefix);
      return "first";
    }
    if (subscribers instanceof Set) subscribers.add(subscriber);
    else this.#byPrefix.set(prefix, new Set([subscribers, subscriber]));
    return "added";
  }

  /** @returns `last`: nobody has it any more; `removed`: others have; `unknown`: the subscriber had not */
  remove(prefix: string, subscriber: S): "last" | "removed" | "unknown" {
    const own = this.#bySubscriber.get(subscriber);
    if (own?.delete(prefix) !== true) return "unknown";
    this.version += 1;
    if (own.size === 0) {
      this.#bySubscriber.delete(subscriber);
      this.#bytes.delete(subscriber);
    } else this.#bytes.set(subscriber, this.bytesOf(subscriber) - prefix.length);
    const subscribers = this.#byPrefix.get(prefix);
    if (subscribers instanceof Set) {
      subscribers.delete(subscriber);
      if (subscribers.size > 0) return "removed";
    }
    this.#byPrefix.delete(prefix);
    this.#lengths.remove(prefix.length);
    if (prefix.length > SHORT_PREFIX) this.#long.remove(prefix);
    return "last";
  }

  /** A subscriber is gone. @param removed hears each of its prefixes */
  removeAll(subscriber: S, removed: (prefix: string, outcome: "last" | "removed") => void): void {
    for (const prefix of [...(this.#bySubscriber.get(subscriber) ?? [])]) {
      const outcome = this.remove(prefix, subscriber);
      if (outcome !== "unknown") removed(prefix, outcome);
    }
  }

  /**
   * Calls `visit` for the subscribers of every prefix of `topic`; for some of them more than once.
   *
   * @param isKnown whether a subscriber was visited already
   */
  match(
    topic: Uint8Array,
    visit: (subscriber: S) => void,
    isKnown: (subscriber: S) => boolean = () => false,
  ): void {
    const lengths = this.#lengths.sorted;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i] as number;
      if (length > topic.length) return;
      if (length > SHORT_PREFIX) {
        const wanted = (prefix: string): boolean => this.#hasOther(prefix, isKnown);
        this.#long.match(topic, lengths, i, wanted, (prefix) => this.#visitAll(prefix, visit));
        return;
      }
      this.#visitAll(length === 0 ? "" : keyOf(topic, 0, length), visit);
    }
  }

  #hasOther(prefix: string, isKnown: (subscriber: S) => boolean): boolean {
    const subscribers = this.#byPrefix.get(prefix);
    if (!(subscribers instanceof Set)) return subscribers !== undefined && !isKnown(subscribers);
    for (const subscriber of subscribers) if (!isKnown(subscriber)) return true;
    return false;
  }

  #visitAll(prefix: string, visit: (subscriber: S) => void): void {
    const subscribers = this.#byPrefix.get(prefix);
    if (subscribers === undefined) return;
    if (subscribers instanceof Set) for (const subscriber of subscribers) visit(subscriber);
    else visit(subscribers);
  }
}
