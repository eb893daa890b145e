/**
 * A shard: its queue, and batches in flight to its thread. Pure.
 *
 *   offer ──> queue (bounded) ──next──> in flight ──finished──> handled, failed
 *     │              │                     │
 *     └── dropped <──┘                     └──crashed──> lost
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";

export type BlackBoxFullPolicy =
  /** Drop the message. */
  | "drop-newest"
  /** Drop the oldest queued messages. */
  | "drop-oldest"
  /** Replace a queued message with the same key; if full, as `drop-oldest`. */
  | "conflate"
  /** Stop reading: the SUB fills to its high-water mark, then the publisher drops. */
  | "wait";

/** Why a message was dropped. */
export type BlackBoxDropReason =
  /** The queue was full (`drop-newest`). */
  | "newest"
  /** A later message arrived at a full queue. */
  | "oldest"
  /** A later message with the same key (`conflate`). */
  | "conflated"
  /** Larger than the queue. */
  | "too-large"
  /** Still queued at close. */
  | "closed";

export interface ShardLimits {
  readonly full: BlackBoxFullPolicy;
  /** Queued messages, and their cost (core/frame-cost.ts). */
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  /** Messages, and their cost, per batch, at least one. */
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  readonly maxInFlight: number;
}

export interface BlackBoxShardStats {
  readonly received: number;
  readonly handled: number;
  readonly failed: number;
  readonly queued: number;
  readonly queuedBytes: number;
  /** Not reported as finished. */
  readonly inFlight: number;
  /** In flight when their thread crashed or ended; some may have been handled. */
  readonly lost: number;
  readonly dropped: Readonly<Record<BlackBoxDropReason, number>>;
  readonly batches: number;
}

interface Entry {
  frames: readonly Buffer[];
  bytes: number;
  readonly key: string;
}

/** Messages. */
export type Batch = readonly (readonly Buffer[])[];

export class Shard {
  /** A thread takes batches. */
  up = false;
  readonly #limits: ShardLimits;
  readonly #queue = new RingBuffer<Entry>();
  /** With `conflate` only. */
  readonly #byKey = new Map<string, Entry>();
  /** Sizes of unfinished batches. */
  readonly #batches = new RingBuffer<number>();
  readonly #dropped: Record<BlackBoxDropReason, number> = {
    newest: 0,
    oldest: 0,
    conflated: 0,
    "too-large": 0,
    closed: 0,
  };
  readonly #counts = { received: 0, handled: 0, failed: 0, lost: 0, batches: 0 };
  #bytes = 0;
  #inFlight = 0;

  constructor(limits: ShardLimits) {
    this.#limits = limits;
  }

  get idle(): boolean {
    return this.#queue.length === 0 && this.#inFlight === 0;
  }

  /** The thread has to take queued messages first. */
  isFullFor(key: string, bytes: number): boolean {
    return !this.#hasRoom(bytes) && bytes <= this.#limits.maxQueueBytes && !this.#byKey.has(key);
  }

  /**
   * Queues a message, replaces another, or drops it.
   * @returns `false`, with `wait` only: no room
   */
  offer(frames: readonly Buffer[], bytes: number, key: string): boolean {
    const { full, maxQueueBytes } = this.#limits;
    if (bytes > maxQueueBytes) return this.refuse("too-large");
    if (full === "conflate" && this.#replace(key, frames, bytes)) return true;
    while (!this.#hasRoom(bytes)) {
      if (full === "wait") return false;
      if (full === "drop-newest") return this.refuse("newest");
      this.#dropOldest();
    }
    this.#counts.received += 1;
    const entry: Entry = { frames, bytes, key };
    this.#queue.push(entry);
    this.#bytes += bytes;
    if (full === "conflate") this.#byKey.set(key, entry);
    return true;
  }

  refuse(reason: BlackBoxDropReason): true {
    this.#counts.received += 1;
    this.#dropped[reason] += 1;
    return true;
  }

  /** @returns `undefined`: empty queue, enough in flight, or no thread */
  next(): Batch | undefined {
    if (!this.up || this.#batches.length >= this.#limits.maxInFlight || this.#queue.length === 0)
      return undefined;
    const batch = this.#gather();
    this.#batches.push(batch.length);
    this.#inFlight += batch.length;
    this.#counts.batches += 1;
    return batch;
  }

  /** Its oldest batch had `failed` errors. */
  finished(failed: number): void {
    const messages = this.#batches.shift();
    if (messages === undefined) return; // It closed: the batch counts as lost.
    this.#counts.handled += messages - failed;
    this.#counts.failed += failed;
    this.#inFlight -= messages;
  }

  /** @returns the messages lost */
  crashed(): number {
    const lost = this.#inFlight;
    this.up = false;
    this.#counts.lost += lost;
    this.#inFlight = 0;
    this.#batches.clear();
    return lost;
  }

  close(): void {
    this.#dropped.closed += this.#queue.length;
    this.#queue.clear();
    this.#byKey.clear();
    this.#bytes = 0;
  }

  stats(): BlackBoxShardStats {
    return {
      ...this.#counts,
      queued: this.#queue.length,
      queuedBytes: this.#bytes,
      inFlight: this.#inFlight,
      dropped: { ...this.#dropped },
    };
  }

  #hasRoom(bytes: number): boolean {
    const { maxQueue, maxQueueBytes } = this.#limits;
    return this.#queue.length < maxQueue && this.#bytes + bytes <= maxQueueBytes;
  }

  #replace(key: string, frames: readonly Buffer[], bytes: number): boolean {
    const waiting = this.#byKey.get(key);
    if (waiting === undefined) return false;
    this.#counts.received += 1;
    this.#dropped.conflated += 1;
    this.#bytes += bytes - waiting.bytes;
    waiting.frames = frames;
    waiting.bytes = bytes;
    // A larger one evicts the oldest; alone it fits.
    while (this.#bytes > this.#limits.maxQueueBytes) this.#dropOldest();
    return true;
  }

  #dropOldest(): void {
    this.#take();
    this.#dropped.oldest += 1;
  }

  #take(): Entry {
    const entry = this.#queue.shift() as Entry;
    this.#bytes -= entry.bytes;
    if (this.#limits.full === "conflate") this.#byKey.delete(entry.key);
    return entry;
  }

  #gather(): Batch {
    const { maxBatch, maxBatchBytes } = this.#limits;
    const messages: (readonly Buffer[])[] = [];
    let bytes = 0;
    for (let head = this.#queue.peek(); head !== undefined; head = this.#queue.peek()) {
      if (messages.length > 0 && (messages.length >= maxBatch || bytes + head.bytes > maxBatchBytes)) break;
      bytes += head.bytes;
      messages.push(this.#take().frames);
    }
    return messages;
  }
}
