/**
 * Snapshots: the map at one sequence, sent in batches while it changes.
 *
 *   ids   0 ──── scanned ────┤cursor├──── to be scanned ──── end
 *                                         before a change here, the entry is saved
 *
 * A scan sends the keys up to the snapshot's sequence, and the saved entries last. So only changed entries cost
 * memory.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { costOf } from "../../core/frame-cost.js";
import { encodeSupport, type SubtreeSequences } from "./properties.js";
import { EMPTY, encodeGoodbye, sequenceFrame } from "./protocol.js";
import { type CloneSnapshotLoss, MAX_WAITING, type ServerRulesOptions } from "./server-options.js";
import type { SendResult, ServerEffects } from "./server-state.js";
import type { CloneStoredEntry } from "./store.js";
import type { CloneTable } from "./table.js";

/** Bytes saved for all clients. Above, one snapshot ends, and its client asks again. */
const MAX_SAVED_BYTES = 268_435_456;
/** Ids scanned in one batch. */
const MAX_SCAN = 20_000;

export type SnapshotEntry = Omit<CloneStoredEntry, "expires">;

export interface SavedBytes {
  bytes: number;
}

export class Snapshot {
  readonly sequence: number;
  readonly prefix: Buffer;
  readonly #table: CloneTable;
  readonly #end: number;
  #cursor = 0;
  readonly #saved = new RingBuffer<SnapshotEntry>();
  readonly #total: SavedBytes;
  #savedBytes = 0;
  overrun = false;

  /** @param total shared with other snapshots */
  constructor(table: CloneTable, prefix: Buffer, sequence: number, total: SavedBytes = { bytes: 0 }) {
    this.#table = table;
    this.#total = total;
    this.prefix = prefix;
    this.sequence = sequence;
    this.#end = table.high;
  }

  get done(): boolean {
    return this.#cursor >= this.#end && this.#saved.length === 0;
  }

  beforeChange(id: number): void {
    if (id < this.#cursor || id >= this.#end || this.overrun) return;
    const table = this.#table;
    if (table.sequence(id) > this.sequence || !table.hasPrefix(id, this.prefix)) return;
    const entry = { key: table.key(id), value: table.value(id), sequence: table.sequence(id) };
    this.#count(costOf([entry.key, entry.value]));
    this.#saved.push(entry);
    if (this.#total.bytes > MAX_SAVED_BYTES) this.abandon();
  }

  abandon(): void {
    this.overrun = true;
    this.#saved.clear();
    this.#count(-this.#savedBytes);
    this.#cursor = this.#end;
  }

  /** About `max` and `maxBytes`. An empty batch is not the end; see `done`. */
  take(max: number, maxBytes: number): SnapshotEntry[] {
    const table = this.#table;
    const entries: SnapshotEntry[] = [];
    let bytes = 0;
    const last = Math.min(this.#end, this.#cursor + MAX_SCAN);
    let id = this.#cursor;
    for (; id < last && entries.length < max && bytes < maxBytes; id++) {
      const sequence = table.sequence(id);
      if (sequence < 0 || sequence > this.sequence || !table.hasPrefix(id, this.prefix)) continue;
      entries.push({ key: table.key(id), value: table.value(id), sequence });
      bytes += table.keyLength(id) + table.valueLength(id);
    }
    this.#cursor = id;
    if (id < this.#end) return entries;
    for (let entry = this.#saved.peek(); entry !== undefined; entry = this.#saved.peek()) {
      if (entries.length >= max || bytes >= maxBytes) break;
      bytes += entry.key.length + entry.value.length;
      entries.push(entry);
      this.#saved.shift();
      this.#count(-costOf([entry.key, entry.value]));
    }
    return entries;
  }

  #count(bytes: number): void {
    this.#savedBytes += bytes;
    this.#total.bytes += bytes;
  }
}

const BATCH = 1_000;
const BATCH_BYTES = 1_048_576;

/** "more": the next batch can follow; "full": no room; the others end the snapshot. */
export type PumpResult = "more" | "full" | "gone" | "overrun" | "done";

/** Sends a snapshot and its end, to a client or to the follower of a pair. */
export class SnapshotPump {
  readonly snapshot: Snapshot;
  readonly #send: (frames: Buffer[]) => SendResult;
  readonly #encode: (entry: SnapshotEntry, now: number) => Buffer[];
  readonly #end: Buffer[];
  #entries: SnapshotEntry[] = [];
  #at = 0;
  sent = 0;

  constructor(
    snapshot: Snapshot,
    send: (frames: Buffer[]) => SendResult,
    encode: (entry: SnapshotEntry, now: number) => Buffer[],
    end: Buffer[],
  ) {
    this.snapshot = snapshot;
    this.#send = send;
    this.#encode = encode;
    this.#end = end;
  }

  pump(now: number): PumpResult {
    for (let budget = BATCH; budget > 0; budget--) {
      if (this.#at >= this.#entries.length) {
        this.#entries = this.snapshot.take(budget, BATCH_BYTES);
        this.#at = 0;
      }
      if (this.snapshot.overrun) return "overrun";
      const entry = this.#entries[this.#at];
      if (entry === undefined && !this.snapshot.done) return "more";
      const result = this.#send(entry === undefined ? this.#end : this.#encode(entry, now));
      if (result !== "sent") return result;
      if (entry === undefined) return "done";
      this.#at += 1;
      this.sent += 1;
    }
    return "more";
  }
}

/** ms until a full queue is tried again. */
export const SNAPSHOT_RETRY = 2;
/** ms without progress before a snapshot is given up. */
const MAX_STALL = 30_000;

interface Job {
  readonly routingId: Buffer;
  readonly subtree: Buffer;
  readonly pump: SnapshotPump;
  readonly startedAt: number;
  retryAt: number;
  /** The time of the last progress. */
  movedAt: number;
}

type Waiting = Pick<Job, "routingId" | "subtree">;

/**
 * Snapshots for clients: a few at once, each as fast as its client reads.
 *
 *   waiting ──> sending ──last entry queued──> over
 *
 * SNAPSHOT_MARK_BYTES in server-options.ts bounds the socket's queue.
 */
export class ServerSnapshots {
  readonly #options: ServerRulesOptions;
  readonly #effects: ServerEffects;
  readonly #subtrees: SubtreeSequences;
  #jobs: Job[] = [];
  readonly #waiting = new RingBuffer<Waiting>();
  readonly #known = new Set<string>();
  readonly #saved: SavedBytes = { bytes: 0 };
  done = 0;
  lost = 0;

  constructor(options: ServerRulesOptions, effects: ServerEffects, subtrees: SubtreeSequences) {
    this.#options = options;
    this.#effects = effects;
    this.#subtrees = subtrees;
  }

  get active(): number {
    return this.#jobs.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** A repeated request is dropped while its snapshot is in flight. */
  request(routingId: Buffer, subtree: Buffer): void {
    const name = routingId.toString("latin1");
    if (this.#known.has(name)) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#lose(subtree, "too-many");
      return;
    }
    this.#known.add(name);
    // Views of a larger chunk.
    this.#waiting.push({ routingId: Buffer.from(routingId), subtree: Buffer.from(subtree) });
  }

  beforeChange(id: number): void {
    for (let i = 0; i < this.#jobs.length; i++) (this.#jobs[i] as Job).pump.snapshot.beforeChange(id);
  }

  /** @param sequence of the table */
  pump(table: CloneTable, sequence: number, now: number): void {
    while (this.#hasPlace()) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#jobs.push(this.#begin(next, table, sequence, now));
    }
    for (const job of [...this.#jobs]) if (job.retryAt <= now && !this.#advance(job, now)) this.#end(job);
  }

  next(now: number): number | undefined {
    if (this.#waiting.length > 0 && this.#hasPlace()) return now;
    let next: number | undefined;
    for (const { retryAt } of this.#jobs) if (next === undefined || retryAt < next) next = retryAt;
    return next === undefined ? undefined : Math.max(next, now);
  }

  clear(): void {
    for (const job of this.#jobs) {
      job.pump.snapshot.abandon();
      this.#lose(job.subtree, "not-serving");
    }
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      this.#lose(next.subtree, "not-serving");
    this.#jobs = [];
    this.#known.clear();
  }

  #hasPlace(): boolean {
    return this.#jobs.length < this.#options.maxSnapshots;
  }

  #begin({ routingId, subtree }: Waiting, table: CloneTable, sequence: number, now: number): Job {
    this.#subtrees.register(subtree, sequence);
    return {
      routingId,
      subtree,
      pump: new SnapshotPump(
        new Snapshot(table, subtree, sequence, this.#saved),
        (frames) => this.#effects.reply(routingId, frames),
        ({ key, sequence: revision, value }) => [key, sequenceFrame(revision), EMPTY, EMPTY, value],
        encodeGoodbye(sequence, subtree, encodeSupport(this.#subtrees.of(subtree))),
      ),
      startedAt: now,
      retryAt: 0,
      movedAt: now,
    };
  }

  /** @returns whether it goes on */
  #advance(job: Job, now: number): boolean {
    const { pump, subtree } = job;
    const before = pump.sent;
    const result = pump.pump(now);
    if (result === "more" || pump.sent > before) job.movedAt = now;
    job.retryAt = result === "full" ? now + SNAPSHOT_RETRY : 0;
    if (result === "more" || (result === "full" && now - job.movedAt < MAX_STALL)) return true;
    if (result === "done") this.#finish(job, now);
    else this.#lose(subtree, result === "full" ? "gone" : result);
    return false;
  }

  #finish({ subtree, pump, startedAt }: Job, now: number): void {
    this.done += 1;
    const { sent: entries, snapshot } = pump;
    const [sequence, duration] = [snapshot.sequence, now - startedAt];
    this.#effects.event({ type: "snapshot:sent", subtree, entries, sequence, duration });
  }

  #end(job: Job): void {
    job.pump.snapshot.abandon();
    this.#jobs = this.#jobs.filter((other) => other !== job);
    this.#known.delete(job.routingId.toString("latin1"));
  }

  #lose(subtree: Buffer, reason: CloneSnapshotLoss): void {
    this.lost += 1;
    this.#effects.event({ type: "snapshot:lost", subtree, reason });
  }
}
