/**
 * Prefixes and their subscribers. Pure.
 *
 * A topic is looked up once for each length of prefixes, whatever the number of subscriptions
 * (bench/micro/subscriptions.js).
 *
 * Subscribing twice counts once, as in libzmq; by 37/ZMTP a lost CANCEL would leak.
 */

import { randomSeed } from "../../../core/bytes.js";
import { SteadyMap } from "../../../core/collections/steady-map.js";
import { keyOf } from "../../../core/memory.js";

/** Most prefixes have one subscriber, and no set. */
type Subscribers<S> = S | Set<S>;

interface Own {
  readonly prefixes: SteadyMap<true>;
  readonly lengths: LengthSet;
}

export class SubscriptionIndex<S extends object> {
  version = 0;
  readonly #byPrefix = new SteadyMap<Subscribers<S>>();
  readonly #bySubscriber = new Map<S, Own>();
  readonly #lengths = new LengthSet();
  readonly #long = new LongPrefixes();
  readonly #isMatched: boolean;

  /** @param isMatched `false`: `match` is not called, and its table of long prefixes takes no memory */
  constructor(isMatched = true) {
    this.#isMatched = isMatched;
  }

  get size(): number {
    return this.#byPrefix.size;
  }

  /** Every topic has the same subscribers. */
  get isUniform(): boolean {
    const lengths = this.#lengths;
    return lengths.size === 0 || (lengths.size === 1 && lengths.at(0) === 0);
  }

  /** @param prefix one character per byte */
  has(prefix: string, subscriber: S): boolean {
    return this.#bySubscriber.get(subscriber)?.prefixes.has(prefix) === true;
  }

  countOf(subscriber: S): number {
    return this.#bySubscriber.get(subscriber)?.prefixes.size ?? 0;
  }

  bytesOf(subscriber: S): number {
    return this.#bySubscriber.get(subscriber)?.prefixes.length ?? 0;
  }

  lengthsOf(subscriber: S): Pick<LengthSet, "size" | "has"> {
    return this.#bySubscriber.get(subscriber)?.lengths ?? NO_LENGTHS;
  }

  /** @returns `first`: no other subscriber had it; `added`: others had; `known`: the subscriber itself had */
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
      if (this.#isMatched && prefix.length > SHORT_PREFIX) this.#long.add(prefix);
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
    if (own?.prefixes.delete(prefix) !== true) return this.#byPrefix.has(prefix) ? "foreign" : "unknown";
    own.lengths.remove(prefix.length);
    if (own.prefixes.size === 0) this.#bySubscriber.delete(subscriber);
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
    if (prefix.length > SHORT_PREFIX) this.#long.remove(prefix);
    return "last";
  }

  /**
   * Removes a subscriber's prefixes one by one, since a million take seconds. `match` finds it until then.
   */
  *removeEach(subscriber: S): Generator<[prefix: string, outcome: "last" | "removed"], void> {
    const own = this.#bySubscriber.get(subscriber);
    this.#bySubscriber.delete(subscriber);
    for (const prefix of own?.prefixes.keys() ?? []) yield [prefix, this.#drop(prefix, subscriber)];
  }

  /**
   * Visits the subscribers of every prefix of `topic`, some more than once.
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
        this.#long.match(topic, lengths, i, wanted, (prefix) => this.visit(prefix, visit));
        return;
      }
      this.visit(length === 0 ? "" : keyOf(topic, 0, length), visit);
    }
  }

  #hasOther(prefix: string, isKnown: (subscriber: S) => boolean): boolean {
    const subscribers = this.#byPrefix.get(prefix);
    if (!(subscribers instanceof Set)) return subscribers !== undefined && !isKnown(subscribers);
    for (const subscriber of subscribers) if (!isKnown(subscriber)) return true;
    return false;
  }

  /** Visits the subscribers of exactly this prefix, each once. */
  visit(prefix: string, visit: (subscriber: S) => void): void {
    const subscribers = this.#byPrefix.get(prefix);
    if (subscribers === undefined) return;
    if (subscribers instanceof Set) for (const subscriber of subscribers) visit(subscriber);
    else visit(subscribers);
  }
}

const FIRST_ROOM = 8;

/** The different lengths of prefixes, ascending. */
export class LengthSet {
  size = 0;
  #sorted = new Uint32Array(FIRST_ROOM);
  #counts = new Uint32Array(FIRST_ROOM);

  at(index: number): number {
    return this.#sorted[index] as number;
  }

  has(length: number): boolean {
    const at = this.#find(length);
    return at < this.size && this.at(at) === length;
  }

  add(length: number): void {
    const at = this.#find(length);
    if (at < this.size && this.at(at) === length) {
      this.#counts[at] = (this.#counts[at] as number) + 1;
      return;
    }
    if (this.size === this.#sorted.length) {
      this.#sorted = grown(this.#sorted);
      this.#counts = grown(this.#counts);
    }
    // Peers decide how often lengths change, so none may cost a sort.
    this.#sorted.copyWithin(at + 1, at, this.size);
    this.#counts.copyWithin(at + 1, at, this.size);
    this.#sorted[at] = length;
    this.#counts[at] = 1;
    this.size += 1;
  }

  remove(length: number): void {
    const at = this.#find(length);
    if (at >= this.size || this.at(at) !== length) return;
    const count = (this.#counts[at] as number) - 1;
    this.#counts[at] = count;
    if (count > 0) return;
    this.#sorted.copyWithin(at, at + 1, this.size);
    this.#counts.copyWithin(at, at + 1, this.size);
    this.size -= 1;
  }

  #find(length: number): number {
    let from = 0;
    let to = this.size;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.at(middle) < length) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

const NO_LENGTHS = new LengthSet();

function grown(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * array.length);
  larger.set(array);
  return larger;
}

/** Longest prefix looked up as a string. */
const SHORT_PREFIX = 64;

const FACTOR = 0x0100_0193;
let chosen: number | undefined;

/** FNV-1a with a shift, from a random start. Without the shift, prefixes can collide for one start in 256. */
function step(hash: number, byte: number): number {
  const product = Math.imul(hash ^ byte, FACTOR);
  return product ^ (product >>> 15);
}

function start(): number {
  chosen ??= randomSeed() | 0;
  return chosen;
}

/** Hashes without entries that may always stay. */
const SLACK = 16;

interface Entry {
  readonly key: string;
  readonly bytes: Buffer;
}

/**
 * Finds long prefixes in one pass over a topic: 64 lengths take 1.5 µs, where a string for each takes 21 µs.
 */
class LongPrefixes {
  #byHash = new Map<number, Entry[]>();
  /** Hashes with entries; the others stay for a while (steady-map.ts). */
  #used = 0;

  /** @param key one character per byte, longer than SHORT_PREFIX */
  add(key: string): void {
    const bytes = Buffer.from(key, "latin1");
    const hash = hashOf(bytes);
    const entries = this.#byHash.get(hash);
    if (entries === undefined || entries.length === 0) this.#used += 1;
    if (entries === undefined) this.#byHash.set(hash, [{ key, bytes }]);
    else entries.push({ key, bytes });
  }

  remove(key: string): void {
    const hash = hashOf(Buffer.from(key, "latin1"));
    const entries = this.#byHash.get(hash) ?? [];
    const at = entries.findIndex((entry) => entry.key === key);
    if (at < 0) return;
    entries.splice(at, 1);
    if (entries.length > 0) return;
    this.#used -= 1;
    if (this.#byHash.size <= 2 * this.#used + SLACK) return;
    this.#byHash = new Map([...this.#byHash].filter(([, { length }]) => length > 0));
  }

  /** @param lengths ascending; used from index `from` on @param wanted called before the costly comparison */
  match(
    topic: Uint8Array,
    lengths: LengthSet,
    from: number,
    wanted: (key: string) => boolean,
    found: (key: string) => void,
  ): void {
    let hash = start();
    let at = 0;
    for (let i = from; i < lengths.size; i++) {
      const length = lengths.at(i);
      if (length > topic.length) return;
      for (; at < length; at++) hash = step(hash, topic[at] as number);
      const entries = this.#byHash.get(hash);
      if (entries === undefined) continue;
      for (const { key, bytes } of entries) {
        if (bytes.length === length && wanted(key) && bytes.compare(topic, 0, length) === 0) found(key);
      }
    }
  }
}

function hashOf(bytes: Uint8Array): number {
  let hash = start();
  for (let at = 0; at < bytes.length; at++) hash = step(hash, bytes[at] as number);
  return hash;
}
