/**
 * Assigns messages to shards, each with a bounded queue. Pure.
 *
 *                  receive                               finished
 *   SUB ──> shard of the topic ──> queue (bounded) ──> in flight ──> handled, failed
 *                    │                │                 │
 *                    └── dropped <────┘                 └── lost at close
 *
 *   received = handled + failed + queued + in flight + dropped{newest, oldest, too-large, closed} + lost
 *
 * With `wait` reading stops while a queue is above its bound, which one read at most can pass. Meanwhile the queue and
 * the next batch grow, so batches adapt to the load.
 */

import { seededHash } from "../../core/bytes.js";
import { RingBuffer } from "../../core/collections/queues.js";
import { costOf } from "../../core/memory.js";
import type { BLACK_BOX, BlackBoxDropReason } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

export type BlackBoxFullPolicy =
  /** Drop the message. */
  | "drop-newest"
  /** Drop the oldest queued messages. */
  | "drop-oldest"
  /** Stop reading: the SUB fills to its high-water mark, then the publisher drops. */
  | "wait";

interface ShardLimits {
  readonly full: BlackBoxFullPolicy;
  /** Queued messages, and their cost (core/memory.ts). */
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  /** Messages, and their cost, per batch, at least one. */
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  readonly maxInFlight: number;
}

function counts() {
  return { received: 0, handled: 0, failed: 0, queued: 0, queuedBytes: 0, inFlight: 0, lost: 0 };
}

function drops(): Record<BlackBoxDropReason, number> {
  return { newest: 0, oldest: 0, "too-large": 0, closed: 0 };
}

export interface BlackBoxShardStats extends StatisticsOf<typeof BLACK_BOX> {}

function sumOf(shards: readonly BlackBoxShardStats[]): BlackBoxShardStats {
  const sum = counts();
  const dropped = drops();
  for (const shard of shards) {
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += shard[name];
    for (const reason of Object.keys(dropped) as BlackBoxDropReason[])
      dropped[reason] += shard.dropped[reason];
  }
  return { ...sum, dropped };
}

interface Entry {
  readonly frames: readonly Buffer[];
  readonly bytes: number;
}

/** Messages. */
type Batch = readonly (readonly Buffer[])[];

/** A shard: its queue, and batches in flight to its thread. */
class Shard {
  readonly #limits: ShardLimits;
  readonly #send: (messages: Batch) => void;
  readonly #queue = new RingBuffer<Entry>();
  /** Sizes of unfinished batches. */
  readonly #batches = new RingBuffer<number>();
  readonly #dropped = drops();
  readonly #counts = counts();

  constructor(limits: ShardLimits, send: (messages: Batch) => void) {
    this.#limits = limits;
    this.#send = send;
  }

  get idle(): boolean {
    return this.#queue.length === 0 && this.#counts.inFlight === 0;
  }

  /** With `wait`: nothing more may be read. */
  get isOver(): boolean {
    const { maxQueue, maxQueueBytes } = this.#limits;
    return this.#queue.length > maxQueue || this.#counts.queuedBytes > maxQueueBytes;
  }

  /** Queues a message, or drops it or older ones. */
  offer(frames: readonly Buffer[]): void {
    const { full, maxQueueBytes } = this.#limits;
    const bytes = costOf(frames);
    // The thread may take queued messages.
    if (!this.#hasRoom(bytes)) this.pump();
    this.#counts.received += 1;
    if (bytes > maxQueueBytes) {
      this.#dropped["too-large"] += 1;
      return;
    }
    while (full !== "wait" && !this.#hasRoom(bytes)) {
      if (full === "drop-newest") {
        this.#dropped.newest += 1;
        return;
      }
      this.#take();
      this.#dropped.oldest += 1;
    }
    this.#counts.queuedBytes += bytes;
    this.#queue.push({ frames, bytes });
  }

  /** Sends batches to the thread until enough are in flight. */
  pump(): void {
    while (this.#batches.length < this.#limits.maxInFlight && this.#queue.length > 0) {
      const batch = this.#gather();
      this.#batches.push(batch.length);
      this.#counts.inFlight += batch.length;
      this.#send(batch);
    }
  }

  /** Its oldest batch had `failed` errors. */
  finished(failed: number): void {
    const messages = this.#batches.shift();
    if (messages === undefined) return; // It closed: the batch counts as lost.
    this.#counts.handled += messages - failed;
    this.#counts.failed += failed;
    this.#counts.inFlight -= messages;
    this.pump();
  }

  close(): void {
    this.#counts.lost += this.#counts.inFlight;
    this.#counts.inFlight = 0;
    this.#batches.clear();
    this.#dropped.closed += this.#queue.length;
    this.#queue.clear();
    this.#counts.queuedBytes = 0;
  }

  stats(): BlackBoxShardStats {
    return { ...this.#counts, queued: this.#queue.length, dropped: { ...this.#dropped } };
  }

  #hasRoom(bytes: number): boolean {
    const { maxQueue, maxQueueBytes } = this.#limits;
    return this.#queue.length < maxQueue && this.#counts.queuedBytes + bytes <= maxQueueBytes;
  }

  #take(): Entry {
    const entry = this.#queue.shift() as Entry;
    this.#counts.queuedBytes -= entry.bytes;
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

export interface BoxRulesOptions extends ShardLimits {
  readonly shards: number;
}

export type SendBatch = (shard: number, messages: Batch) => void;

/** Sums over all shards. */
export interface BoxRulesStats extends BlackBoxShardStats {
  readonly shards: readonly BlackBoxShardStats[];
}

export class BoxRules {
  readonly #shards: readonly Shard[];

  constructor(options: BoxRulesOptions, sendBatch: SendBatch) {
    this.#shards = Array.from(
      { length: options.shards },
      (_, shard) => new Shard(options, (messages) => sendBatch(shard, messages)),
    );
  }

  /** Reading must stop (`wait`). */
  get blocked(): boolean {
    return this.#shards.some((shard) => shard.isOver);
  }

  receive(messages: readonly (readonly Buffer[])[]): void {
    for (const frames of messages) {
      const index = (seededHash(frames[0] as Buffer, 0) >>> 0) % this.#shards.length;
      this.#shards[index]?.offer(frames);
    }
    for (const shard of this.#shards) shard.pump();
  }

  /** A thread has finished its oldest batch with `failed` errors. */
  finished(index: number, failed: number): void {
    this.#shards[index]?.finished(failed);
  }

  get idle(): boolean {
    return this.#shards.every((shard) => shard.idle);
  }

  /** Drops all that waits; all in flight is lost. */
  close(): void {
    for (const shard of this.#shards) shard.close();
  }

  stats(): BoxRulesStats {
    const shards = this.#shards.map((shard) => shard.stats());
    return { ...sumOf(shards), shards };
  }
}
