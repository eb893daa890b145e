/**
 * Last value of each topic, within bounds. Pure. A message is `topic | frame, frame…`, and is kept whole.
 *
 * Above `maxTopics` or `maxBytes` the least recently updated topics are removed. A message that cannot be kept also
 * removes the previous value.
 *
 * An update only looks up the topic and records where the message is. Copies, the order of updates and writes to the
 * store are deferred, so a topic that changes often pays once. With 1,000 topics of 64 B, doing all of it per message
 * slowed the forwarder to 71 % of a plain one.
 */
import { KeyTable } from "../../core/collections/key-table.js";
import { Link, LinkedList } from "../../core/collections/queues.js";
import { FRAME_COST } from "../../core/memory.js";
import { encodeMessage, type FrameBatch, frameEnd, framesBetween } from "../../sockets/internal.js";
import type { LAST_VALUE_CACHE, LastValueCacheUncachedReason } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

// --- Value -----------------------------------------------------------------------------------------------------------

/** Spare bytes. */
const SMALL = 256;
const NO_BYTES: Buffer = Buffer.alloc(0);

/**
 * @param bytes of its frames
 * @param frames their number, without the topic
 */
function valueSize(bytes: number, frames: number): number {
  return bytes + FRAME_COST * Math.max(0, frames - 1);
}

/**
 * Last message of a topic.
 *
 *   received ──set──> fresh: as it came ──settle──> settled: bytes in separate memory
 *                       ^                                             │
 *                       └──────────────────── set ────────────────────┘
 *
 * Received frames are views of a chunk that may be a thousand times larger. Copying is deferred, since a busy topic's
 * next message often comes first.
 */
export class CachedValue {
  /** The topic. */
  readonly key: Buffer;
  /** The topic, one character per byte. */
  readonly name: string;
  readonly link: Link<CachedValue> = new Link<CachedValue>(this);
  order = 0;
  /** In the store, or about to be. */
  stored = false;
  /** Cost, by {@link valueSize}. */
  size = 0;
  /** As received; settled, in separate memory. */
  fresh = false;
  gone = false;
  /** The encoded frames after the topic are between two positions of these bytes. */
  #bytes: Uint8Array = NO_BYTES;
  #start = 0;
  #end = 0;
  /** Used again. */
  #memory: Buffer = NO_BYTES;

  /** @param topic copied */
  constructor(topic: Uint8Array) {
    this.key = Buffer.from(topic);
    this.name = this.key.toString("latin1");
  }

  /** Frames after the topic. */
  set(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.fresh = true;
  }

  settle(): void {
    this.fresh = false;
    const length = this.#end - this.#start;
    if (length > this.#memory.length || this.#memory.length > 2 * length + SMALL)
      this.#memory = Buffer.allocUnsafe(length);
    this.#memory.set(this.#bytes.subarray(this.#start, this.#end));
    this.#bytes = this.#memory;
    this.#start = 0;
    this.#end = length;
  }

  /** Topic first: immutable bytes. */
  message(): Buffer[] {
    const frames = framesBetween(this.#bytes, this.#start, this.#end);
    // A socket may send it after the next update overwrites settled memory.
    return [this.key, ...(this.fresh ? frames : frames.map((frame) => Buffer.from(frame)))];
  }
}

// --- Order -----------------------------------------------------------------------------------------------------------

/** A chunk above this is split in two. */
const MAX_CHUNK = 1_024;

/**
 * Values by topic, in byte order, in chunks: a new or removed topic moves at most one chunk.
 *
 * Names have one character per byte, so they compare as their bytes do.
 */
export class SortedTopics<V extends { readonly name: string }> {
  /** In order, none empty. */
  readonly #chunks: V[][] = [];

  set(value: V): void {
    const { name } = value;
    const index = this.#chunkOf(name);
    const chunk = this.#chunks[index];
    if (chunk === undefined) {
      this.#chunks.push([value]);
      return;
    }
    const at = countBelow(chunk, name);
    chunk.splice(at, chunk[at]?.name === name ? 1 : 0, value);
    if (chunk.length > MAX_CHUNK) this.#chunks.splice(index + 1, 0, chunk.splice(MAX_CHUNK / 2));
  }

  delete(name: string): void {
    const index = this.#chunkOf(name);
    const chunk = this.#chunks[index];
    if (chunk === undefined) return;
    const at = countBelow(chunk, name);
    if (chunk[at]?.name !== name) return;
    chunk.splice(at, 1);
    if (chunk.length === 0) this.#chunks.splice(index, 1);
  }

  /**
   * Values under a prefix, at most `max`.
   * @param last topic where an earlier call ended; perhaps removed since
   */
  beneath(prefix: string, last: string | undefined, max: number): V[] {
    const found: V[] = [];
    const from = last !== undefined && last > prefix ? last : prefix;
    let index = this.#chunkOf(from);
    let chunk = this.#chunks[index] ?? [];
    let at = countBelow(chunk, from);
    if (last !== undefined && chunk[at]?.name === last) at += 1;
    while (found.length < max) {
      if (at === chunk.length) {
        index += 1;
        const next = this.#chunks[index];
        if (next === undefined) break;
        chunk = next;
        at = 0;
      }
      const value = chunk[at] as V;
      if (!value.name.startsWith(prefix)) break;
      found.push(value);
      at += 1;
    }
    return found;
  }

  /** Index of the chunk that has this name, or would have it. */
  #chunkOf(name: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#chunks[middle] as V[])[0] as V).name <= name) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** How many names are lower. */
function countBelow(values: readonly { readonly name: string }[], name: string): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as { readonly name: string }).name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

// --- Cache -----------------------------------------------------------------------------------------------------------

/** Bytes before values are settled: bounds the memory that views retain. */
const SETTLE_BYTES = 1_048_576;

export interface CacheBounds {
  readonly maxTopics: number;
  /** By `valueSize`. */
  readonly maxBytes: number;
  readonly maxTopicBytes: number;
  readonly maxValueBytes: number;
}

export interface CacheEffects {
  evicted(topic: Buffer): void;
  uncached(topic: Buffer, reason: LastValueCacheUncachedReason, bytes: number): void;
}

export type LastValueCacheValueStats = Pick<
  StatisticsOf<typeof LAST_VALUE_CACHE>,
  "topics" | "bytes" | "updates" | "evicted" | "uncached"
>;

export interface CacheChanges {
  readonly changed: CachedValue[];
  /** One character per byte. */
  readonly removed: string[];
}

export class ValueCache {
  readonly #bounds: CacheBounds;
  readonly #outbox: CacheEffects;
  /** There is a store. */
  readonly #collects: boolean;
  readonly #byTopic = new KeyTable<CachedValue>();
  readonly #sorted = new SortedTopics<CachedValue>();
  readonly #byUpdate = new LinkedList<CachedValue>();
  /** Topics changed or removed since their last write to the store. */
  readonly #changed = new Set<string>();
  #fresh: CachedValue[] = [];
  /** Bytes since the last settling. */
  #unsettled = 0;
  readonly #mostBytes: number;
  #bytes = 0;
  #updates = 0;
  /** Number of the last update, across restarts. */
  #order = 0;
  #evicted = 0;
  readonly #uncached: Record<LastValueCacheUncachedReason, number> = {
    "single-frame": 0,
    "topic-too-long": 0,
    "value-too-large": 0,
  };

  constructor(bounds: CacheBounds, outbox: CacheEffects, collects = false) {
    this.#bounds = bounds;
    this.#outbox = outbox;
    this.#collects = collects;
    this.#mostBytes = Math.min(bounds.maxValueBytes, bounds.maxBytes - bounds.maxTopicBytes);
  }

  get topics(): number {
    return this.#byTopic.size;
  }

  get pending(): number {
    this.#settle();
    return this.#changed.size;
  }

  update(frames: readonly Buffer[]): void {
    this.updateAll(encodeMessage(frames, undefined));
  }

  /** Its bytes must not change afterwards. */
  updateAll(messages: FrameBatch): void {
    messages.visit(this.#visit);
  }

  #visit = (bytes: Uint8Array, body: number, bodyEnd: number, end: number, bodyBytes: number): void => {
    const size = valueSize(bodyBytes - (bodyEnd - body), framesIn(bytes, bodyEnd, end));
    const single = bodyEnd === end;
    let value = single || size > this.#mostBytes ? undefined : this.#byTopic.getAt(bytes, body, bodyEnd);
    if (value === undefined) {
      const topic = Buffer.from(bytes.buffer, bytes.byteOffset + body, bodyEnd - body);
      value = this.#find(topic, single, size);
      if (value === undefined) return;
    }
    const wasFresh = value.fresh;
    value.set(bytes, bodyEnd, end);
    this.#updated(value, wasFresh, size);
  };

  /** @param key one character per byte */
  get(key: string): Buffer[] | undefined {
    return this.#byTopic
      .get(Buffer.from(key, "latin1"))
      ?.message()
      .map((frame) => Buffer.from(frame));
  }

  /** In byte order, after the topic `last`. */
  beneath(prefix: string, last: string | undefined, max: number): CachedValue[] {
    return this.#sorted.beneath(prefix, last, max);
  }

  /** @returns whether there was a value */
  delete(key: string): boolean {
    const value = this.#byTopic.get(Buffer.from(key, "latin1"));
    if (value !== undefined) this.#delete(value);
    return value !== undefined;
  }

  /** Called in ascending order, before the first message. */
  restore(frames: readonly Buffer[], order: number): void {
    this.#order = Math.max(this.#order, order - 1);
    this.update(frames);
    this.#updates = 0;
    this.#settle();
    const topic = frames[0] as Buffer;
    // Smaller bounds than before keep fewer.
    const value = this.#byTopic.get(topic);
    if (value === undefined) this.#changed.add(topic.toString("latin1"));
    else {
      value.stored = true;
      this.#changed.delete(value.name);
    }
  }

  /** They count as stored: write them, again if that fails, before the next ones. */
  takeChanges(max: number): CacheChanges {
    this.#settle();
    const changes: CacheChanges = { changed: [], removed: [] };
    for (const name of this.#changed) {
      if (changes.changed.length + changes.removed.length >= max) break;
      const value = this.#byTopic.get(Buffer.from(name, "latin1"));
      if (value === undefined) changes.removed.push(name);
      else {
        changes.changed.push(value);
        value.stored = true;
      }
      this.#changed.delete(name);
    }
    return changes;
  }

  stats(): LastValueCacheValueStats {
    return {
      topics: this.#byTopic.size,
      bytes: this.#bytes,
      updates: this.#updates,
      evicted: this.#evicted,
      uncached: { ...this.#uncached },
    };
  }

  /** @returns `undefined` for a message that is not kept; a previous value is removed */
  #find(topic: Buffer, single: boolean, size: number): CachedValue | undefined {
    const { maxTopicBytes, maxValueBytes, maxBytes } = this.#bounds;
    const value = this.#byTopic.get(topic);
    let reason: LastValueCacheUncachedReason;
    if (single) reason = "single-frame";
    else if (topic.length > maxTopicBytes) reason = "topic-too-long";
    else if (size > maxValueBytes || size + topic.length > maxBytes) reason = "value-too-large";
    else return value ?? this.#create(topic);
    if (value !== undefined) this.#delete(value);
    this.#uncached[reason] += 1;
    this.#outbox.uncached(Buffer.from(topic), reason, single ? 0 : size);
    return undefined;
  }

  #updated(value: CachedValue, wasFresh: boolean, size: number): void {
    if (!wasFresh) this.#fresh.push(value);
    value.order = ++this.#order;
    this.#updates += 1;
    this.#bytes += size - value.size;
    value.size = size;
    this.#unsettled += size + value.key.length;
    if (this.#unsettled > SETTLE_BYTES) this.#settle();
    if (this.#byTopic.size > this.#bounds.maxTopics || this.#bytes > this.#bounds.maxBytes) this.#evict();
  }

  #create(topic: Buffer): CachedValue {
    const value = new CachedValue(topic);
    value.stored = this.#changed.has(value.name);
    this.#byTopic.set(value);
    this.#sorted.set(value);
    this.#bytes += value.key.length;
    return value;
  }

  #delete(value: CachedValue): void {
    this.#byTopic.delete(value.key);
    this.#sorted.delete(value.name);
    value.link.unlink();
    value.gone = true;
    this.#bytes -= value.key.length + value.size;
    // A store that never had the topic need not remove it.
    if (value.stored) this.#changed.add(value.name);
    else this.#changed.delete(value.name);
  }

  #settle(): void {
    this.#unsettled = 0;
    if (this.#fresh.length === 0) return;
    const fresh = this.#fresh.sort((a, b) => a.order - b.order);
    this.#fresh = [];
    for (const value of fresh) {
      if (value.gone) continue;
      value.settle();
      this.#byUpdate.push(value.link);
      if (this.#collects) this.#changed.add(value.name);
    }
  }

  #evict(): void {
    this.#settle();
    const { maxTopics, maxBytes } = this.#bounds;
    while (this.#byTopic.size > maxTopics || this.#bytes > maxBytes) {
      const oldest = this.#byUpdate.first as CachedValue;
      this.#delete(oldest);
      this.#evicted += 1;
      this.#outbox.evicted(oldest.key);
    }
  }
}

function framesIn(bytes: Uint8Array, start: number, end: number): number {
  let frames = 0;
  for (let position = start; position < end; position = frameEnd(bytes, position)) frames += 1;
  return frames;
}
