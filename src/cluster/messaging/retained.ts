/**
 * Retained values: the last one of each topic that was published with `retain`. Pure.
 *
 * Kept by the node that published it, and by each node that had interest in the topic when it was published. A new
 * subscription that wants them asks all nodes: each gives those that it published, and of the others' those whose publisher's
 * node is not there any more. So a value survives its publisher as long as any subscriber's node is there, and nothing
 * is replicated for its own sake. Of several nodes that published to one topic, the latest stamp counts.
 *
 * A stamp is the wall clock in microseconds, and later than all that this node has seen: so a reply to a value is later than it,
 * however the clocks differ. One that is further ahead than `MAX_STAMP_AHEAD` counts as being of this moment: a
 * forged one would stand for years.
 *
 * Empty data: there is no value any more. That is kept as a value is, so that an older one of another node does not come back.
 *
 * Bounds: topics and bytes, of this node's own values and of the others' apart: who floods the others' evicts no own one. Past a bound the
 * value goes that was updated the longest ago, as in the last value cache.
 */
import { MAX_STAMP_AHEAD } from "./bounds.js";

export interface RetainedBounds {
  /** Topics, of this node's own values and of others' each. */
  readonly topics: number;
  readonly bytes: number;
}

/** A retained value. */
export interface RetainedValue {
  readonly topic: string;
  /** Id of the node that published it. */
  readonly node: string;
  readonly client: number;
  readonly subtopic: string | undefined;
  readonly stamp: number;
  /** Copied: no chunk stays for it. */
  readonly data: Buffer;
}

/** Bytes that a value counts for on top of its data and its topic. */
const OVERHEAD = 256;

class Store {
  readonly #bounds: RetainedBounds;
  /** By their last update, the oldest first. */
  readonly #values = new Map<string, RetainedValue>();
  bytes = 0;
  evicted = 0;

  constructor(bounds: RetainedBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#values.size;
  }

  get(topic: string): RetainedValue | undefined {
    return this.#values.get(topic);
  }

  values(): Iterable<RetainedValue> {
    return this.#values.values();
  }

  set(value: RetainedValue): void {
    this.delete(value.topic);
    this.#values.set(value.topic, value);
    this.bytes += sizeOf(value);
    for (const oldest of this.#values.values()) {
      if (this.#values.size <= this.#bounds.topics && this.bytes <= this.#bounds.bytes) return;
      this.delete(oldest.topic);
      this.evicted += 1;
    }
  }

  delete(topic: string): void {
    const value = this.#values.get(topic);
    if (value === undefined) return;
    this.#values.delete(topic);
    this.bytes -= sizeOf(value);
  }
}

function sizeOf({ topic, subtopic, data }: RetainedValue): number {
  return 2 * (topic.length + (subtopic?.length ?? 0)) + data.length + OVERHEAD;
}

export class RetainedValues {
  readonly #self: string;
  readonly #own: Store;
  readonly #others: Store;
  #lastStamp = 0;

  /** @param self this node's id */
  constructor(self: string, bounds: RetainedBounds) {
    this.#self = self;
    this.#own = new Store(bounds);
    this.#others = new Store(bounds);
  }

  /** Topics that have a value, or had one that was taken back. */
  get size(): number {
    return this.#own.size + this.#others.size;
  }

  get bytes(): number {
    return this.#own.bytes + this.#others.bytes;
  }

  get evicted(): number {
    return this.#own.evicted + this.#others.evicted;
  }

  /** A stamp for a value that is published now. @param wall ms since 1970 */
  stamp(wall: number): number {
    this.#lastStamp = Math.max(this.#lastStamp + 1, Math.floor(wall * 1_000));
    return this.#lastStamp;
  }

  /** A stamp of another node. @returns the one that counts */
  seen(stamp: number, wall: number): number {
    const now = Math.floor(wall * 1_000);
    const taken = stamp > now + MAX_STAMP_AHEAD * 1_000 ? now : stamp;
    if (taken > this.#lastStamp) this.#lastStamp = taken;
    return taken;
  }

  /** Keeps a value unless there is a later one. @returns whether it is the topic's last one */
  keep(value: RetainedValue): boolean {
    const isOwn = value.node === this.#self;
    const known = this.get(value.topic);
    if (known !== undefined && !isLater(value, known)) return false;
    (isOwn ? this.#others : this.#own).delete(value.topic);
    (isOwn ? this.#own : this.#others).set(value);
    return true;
  }

  /** The last value of a topic, also one without data. */
  get(topic: string): RetainedValue | undefined {
    return this.#own.get(topic) ?? this.#others.get(topic);
  }

  /** All, or this node's own alone; also those without data. */
  *values(ownOnly = false): Iterable<RetainedValue> {
    yield* this.#own.values();
    if (!ownOnly) yield* this.#others.values();
  }
}

/** Of one stamp, the higher id counts, as everywhere. */
function isLater(one: RetainedValue, other: RetainedValue): boolean {
  return one.stamp > other.stamp || (one.stamp === other.stamp && one.node > other.node);
}
