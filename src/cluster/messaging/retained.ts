/**
 * Retained values: the last one of each topic that was published with `retain`. Pure.
 *
 * Kept by the node that published it, and by each node that had interest in the topic when it was published. A new
 * subscription that wants them asks all nodes: each gives those that it published, and of the others' those whose publisher's
 * node is not there any more. So a value survives its publisher as long as any subscriber's node is there, and nothing
 * is replicated for its own sake.
 *
 * All publications of a topic have one order, which is the same at every node: the stamp, then the publisher's node, then what it
 * published. A node keeps the latest that it has seen, and gives a subscription with `retained` only what is later than
 * all that this node has. So whatever way a publication takes (the link of its publisher, kept for a newcomer, as an answer), and
 * however late it comes, the nodes that have the same publications end with the same value, and none goes back to an earlier one.
 *
 * A stamp is the wall clock in microseconds, and later than all that this node has seen: so a reply to a value is later than it,
 * however the clocks differ. One that is further ahead than `MAX_STAMP_AHEAD` counts as being of this moment: a
 * forged one would stand for years.
 *
 * Empty data: there is no value any more. That is kept as a value is, so that an older one of another node does not come back.
 *
 * Bounds: topics and bytes, of this node's own values and of the others' apart: who floods the others' evicts no own one. Past a bound the
 * value goes that was updated the longest ago, as in the last value cache. Of a topic whose value was evicted nothing is known: an
 * earlier one is taken. `mayBeEvicted` is what can be said of it.
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
  /** The same by the node that published them, and by topic. */
  readonly #byNode = new Map<string, Map<string, RetainedValue>>();
  bytes = 0;
  evicted = 0;
  /** No stamp of a value that was evicted is later. */
  evictedStamp = 0;

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
    const ofNode = this.#byNode.get(value.node);
    if (ofNode === undefined) this.#byNode.set(value.node, new Map([[value.topic, value]]));
    else ofNode.set(value.topic, value);
    this.bytes += sizeOf(value);
    for (const oldest of this.#values.values()) {
      if (this.#values.size <= this.#bounds.topics && this.bytes <= this.#bounds.bytes) return;
      this.delete(oldest.topic);
      this.evicted += 1;
      this.evictedStamp = Math.max(this.evictedStamp, oldest.stamp);
    }
  }

  delete(topic: string): void {
    const value = this.#values.get(topic);
    if (value === undefined) return;
    this.#values.delete(topic);
    const ofNode = this.#byNode.get(value.node);
    ofNode?.delete(topic);
    if (ofNode?.size === 0) this.#byNode.delete(value.node);
    this.bytes -= sizeOf(value);
  }

  has(node: string): boolean {
    return this.#byNode.has(node);
  }

  *of(isMeant: (node: string) => boolean): Iterable<RetainedValue> {
    for (const [node, values] of this.#byNode) if (isMeant(node)) yield* values.values();
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
    if (known !== undefined && compareValues(value, known) <= 0) return false;
    (isOwn ? this.#others : this.#own).delete(value.topic);
    (isOwn ? this.#own : this.#others).set(value);
    return true;
  }

  /** The last value of a topic, also one without data. */
  get(topic: string): RetainedValue | undefined {
    return this.#own.get(topic) ?? this.#others.get(topic);
  }

  /**
   * Whether a later one of its topic is known, which subscriptions get in place of this one. Where both say that there is no value, they get the
   * first alone.
   */
  isSuperseded(value: RetainedValue): boolean {
    const known = this.get(value.topic);
    if (known === undefined || compareValues(value, known) >= 0) return false;
    return value.data.length > 0 || known.data.length > 0;
  }

  /** Whether a value of a topic of which nothing is known may have been here, and was evicted since. */
  mayBeEvicted({ stamp }: RetainedValue): boolean {
    return stamp <= Math.max(this.#own.evictedStamp, this.#others.evictedStamp);
  }

  /** Whether a node has published one of them. */
  has(node: string): boolean {
    return this.#own.has(node) || this.#others.has(node);
  }

  /** Those of some nodes. @param isMeant called once for each node that has published some */
  *of(isMeant: (node: string) => boolean): Iterable<RetainedValue> {
    yield* this.#own.of(isMeant);
    yield* this.#others.of(isMeant);
  }

  /** All; also those without data. */
  *values(): Iterable<RetainedValue> {
    yield* this.#own.values();
    yield* this.#others.values();
  }
}

/**
 * The order of the publications of a topic. Of one stamp the higher id counts, as everywhere; of one node, on whose behalf others may
 * publish, what they published.
 *
 * @returns less than 0: `one` is earlier; 0: they are the same
 */
export function compareValues(one: RetainedValue, other: RetainedValue): number {
  if (one.stamp !== other.stamp) return one.stamp - other.stamp;
  if (one.node !== other.node) return one.node < other.node ? -1 : 1;
  if (one.client !== other.client) return one.client - other.client;
  const [subtopic, others] = [one.subtopic ?? "", other.subtopic ?? ""];
  if (subtopic !== others) return subtopic < others ? -1 : 1;
  return Buffer.compare(one.data, other.data);
}
