/**
 * Assigns messages to shards, and holds them while there is no room. Pure; shard.ts has the queue of each shard.
 *
 *                  receive                               finished
 *   SUB ──> shard of the key ──> queue (bounded) ──> in flight ──> handled, failed
 *                    │                │                 │
 *                    └── dropped <────┘                 └── lost with a thread that crashed
 *
 *   received = held + handled + failed + queued + in flight + dropped{newest, oldest, conflated, too-large, closed} + lost
 *
 * With `wait` at most one read is held, since reading stops. Meanwhile the queue and the next batch grow, so batches
 * adapt to the load.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { costOf } from "../../core/frame-cost.js";
import { fnv1a } from "../../core/hash.js";
import { checkCount, checkKeys } from "../kit/options.js";
import { type Batch, type BlackBoxShardStats, Shard, type ShardLimits } from "./shard.js";

export interface BoxRulesOptions extends ShardLimits {
  readonly shards: number;
}

export interface BoxOutbox {
  batch(shard: number, messages: Batch): void;
}

export interface BoxRulesStats {
  readonly received: number;
  /** Read messages without room (`wait`). */
  readonly held: number;
  readonly shards: readonly BlackBoxShardStats[];
}

export class BoxRules {
  readonly #options: BoxRulesOptions;
  readonly #outbox: BoxOutbox;
  readonly #keyEnd: KeyEnd;
  readonly #shards: Shard[];
  readonly #held = new RingBuffer<readonly Buffer[]>();
  #received = 0;

  constructor(options: BoxRulesOptions, keyEnd: KeyEnd, outbox: BoxOutbox) {
    this.#options = options;
    this.#outbox = outbox;
    this.#keyEnd = keyEnd;
    this.#shards = Array.from({ length: options.shards }, () => new Shard(options));
  }

  shardOf(frames: readonly Buffer[]): number {
    const topic = frames[0] as Buffer;
    return hash(topic, this.#keyEnd(topic)) % this.#shards.length;
  }

  /** Reading must stop (`wait`). */
  get blocked(): boolean {
    return this.#held.length > 0;
  }

  receive(messages: readonly (readonly Buffer[])[]): void {
    this.#received += messages.length;
    for (let i = 0; i < messages.length; i++) {
      const frames = messages[i] as readonly Buffer[];
      if (this.#held.length > 0 || !this.#offer(frames)) this.#held.push(frames);
    }
    for (let index = 0; index < this.#shards.length; index++) this.#send(this.#shards[index] as Shard, index);
  }

  up(index: number): void {
    const shard = this.#shards[index] as Shard;
    shard.up = true;
    this.#send(shard, index);
    this.#release();
  }

  /** A thread has finished its oldest batch with `failed` errors. */
  finished(index: number, failed: number): void {
    const shard = this.#shards[index] as Shard;
    shard.finished(failed);
    this.#send(shard, index);
    this.#release();
  }

  /** A thread crashed. @returns the messages lost, all in flight */
  crashed(index: number): number {
    return (this.#shards[index] as Shard).crashed();
  }

  get idle(): boolean {
    return this.#held.length === 0 && this.#shards.every((shard) => shard.idle);
  }

  /** Drops all that waits; all in flight is lost. */
  close(): void {
    for (let frames = this.#held.shift(); frames !== undefined; frames = this.#held.shift()) {
      (this.#shards[this.shardOf(frames)] as Shard).refuse("closed");
    }
    for (const shard of this.#shards) {
      shard.crashed();
      shard.close();
    }
  }

  stats(): BoxRulesStats {
    const shards = this.#shards.map((shard) => shard.stats());
    return { received: this.#received, held: this.#held.length, shards };
  }

  /** @returns `false`, with `wait` only: no room */
  #offer(frames: readonly Buffer[]): boolean {
    const topic = frames[0] as Buffer;
    const end = this.#keyEnd(topic);
    const index = hash(topic, end) % this.#shards.length;
    const shard = this.#shards[index] as Shard;
    const { full } = this.#options;
    const key = full === "conflate" ? topic.toString("latin1", 0, end) : "";
    const bytes = costOf(frames);
    // The thread may take queued messages.
    if (shard.isFullFor(key, bytes)) this.#send(shard, index);
    return shard.offer(frames, bytes, key);
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

/**
 * Part of the first frame that is the key: messages with the same key stay in order.
 *
 *   { length: 4 }                     its first 4 bytes
 *   { delimiter: "." }                up to the first "."
 *   { delimiter: ".", parts: 2 }      up to the second "."
 *
 * A shorter frame is the key itself. Default: the whole frame.
 */
export type BlackBoxShardKey =
  | { readonly length: number }
  | { readonly delimiter: string; readonly parts?: number };

/** @returns end of the key in a first frame */
export type KeyEnd = (topic: Buffer) => number;

/** @throws InvalidArgumentError `EINVAL` unless a {@link BlackBoxShardKey} */
export function keyEndOf(key: BlackBoxShardKey | undefined): KeyEnd {
  if (key === undefined) return (topic) => topic.length;
  checkKeys("key", key, ["length", "delimiter", "parts"]);
  if ("length" in key) {
    if ("delimiter" in key || "parts" in key)
      throw new InvalidArgumentError("Option key must have a length or a delimiter, not both");
    const length = checkCount("key.length", key.length, 1);
    return (topic) => Math.min(length, topic.length);
  }
  if (typeof key.delimiter !== "string" || key.delimiter === "")
    throw new InvalidArgumentError("key.delimiter must be a text of one character or more");
  const delimiter = Buffer.from(key.delimiter);
  const parts = checkCount("key.parts", key.parts ?? 1, 1);
  return (topic) => {
    let end = -delimiter.length;
    for (let part = 0; part < parts; part++) {
      end = topic.indexOf(delimiter, end + delimiter.length);
      if (end < 0) return topic.length;
    }
    return end;
  };
}

/** FNV-1a with a final avalanche: keys that differ in their last character spread evenly. */
export function hash(bytes: Buffer, end: number): number {
  let value = fnv1a(bytes, 0, end);
  value ^= value >>> 16;
  value = Math.imul(value, 0x85ebca6b);
  value ^= value >>> 13;
  value = Math.imul(value, 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
