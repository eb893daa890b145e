/**
 * Black Box's rules: what of the stream waits for which shard, what goes to its thread, and what is dropped. Pure.
 *
 *                  receive                               finished
 *   SUB ──> shard of the key ──> queue (bounded) ──> in hand ──> handled, failed
 *                    │                │                 │
 *                    └── dropped <────┘ <───────────────┴── lost with a thread that crashed; the others wait again
 *
 *   received = held + handled + failed + queued + in hand + dropped{newest, oldest, conflated, too-large, closed} + lost
 *
 * With `wait`, what was read and has no room is held: one read at most, since nothing is read meanwhile.
 *
 * Messages with one key go to one shard, in order; a shard's thread has at most `maxInHand` batches at a time, and
 * deals with one message after the other. Meanwhile the queue grows, and the next batch with it: batches are as large
 * as the load wants them.
 */
import { RingBuffer } from "../../core/ring-buffer.js";
import { hash, type KeyEnd } from "./sharding.js";

/** What happens to a message whose shard's queue is full. */
export type FullPolicy =
  /** The message is dropped. */
  | "drop-newest"
  /** The oldest ones of the queue are dropped, until there is room. */
  | "drop-oldest"
  /** Full or not: a message takes the place of the one with the same key that waits. Then as `drop-oldest`. */
  | "conflate"
  /** Nothing is read until there is room: the SUB's high-water mark fills, and then the publisher drops. */
  | "wait";

/** Why a message was dropped. */
export type BoxDropReason =
  /** The queue was full, and the policy is `drop-newest`. */
  | "newest"
  /** The queue was full, and a later message came. */
  | "oldest"
  /** A later message with the same key came (`conflate`). */
  | "conflated"
  /** It alone is more than a queue may hold. */
  | "too-large"
  /** It still waited when the Black Box was closed. */
  | "closed";

/** What the rules need to know. */
export interface BoxRulesOptions {
  readonly shards: number;
  readonly full: FullPolicy;
  /** Messages, and bytes of their frames, that wait for one shard. */
  readonly maxQueued: number;
  readonly maxQueuedBytes: number;
  /** Messages, and bytes (but one message at least), of a batch. */
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  /** Batches that a shard's thread has in hand. */
  readonly maxInHand: number;
}

/** What goes out. */
export interface BoxOutbox {
  /** Messages for a shard's thread, which is up. */
  batch(shard: number, messages: readonly (readonly Buffer[])[], bytes: number): void;
}

/** One shard's accounts at this moment, all counts since the beginning. */
export interface ShardStats {
  readonly received: number;
  readonly handled: number;
  readonly failed: number;
  readonly queued: number;
  readonly queuedBytes: number;
  /** With the thread, and not told of as finished. */
  readonly inHand: number;
  /** Messages that a thread was at when it crashed, or was ended. */
  readonly lost: number;
  readonly dropped: Readonly<Record<BoxDropReason, number>>;
  /** Batches sent to the thread. */
  readonly batches: number;
}

/** The accounts at this moment. */
export interface BoxRulesStats {
  /** Messages that came. */
  readonly received: number;
  /** Messages read that wait for room in their shard's queue (`wait`). */
  readonly held: number;
  readonly shards: readonly ShardStats[];
}

/** Drops since the last time that somebody asked. */
export interface Drops {
  readonly shard: number;
  readonly reason: BoxDropReason;
  readonly messages: number;
}

interface Entry {
  frames: readonly Buffer[];
  bytes: number;
  readonly key: string;
}

interface Batch {
  readonly messages: readonly (readonly Buffer[])[];
  readonly bytes: number;
}

const REASONS: readonly BoxDropReason[] = ["newest", "oldest", "conflated", "too-large", "closed"];

class Shard {
  readonly queue = new RingBuffer<Entry>();
  /** By key; with `conflate` only. */
  readonly byKey = new Map<string, Entry>();
  /** What the thread has not told of as finished, in order: its own copy is lost with it. */
  readonly batches = new RingBuffer<Batch>();
  /** What the thread before it had not begun. */
  readonly again = new RingBuffer<Batch>();
  readonly dropped: Record<BoxDropReason, number> = {
    newest: 0,
    oldest: 0,
    conflated: 0,
    "too-large": 0,
    closed: 0,
  };
  readonly told: Record<BoxDropReason, number> = { ...this.dropped };
  received = 0;
  handled = 0;
  failed = 0;
  lost = 0;
  bytes = 0;
  inHand = 0;
  sent = 0;
  /** Whether there is a thread that takes batches. */
  up = false;
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
    this.#shards = Array.from({ length: options.shards }, () => new Shard());
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
    const messages = shard.batches.shift()?.messages.length ?? 0;
    this.#account(shard, messages, Math.min(failed, messages));
    this.#send(shard, index);
    this.#release();
    return messages;
  }

  /**
   * A shard's thread is gone. The message that it was at is lost, and not tried again: it may have been the cause.
   * What it had beside that goes to its successor first, in order.
   *
   * @param progress messages that it had begun and finished since the last batch it told of, and failed of those
   * @returns the messages lost
   */
  crashed(index: number, progress: { begun: number; finished: number; failed: number }): number {
    const shard = this.#shards[index] as Shard;
    const begun = Math.min(progress.begun, shard.inHand);
    const finished = Math.min(progress.finished, begun);
    this.#account(shard, finished, Math.min(progress.failed, finished));
    const lost = begun - finished;
    shard.up = false;
    shard.lost += lost;
    let over = begun;
    for (let batch = shard.batches.shift(); batch !== undefined; batch = shard.batches.shift()) {
      const { messages } = batch;
      if (over < messages.length) shard.again.push(over === 0 ? batch : without(batch, over));
      over = Math.max(0, over - messages.length);
    }
    shard.inHand = 0;
    return lost;
  }

  /** Whether nothing waits for a thread or is in its hands. */
  get idle(): boolean {
    if (this.#held.length > 0) return false;
    return this.#shards.every(
      (shard) => shard.queue.length === 0 && shard.again.length === 0 && shard.inHand === 0,
    );
  }

  /** Drops all that waits. */
  close(): void {
    for (let frames = this.#held.shift(); frames !== undefined; frames = this.#held.shift()) {
      const shard = this.#shards[this.shardOf(frames)] as Shard;
      shard.received += 1;
      shard.dropped.closed += 1;
    }
    for (const shard of this.#shards) {
      for (let batch = shard.again.shift(); batch !== undefined; batch = shard.again.shift())
        shard.dropped.closed += batch.messages.length;
      shard.dropped.closed += shard.queue.length;
      shard.queue.clear();
      shard.byKey.clear();
      shard.bytes = 0;
    }
  }

  stats(): BoxRulesStats {
    const shards = this.#shards.map((shard) => ({
      received: shard.received,
      handled: shard.handled,
      failed: shard.failed,
      queued: shard.queue.length + waitingAgain(shard),
      queuedBytes: shard.bytes,
      inHand: shard.inHand,
      lost: shard.lost,
      dropped: { ...shard.dropped },
      batches: shard.sent,
    }));
    return { received: this.#received, held: this.#held.length, shards };
  }

  /** What was dropped since the last call. */
  takeDrops(): Drops[] {
    const drops: Drops[] = [];
    for (const [index, shard] of this.#shards.entries()) {
      for (const reason of REASONS) {
        const messages = shard.dropped[reason] - shard.told[reason];
        if (messages > 0) drops.push({ shard: index, reason, messages });
        shard.told[reason] = shard.dropped[reason];
      }
    }
    return drops;
  }

  /** @returns `false`, with `wait` only: there is no room, and nothing has happened */
  #offer(frames: readonly Buffer[]): boolean {
    const topic = frames[0] as Buffer;
    const end = this.#keyEnd(topic);
    const index = hash(topic, end) % this.#shards.length;
    const shard = this.#shards[index] as Shard;
    const { full, maxQueuedBytes } = this.#options;
    let bytes = 0;
    for (let i = 0; i < frames.length; i++) bytes += (frames[i] as Buffer).length;
    if (bytes > maxQueuedBytes) return drop(shard, "too-large");
    const key = full === "conflate" ? topic.toString("latin1", 0, end) : "";
    if (full === "conflate" && this.#replace(shard, key, frames, bytes)) return true;
    // What is there may leave right now, if the thread wants it.
    if (!this.#hasRoom(shard, bytes)) this.#send(shard, index);
    while (!this.#hasRoom(shard, bytes)) {
      if (full === "wait") return false;
      if (full === "drop-newest") return drop(shard, "newest");
      this.#dropOldest(shard);
    }
    shard.received += 1;
    const entry: Entry = { frames, bytes, key };
    shard.queue.push(entry);
    shard.bytes += bytes;
    if (full === "conflate") shard.byKey.set(key, entry);
    return true;
  }

  #hasRoom(shard: Shard, bytes: number): boolean {
    const { maxQueued, maxQueuedBytes } = this.#options;
    return shard.queue.length < maxQueued && shard.bytes + bytes <= maxQueuedBytes;
  }

  /** The message that waits under this key gives its place, if the newer one fits there. */
  #replace(shard: Shard, key: string, frames: readonly Buffer[], bytes: number): boolean {
    const waiting = shard.byKey.get(key);
    if (waiting === undefined) return false;
    shard.received += 1;
    shard.dropped.conflated += 1;
    shard.bytes += bytes - waiting.bytes;
    waiting.frames = frames;
    waiting.bytes = bytes;
    // A larger one in a full queue pushes out the oldest; itself at last only if it is alone, and alone it fits.
    while (shard.bytes > this.#options.maxQueuedBytes) this.#dropOldest(shard);
    return true;
  }

  #dropOldest(shard: Shard): void {
    this.#take(shard);
    shard.dropped.oldest += 1;
  }

  #take(shard: Shard): Entry {
    const entry = shard.queue.shift() as Entry;
    shard.bytes -= entry.bytes;
    if (this.#options.full === "conflate") shard.byKey.delete(entry.key);
    return entry;
  }

  #account(shard: Shard, messages: number, failed: number): void {
    shard.handled += messages - failed;
    shard.failed += failed;
    shard.inHand -= messages;
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
    const { maxBatch, maxBatchBytes, maxInHand } = this.#options;
    while (shard.up && shard.batches.length < maxInHand) {
      const again = shard.again.shift();
      if (again !== undefined) {
        this.#hand(shard, index, again);
        continue;
      }
      if (shard.queue.length === 0) return;
      const messages: (readonly Buffer[])[] = [];
      let bytes = 0;
      for (let head = shard.queue.peek(); head !== undefined; head = shard.queue.peek()) {
        if (messages.length > 0 && (messages.length >= maxBatch || bytes + head.bytes > maxBatchBytes)) break;
        bytes += head.bytes;
        messages.push(this.#take(shard).frames);
      }
      this.#hand(shard, index, { messages, bytes });
    }
  }

  #hand(shard: Shard, index: number, batch: Batch): void {
    shard.batches.push(batch);
    shard.inHand += batch.messages.length;
    shard.sent += 1;
    this.#outbox.batch(index, batch.messages, batch.bytes);
  }
}

function waitingAgain(shard: Shard): number {
  let messages = 0;
  shard.again.retain((batch) => {
    messages += batch.messages.length;
    return true;
  });
  return messages;
}

/** A batch without its first messages. */
function without(batch: Batch, first: number): Batch {
  let { bytes } = batch;
  for (let m = 0; m < first; m++) {
    for (const frame of batch.messages[m] as readonly Buffer[]) bytes -= frame.length;
  }
  return { messages: batch.messages.slice(first), bytes };
}

/** A message that came is not kept. */
function drop(shard: Shard, reason: BoxDropReason): true {
  shard.received += 1;
  shard.dropped[reason] += 1;
  return true;
}
