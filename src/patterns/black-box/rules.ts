/**
 * Black Box's rules: what of the stream goes to which shard, and what is held while that has no room. Pure; what waits for
 * one shard, is in its thread's hands or is dropped there is in shard.ts.
 *
 *                  receive                               finished
 *   SUB ──> shard of the key ──> queue (bounded) ──> in flight ──> handled, failed
 *                    │                │                 │
 *                    └── dropped <────┘ <───────────────┴── lost with a thread that crashed; the others wait again
 *
 *   received = held + handled + failed + queued + in flight + dropped{newest, oldest, conflated, too-large, closed} + lost
 *
 * With `wait`, what was read and has no room is held: one read at most, since nothing is read meanwhile.
 *
 * Messages with one key go to one shard, in order; a shard's thread has at most `maxInFlight` batches at a time, and
 * deals with one message after the other. Meanwhile the queue grows, and the next batch with it: batches are as large
 * as the load wants them.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { costOf } from "../../core/frame-cost.js";
import { fnv1a } from "../../core/hash.js";
import { checkCount, checkKeys } from "../kit/options.js";
import { type BlackBoxDropReason, type BlackBoxShardStats, Shard, type ShardLimits } from "./shard.js";

/** What the rules need to know. */
export interface BoxRulesOptions extends ShardLimits {
  readonly shards: number;
}

/** What goes out. */
export interface BoxOutbox {
  /** Messages for a shard's thread, which is up. */
  batch(shard: number, messages: readonly (readonly Buffer[])[]): void;
}

/** The statistics at this moment. */
export interface BoxRulesStats {
  /** Messages that came. */
  readonly received: number;
  /** Messages read that wait for room in their shard's queue (`wait`). */
  readonly held: number;
  readonly shards: readonly BlackBoxShardStats[];
}

/** Drops since the last time that somebody asked. */
export interface Drops {
  readonly shard: number;
  readonly reason: BlackBoxDropReason;
  readonly messages: number;
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

  /** Which shard a message goes to. */
  shardOf(frames: readonly Buffer[]): number {
    const topic = frames[0] as Buffer;
    return hash(topic, this.#keyEnd(topic)) % this.#shards.length;
  }

  /** Whether nothing may be read: messages are held until there is room (`wait`). */
  get blocked(): boolean {
    return this.#held.length > 0;
  }

  /** Messages have come, in order; those that a thread can take go to it. */
  receive(messages: readonly (readonly Buffer[])[]): void {
    this.#received += messages.length;
    for (let i = 0; i < messages.length; i++) {
      const frames = messages[i] as readonly Buffer[];
      if (this.#held.length > 0 || !this.#offer(frames)) this.#held.push(frames);
    }
    for (let index = 0; index < this.#shards.length; index++) this.#send(this.#shards[index] as Shard, index);
  }

  /** A shard's thread takes batches from now on. */
  up(index: number): void {
    const shard = this.#shards[index] as Shard;
    shard.up = true;
    this.#send(shard, index);
    this.#release();
  }

  /**
   * A shard's thread has finished its oldest batch; `failed` of its messages with an error.
   *
   * @returns the messages of the batch
   */
  finished(index: number, failed: number): number {
    const shard = this.#shards[index] as Shard;
    const messages = shard.finished(failed);
    this.#send(shard, index);
    this.#release();
    return messages;
  }

  /**
   * A shard's thread is gone. The message that it was at is lost, and not tried again: it may have been the cause.
   * What else it had goes to its successor first, in order.
   *
   * @param progress messages that it had begun and finished since the last batch it reported, and failed of those
   * @returns the messages lost
   */
  crashed(index: number, progress: { begun: number; finished: number; failed: number }): number {
    return (this.#shards[index] as Shard).crashed(progress);
  }

  /** Whether nothing waits for a thread or is in its hands. */
  get idle(): boolean {
    return this.#held.length === 0 && this.#shards.every((shard) => shard.idle);
  }

  /** Drops all that waits. */
  close(): void {
    for (let frames = this.#held.shift(); frames !== undefined; frames = this.#held.shift()) {
      (this.#shards[this.shardOf(frames)] as Shard).refuse("closed");
    }
    for (const shard of this.#shards) shard.close();
  }

  stats(): BoxRulesStats {
    const shards = this.#shards.map((shard) => shard.stats());
    return { received: this.#received, held: this.#held.length, shards };
  }

  /** What was dropped since the last call. */
  takeDrops(): Drops[] {
    return this.#shards.flatMap((shard, index) =>
      shard.takeDrops().map((drop) => ({ shard: index, ...drop })),
    );
  }

  /** @returns `false`, with `wait` only: there is no room, and nothing has happened */
  #offer(frames: readonly Buffer[]): boolean {
    const topic = frames[0] as Buffer;
    const end = this.#keyEnd(topic);
    const index = hash(topic, end) % this.#shards.length;
    const shard = this.#shards[index] as Shard;
    const { full } = this.#options;
    const key = full === "conflate" ? topic.toString("latin1", 0, end) : "";
    const bytes = costOf(frames);
    // What is there may leave right now, if the thread wants it.
    if (shard.isFullFor(key, bytes)) this.#send(shard, index);
    return shard.offer(frames, bytes, key);
  }

  /** There may be room for what is held. */
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
      this.#outbox.batch(index, batch.messages);
    }
  }
}

/** Which shard a message belongs to: one hash of one part of its topic. Pure. */

/**
 * The part of the first frame that decides: messages with the same key have an order.
 *
 *   { length: 4 }                     its first 4 bytes
 *   { delimiter: "." }                up to the first "."
 *   { delimiter: ".", parts: 2 }      up to the second "."
 *
 * A frame that is shorter, or has fewer delimiters, is its own key. Default: the whole frame.
 */
export type BlackBoxShardKey =
  | { readonly length: number }
  | { readonly delimiter: string; readonly parts?: number };

/** @returns the end of the key in a first frame */
export type KeyEnd = (topic: Buffer) => number;

/** @throws InvalidArgumentError `EINVAL` for what is no {@link BlackBoxShardKey} */
export function keyEndOf(key: BlackBoxShardKey | undefined): KeyEnd {
  if (key === undefined) return (topic) => topic.length;
  checkKeys("key", key, ["length", "delimiter", "parts"]);
  if ("length" in key) {
    if ("delimiter" in key || "parts" in key)
      throw new InvalidArgumentError("key has a length or a delimiter, not both");
    const length = checkCount("key.length", key.length, 1);
    return (topic) => Math.min(length, topic.length);
  }
  if (typeof key.delimiter !== "string" || key.delimiter === "")
    throw new InvalidArgumentError("key.delimiter is a text of one character or more");
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

/** FNV-1a with an avalanche at its end: keys that differ in their last character alone are spread evenly, too. */
export function hash(bytes: Buffer, end: number): number {
  let value = fnv1a(bytes, 0, end);
  value ^= value >>> 16;
  value = Math.imul(value, 0x85ebca6b);
  value ^= value >>> 13;
  value = Math.imul(value, 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
