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

import { SteadyMap } from "../../../core/collections/steady-map.js";
import { keyOf } from "../../../core/memory.js";
import { LengthSet } from "./length-set.js";
import { LongPrefixes, SHORT_PREFIX } from "./long-prefixes.js";

/** Most prefixes have one subscriber: no set for those. */
type Subscribers<S> = S | Set<S>;

/** What one subscriber asked for. */
interface Own {
  readonly prefixes: SteadyMap<true>;
  readonly lengths: LengthSet;
}

const NO_LENGTHS = new LengthSet();

export class SubscriptionIndex<S extends object> {
  /** Grows with each change: what was found before may be used as long as it has not. */
  version = 0;
  readonly #byPrefix = new SteadyMap<Subscribers<S>>();
  readonly #bySubscriber = new Map<S, Own>();
  readonly #lengths = new LengthSet();
  readonly #long = new LongPrefixes();

  /** Different prefixes. */
  get size(): number {
    return this.#byPrefix.size;
  }

  /** Whether every topic has the same subscribers: nobody asked for a prefix but the empty one. */
  get isUniform(): boolean {
    const lengths = this.#lengths;
    return lengths.size === 0 || (lengths.size === 1 && lengths.at(0) === 0);
  }

  /** Whether a subscriber has a prefix, one character a byte. */
  has(prefix: string, subscriber: S): boolean {
    return this.#bySubscriber.get(subscriber)?.prefixes.has(prefix) === true;
  }

  /** How many prefixes a subscriber has. */
  countOf(subscriber: S): number {
    return this.#bySubscriber.get(subscriber)?.prefixes.size ?? 0;
  }

  /** Bytes of a subscriber's prefixes together. */
  bytesOf(subscriber: S): number {
    return this.#bySubscriber.get(subscriber)?.prefixes.length ?? 0;
  }

  /** The different lengths of a subscriber's prefixes. */
  lengthsOf(subscriber: S): Pick<LengthSet, "size" | "has"> {
    return this.#bySubscriber.get(subscriber)?.lengths ?? NO_LENGTHS;
  }

  /** @returns `first`: nobody else had it; `added`: others had; `known`: the subscriber itself had */
  add(prefix: string, subscriber: S): "first" | "added" | "known" {
    let own = this.#bySubscriber.get(subscriber);
    if (own === undefined) {
      own = { prefixes: new SteadyMap(), lengths: new LengthSet() };
      this.#bySubscriber.set(subscriber, own);
    }
    if (own.prefixes.has(prefix)) return "known";
    own.prefixes.set(prefix, true);
    own.lengths.add(prefix.length);
    this.version += 1;
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
    if (own?.prefixes.delete(prefix) !== true) return "unknown";
    own.lengths.remove(prefix.length);
    this.version += 1;
    if (own.prefixes.size === 0) this.#bySubscriber.delete(subscriber);
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
    for (const prefix of [...(this.#bySubscriber.get(subscriber)?.prefixes.keys() ?? [])]) {
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
    const lengths = this.#lengths;
    for (let i = 0; i < lengths.size; i++) {
      const length = lengths.at(i);
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
