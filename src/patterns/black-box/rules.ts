/**
 * Assigns messages to shards. Pure; shard.ts has the queue of each shard.
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

import { costOf } from "../../core/frame-cost.js";
import { seededHash } from "../../core/hash.js";
import { type Batch, type BlackBoxShardStats, Shard, type ShardLimits, sumOf } from "./shard.js";

export interface BoxRulesOptions extends ShardLimits {
  readonly shards: number;
}

export type SendBatch = (shard: number, messages: Batch) => void;

/** Sums over all shards. */
export interface BoxRulesStats extends BlackBoxShardStats {
  readonly shards: readonly BlackBoxShardStats[];
}

export class BoxRules {
  readonly #sendBatch: SendBatch;
  readonly #shards: Shard[];

  constructor(options: BoxRulesOptions, sendBatch: SendBatch) {
    this.#sendBatch = sendBatch;
    this.#shards = Array.from({ length: options.shards }, () => new Shard(options));
  }

  /** Reading must stop (`wait`). */
  get blocked(): boolean {
    return this.#shards.some((shard) => shard.isOver);
  }

  receive(messages: readonly (readonly Buffer[])[]): void {
    for (let i = 0; i < messages.length; i++) {
      const frames = messages[i] as readonly Buffer[];
      const index = (seededHash(frames[0] as Buffer, 0) >>> 0) % this.#shards.length;
      const shard = this.#shards[index] as Shard;
      const bytes = costOf(frames);
      // The thread may take queued messages.
      if (!shard.hasRoom(bytes)) this.#send(shard, index);
      shard.offer(frames, bytes);
    }
    for (let index = 0; index < this.#shards.length; index++) this.#send(this.#shards[index] as Shard, index);
  }

  /** A thread has finished its oldest batch with `failed` errors. */
  finished(index: number, failed: number): void {
    const shard = this.#shards[index] as Shard;
    shard.finished(failed);
    this.#send(shard, index);
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

  #send(shard: Shard, index: number): void {
    for (let batch = shard.next(); batch !== undefined; batch = shard.next()) this.#sendBatch(index, batch);
  }
}
