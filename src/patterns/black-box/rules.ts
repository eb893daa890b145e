/**
 * Assigns messages to shards, and holds them while there is no room. Pure; shard.ts has the queue of each shard.
 *
 *                  receive                               finished
 *   SUB ──> shard of the topic ──> queue (bounded) ──> in flight ──> handled, failed
 *                    │                │                 │
 *                    └── dropped <────┘                 └── lost at close
 *
 *   received = held + handled + failed + queued + in flight + dropped{newest, oldest, too-large, closed} + lost
 *
 * With `wait` at most one read is held, since reading stops. Meanwhile the queue and the next batch grow, so batches
 * adapt to the load.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { costOf } from "../../core/frame-cost.js";
import { fnv1a } from "../../core/hash.js";
import { type Batch, type BlackBoxShardStats, Shard, type ShardLimits, sumOf } from "./shard.js";

export interface BoxRulesOptions extends ShardLimits {
  readonly shards: number;
}

export interface BoxOutbox {
  batch(shard: number, messages: Batch): void;
}

/** Sums over all shards; `received` includes held messages. */
export interface BoxRulesStats extends BlackBoxShardStats {
  /** Read messages without room (`wait`). */
  readonly held: number;
  readonly shards: readonly BlackBoxShardStats[];
}

export class BoxRules {
  readonly #outbox: BoxOutbox;
  readonly #shards: Shard[];
  readonly #held = new RingBuffer<readonly Buffer[]>();

  constructor(options: BoxRulesOptions, outbox: BoxOutbox) {
    this.#outbox = outbox;
    this.#shards = Array.from({ length: options.shards }, () => new Shard(options));
  }

  shardOf(frames: readonly Buffer[]): number {
    return hash(frames[0] as Buffer) % this.#shards.length;
  }

  /** Reading must stop (`wait`). */
  get blocked(): boolean {
    return this.#held.length > 0;
  }

  receive(messages: readonly (readonly Buffer[])[]): void {
    for (let i = 0; i < messages.length; i++) {
      const frames = messages[i] as readonly Buffer[];
      if (this.#held.length > 0 || !this.#offer(frames)) this.#held.push(frames);
    }
    for (let index = 0; index < this.#shards.length; index++) this.#send(this.#shards[index] as Shard, index);
  }

  /** A thread has finished its oldest batch with `failed` errors. */
  finished(index: number, failed: number): void {
    const shard = this.#shards[index] as Shard;
    shard.finished(failed);
    this.#send(shard, index);
    this.#release();
  }

  get idle(): boolean {
    return this.#held.length === 0 && this.#shards.every((shard) => shard.idle);
  }

  /** Drops all that waits; all in flight is lost. */
  close(): void {
    for (let frames = this.#held.shift(); frames !== undefined; frames = this.#held.shift()) {
      (this.#shards[this.shardOf(frames)] as Shard).refuse("closed");
    }
    for (const shard of this.#shards) shard.close();
  }

  stats(): BoxRulesStats {
    const shards = this.#shards.map((shard) => shard.stats());
    const sum = sumOf(shards);
    const held = this.#held.length;
    return { ...sum, received: sum.received + held, held, shards };
  }

  /** @returns `false`, with `wait` only: no room */
  #offer(frames: readonly Buffer[]): boolean {
    const index = this.shardOf(frames);
    const shard = this.#shards[index] as Shard;
    const bytes = costOf(frames);
    // The thread may take queued messages.
    if (shard.isFullFor(bytes)) this.#send(shard, index);
    return shard.offer(frames, bytes);
  }

  #release(): void {
    for (let frames = this.#held.peek(); frames !== undefined; frames = this.#held.peek()) {
      if (!this.#offer(frames)) return;
      this.#held.shift();
      if (this.#held.length > 0) continue;
      for (let index = 0; index < this.#shards.length; index++)
        this.#send(this.#shards[index] as Shard, index);
    }
  }

  #send(shard: Shard, index: number): void {
    for (let batch = shard.next(); batch !== undefined; batch = shard.next()) {
      this.#outbox.batch(index, batch);
    }
  }
}

/** FNV-1a with a final avalanche: topics that differ in their last character spread evenly. */
export function hash(topic: Buffer): number {
  let value = fnv1a(topic, 0, topic.length);
  value ^= value >>> 16;
  value = Math.imul(value, 0x85ebca6b);
  value ^= value >>> 13;
  value = Math.imul(value, 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
