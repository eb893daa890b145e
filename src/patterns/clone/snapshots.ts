/**
 * Snapshots: the map at one sequence, sent in batches while it changes.
 *
 *   ids   0 ──── scanned ────┤cursor├──── to be scanned ──── end
 *                                         before a change here, the entry is saved
 *
 * A scan sends the keys up to the snapshot's sequence, and the saved entries last. So only changed entries cost
 * memory.
 */

import { RingBuffer } from "../../core/collections/queues.js";
import { costOf } from "../../core/memory.js";
import type { DeliveryResult } from "../../sockets/index.js";
import { encodeSupport } from "./properties.js";
import { EMPTY, encodeGoodbye, sequenceFrame } from "./protocol.js";
import type { CloneSnapshotLoss } from "./server-options.js";
import type { ServerMap, ServerState } from "./server-state.js";
import type { CloneStoredEntry } from "./store.js";
import type { CloneTable } from "./table.js";

/** Bytes saved for all clients. Above, one snapshot ends, and its client asks again. */
const MAX_SAVED_BYTES = 268_435_456;
/** Ids scanned, and entries sent, at once. */
const MAX_SCAN = 20_000;
const MAX_BATCH = 1_000;

export type SnapshotEntry = Omit<CloneStoredEntry, "expires">;

export function encodeEntry({ key, sequence, value }: SnapshotEntry, properties: Buffer): Buffer[] {
  return [key, sequenceFrame(sequence), EMPTY, properties, value];
}

/** A client, or the follower of a pair. */
export interface SnapshotTarget {
  send(frames: Buffer[]): DeliveryResult;
  /** The properties frame of an entry. */
  properties(entry: SnapshotEntry, now: number): Buffer;
  readonly end: Buffer[];
}

/** "more": the next batch can follow; "full": no room; the others end the snapshot. */
export type PumpResult = "more" | "full" | "gone" | "overrun" | "done";

export class Snapshot {
  readonly sequence: number;
  readonly #prefix: Buffer;
  readonly #table: CloneTable;
  readonly #target: SnapshotTarget;
  readonly #end: number;
  #cursor = 0;
  readonly #saved = new RingBuffer<SnapshotEntry>();
  readonly #total: { bytes: number };
  #savedBytes = 0;
  #isOverrun = false;
  /** Entries. */
  sent = 0;
  sentBytes = 0;

  /** @param total shared with other snapshots */
  constructor(
    { table, sequence }: ServerMap,
    prefix: Buffer,
    target: SnapshotTarget,
    total: { bytes: number } = { bytes: 0 },
  ) {
    this.#table = table;
    this.sequence = sequence;
    this.#prefix = prefix;
    this.#target = target;
    this.#total = total;
    this.#end = table.high;
  }

  beforeChange(id: number): void {
    if (id < this.#cursor || id >= this.#end || this.#isOverrun || !this.#has(id)) return;
    const entry = this.#entry(id);
    this.#count(costOf([entry.key, entry.value]));
    this.#saved.push(entry);
    if (this.#total.bytes > MAX_SAVED_BYTES) this.abandon();
  }

  abandon(): void {
    this.#isOverrun = true;
    this.#saved.clear();
    this.#count(-this.#savedBytes);
  }

  pump(now: number): PumpResult {
    const last = Math.min(this.#end, this.#cursor + MAX_SCAN);
    for (let budget = MAX_BATCH; budget > 0; budget--) {
      if (this.#isOverrun) return "overrun";
      while (this.#cursor < last && !this.#has(this.#cursor)) this.#cursor += 1;
      const scans = this.#cursor < this.#end;
      if (scans && this.#cursor === last) return "more";
      const entry = scans ? this.#entry(this.#cursor) : this.#saved.peek();
      const { send, properties, end } = this.#target;
      const result = send(entry === undefined ? end : encodeEntry(entry, properties(entry, now)));
      if (result !== "sent") return result;
      if (entry === undefined) return "done";
      this.sent += 1;
      const bytes = costOf([entry.key, entry.value]);
      this.sentBytes += bytes;
      if (scans) this.#cursor += 1;
      else {
        this.#saved.shift();
        this.#count(-bytes);
      }
    }
    return "more";
  }

  /** Whether it has the id's entry, unchanged since. */
  #has(id: number): boolean {
    const sequence = this.#table.sequence(id);
    return sequence >= 0 && sequence <= this.sequence && this.#table.hasPrefix(id, this.#prefix);
  }

  #entry(id: number): SnapshotEntry {
    const table = this.#table;
    return { key: table.key(id), value: table.value(id), sequence: table.sequence(id) };
  }

  #count(bytes: number): void {
    this.#savedBytes += bytes;
    this.#total.bytes += bytes;
  }
}

/** ms until a full queue is tried again. */
export const SNAPSHOT_RETRY = 2;
/** A snapshot is given up whose client takes fewer bytes in so many ms: others may wait for its place. */
const MIN_BYTES = 65_536;
const MAX_STALL = 30_000;
/** Requests for snapshots. */
const MAX_WAITING = 10_000;

interface Waiting {
  readonly routingId: Buffer;
  readonly subtree: Buffer;
}

interface Job {
  readonly subtree: Buffer;
  readonly snapshot: Snapshot;
  readonly startedAt: number;
  retryAt: number;
  /** The time of the last progress, and the bytes sent by then. */
  movedAt: number;
  movedBytes: number;
}

/**
 * Snapshots for clients: a few at once, each as fast as its client reads.
 *
 *   waiting ──> sending ──last entry queued──> over
 *
 * SNAPSHOT_MARK_BYTES in server.ts bounds the socket's queue.
 */
export class ServerSnapshots {
  readonly #server: ServerState;
  /** By routing id. */
  readonly #jobs = new Map<string, Job>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #saved: { bytes: number } = { bytes: 0 };
  done = 0;
  lost = 0;

  constructor(server: ServerState) {
    this.#server = server;
  }

  get active(): number {
    return this.#jobs.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** A repeated request is dropped while its snapshot is in flight. */
  request(routingId: Buffer, subtree: Buffer): void {
    const name = routingId.toString("latin1");
    if (this.#jobs.has(name) || this.#waiting.has(name)) return;
    if (this.#waiting.size >= MAX_WAITING) {
      this.#lose(subtree, "too-many");
      return;
    }
    // Views of a larger chunk.
    this.#waiting.set(name, { routingId: Buffer.from(routingId), subtree: Buffer.from(subtree) });
  }

  beforeChange(id: number): void {
    for (const { snapshot } of this.#jobs.values()) snapshot.beforeChange(id);
  }

  pump(now: number): void {
    for (const [name, next] of this.#waiting) {
      if (!this.#hasPlace()) break;
      this.#waiting.delete(name);
      this.#jobs.set(name, this.#begin(next, now));
    }
    for (const [name, job] of [...this.#jobs]) {
      if (job.retryAt > now || this.#advance(job, now)) continue;
      job.snapshot.abandon();
      this.#jobs.delete(name);
    }
  }

  /** When {@link pump} can go on; 0: at once. */
  next(): number {
    if (this.#waiting.size > 0 && this.#hasPlace()) return 0;
    let next = Number.POSITIVE_INFINITY;
    for (const { retryAt } of this.#jobs.values()) next = Math.min(next, retryAt);
    return next;
  }

  /** No snapshot was begun for them, so none is lost. */
  dropWaiting(): void {
    this.#waiting.clear();
  }

  clear(): void {
    for (const { snapshot } of this.#jobs.values()) snapshot.abandon();
    const lost = [...this.#jobs.values(), ...this.#waiting.values()];
    this.#jobs.clear();
    this.#waiting.clear();
    for (const { subtree } of lost) this.#lose(subtree, "not-serving");
  }

  #hasPlace(): boolean {
    return this.#jobs.size < this.#server.options.maxSnapshots;
  }

  #begin({ routingId, subtree }: Waiting, now: number): Job {
    const { effects, map } = this.#server;
    const { sequence, subtrees } = map;
    subtrees.register(subtree, sequence);
    const target: SnapshotTarget = {
      send: (frames) => effects.reply(routingId, frames),
      properties: () => EMPTY,
      end: encodeGoodbye(sequence, subtree, encodeSupport(subtrees.of(subtree))),
    };
    const snapshot = new Snapshot(map, subtree, target, this.#saved);
    return { subtree, snapshot, startedAt: now, retryAt: 0, movedAt: now, movedBytes: 0 };
  }

  /** @returns whether it goes on */
  #advance(job: Job, now: number): boolean {
    const { snapshot, subtree } = job;
    const result = snapshot.pump(now);
    const { sentBytes } = snapshot;
    if (result === "more" || sentBytes - job.movedBytes >= MIN_BYTES)
      Object.assign(job, { movedAt: now, movedBytes: sentBytes });
    job.retryAt = result === "full" ? now + SNAPSHOT_RETRY : 0;
    if (result === "more" || (result === "full" && now - job.movedAt < MAX_STALL)) return true;
    if (result === "done") this.#finish(job, now);
    else this.#lose(subtree, result === "full" ? "gone" : result);
    return false;
  }

  #finish({ subtree, snapshot, startedAt }: Job, now: number): void {
    this.done += 1;
    const { sent: entries, sequence } = snapshot;
    const duration = now - startedAt;
    this.#server.effects.event({ type: "snapshot:sent", subtree, entries, sequence, duration });
  }

  #lose(subtree: Buffer, reason: CloneSnapshotLoss): void {
    this.lost += 1;
    this.#server.effects.event({ type: "snapshot:lost", subtree, reason });
  }
}
