/**
 * The snapshots that clients asked for: a few at once, each as fast as its own
 * client takes it, the others in their turn. A client whose queue is full is left
 * alone for a moment; nobody waits for it.
 *
 *   waiting ──> under way ──last entry queued──> leaving ──queue empty──> over
 *
 * One that is leaving keeps its place among those at once: clients that stopped reading could otherwise have the
 * server hold a full queue for each of them.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { Chains } from "./chains.js";
import { EMPTY, encodeGoodbye, sequenceFrame } from "./protocol.js";
import type { SnapshotLoss } from "./server-events.js";
import type { ServerOutbox, ServerRulesOptions } from "./server-outbox.js";
import { type SavedBytes, Snapshot, type SnapshotEntry } from "./snapshots.js";
import type { CloneTable } from "./table.js";

/** Entries sent to one client in one go. */
const BATCH = 1_000;
const BATCH_BYTES = 1_048_576;
/** ms until a client whose queue was full is tried again, at first and at most. */
const RETRY = 1;
const MAX_RETRY = 20;
/** ms that a client may take nothing at all; then its snapshot is given up. */
const MAX_STALL = 30_000;

interface Job {
  readonly routingId: Buffer;
  readonly subtree: Buffer;
  readonly snapshot: Snapshot;
  readonly goodbye: Buffer[];
  readonly startedAt: number;
  entries: SnapshotEntry[];
  at: number;
  sent: number;
  retryAt: number;
  retry: number;
  movedAt: number;
}

/** A snapshot whose last bytes wait for its client. */
interface Leaving {
  readonly routingId: Buffer;
  queued: number;
  /** When there were last fewer. */
  movedAt: number;
}

interface Waiting {
  readonly routingId: Buffer;
  readonly subtree: Buffer;
}

export class ServerSnapshots {
  readonly #options: ServerRulesOptions;
  readonly #outbox: ServerOutbox;
  readonly #chains: Chains;
  #jobs: Job[] = [];
  #leaving: Leaving[] = [];
  /** When to look at them next, where somebody waits for a place. */
  #lookAt = 0;
  readonly #waiting = new RingBuffer<Waiting>();
  /** Routing ids of all of them. */
  readonly #known = new Set<string>();
  readonly #saved: SavedBytes = { bytes: 0 };
  done = 0;
  lost = 0;

  constructor(options: ServerRulesOptions, outbox: ServerOutbox, chains: Chains) {
    this.#options = options;
    this.#outbox = outbox;
    this.#chains = chains;
  }

  get active(): number {
    return this.#jobs.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** A client asks. One that asks again while its snapshot is on its way gets that one. */
  request(routingId: Buffer, subtree: Buffer): void {
    const name = routingId.toString("latin1");
    if (this.#known.has(name)) return;
    if (this.#waiting.length >= this.#options.maxWaiting) {
      this.#lose(subtree, "too-many");
      return;
    }
    this.#known.add(name);
    // They are views of received memory, which would be held whole.
    this.#waiting.push({ routingId: Buffer.from(routingId), subtree: Buffer.from(subtree) });
  }

  /** A key that is there is about to change. */
  beforeChange(id: number): void {
    for (let i = 0; i < this.#jobs.length; i++) (this.#jobs[i] as Job).snapshot.beforeChange(id);
  }

  /** Sends on. @param sequence of the table, for snapshots that begin now */
  pump(table: CloneTable, sequence: number, now: number): void {
    if (this.#leaving.length > 0 && this.#lookAt <= now) {
      this.#leaving = this.#leaving.filter((each) => this.#isLeaving(each, now));
      this.#lookAt = now + MAX_RETRY;
    }
    while (this.#hasPlace()) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#jobs.push(this.#begin(next, table, sequence, now));
    }
    for (const job of [...this.#jobs]) if (job.retryAt <= now && !this.#advance(job, now)) this.#end(job);
  }

  next(now: number): number | undefined {
    if (this.#waiting.length > 0 && this.#hasPlace()) return now;
    let next = this.#waiting.length > 0 && this.#leaving.length > 0 ? this.#lookAt : undefined;
    for (const { retryAt } of this.#jobs) if (next === undefined || retryAt < next) next = retryAt;
    return next === undefined ? undefined : Math.max(next, now);
  }

  /** This server serves nobody any more. */
  clear(): void {
    for (const job of this.#jobs) {
      job.snapshot.abandon();
      this.#lose(job.subtree, "not-serving");
    }
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      this.#lose(next.subtree, "not-serving");
    this.#jobs = [];
    this.#leaving = [];
    this.#known.clear();
  }

  #hasPlace(): boolean {
    return this.#jobs.length + this.#leaving.length < this.#options.maxSnapshots;
  }

  #isLeaving(each: Leaving, now: number): boolean {
    const queued = this.#outbox.queued(each.routingId);
    if (queued < each.queued) each.movedAt = now;
    each.queued = queued;
    return queued > 0 && now - each.movedAt < MAX_STALL;
  }

  #begin({ routingId, subtree }: Waiting, table: CloneTable, sequence: number, now: number): Job {
    this.#chains.register(subtree, sequence);
    return {
      routingId,
      subtree,
      snapshot: new Snapshot(table, subtree, sequence, this.#saved),
      goodbye: encodeGoodbye(sequence, subtree, this.#chains.of(subtree)),
      startedAt: now,
      entries: [],
      at: 0,
      sent: 0,
      retryAt: 0,
      retry: RETRY,
      movedAt: now,
    };
  }

  /** @returns whether there is more to do */
  #advance(job: Job, now: number): boolean {
    const before = job.sent;
    for (let budget = BATCH; budget > 0; budget--) {
      const entry = this.#nextEntry(job, budget);
      if (job.snapshot.overrun) {
        this.#lose(job.subtree, "overrun");
        return false;
      }
      if (entry === undefined && !job.snapshot.done) return true;
      const frames =
        entry === undefined
          ? job.goodbye
          : [entry.key, sequenceFrame(entry.sequence), EMPTY, EMPTY, entry.value];
      const result = this.#outbox.reply(job.routingId, frames);
      if (result === "gone") {
        this.#lose(job.subtree, "gone");
        return false;
      }
      if (result === "full") return this.#wait(job, before, now);
      if (entry === undefined) {
        this.done += 1;
        const { subtree, sent: entries, snapshot, startedAt } = job;
        const duration = now - startedAt;
        this.#outbox.event({ type: "snapshot", subtree, entries, sequence: snapshot.sequence, duration });
        const queued = this.#outbox.queued(job.routingId);
        if (queued > 0) {
          if (this.#leaving.length === 0) this.#lookAt = now + RETRY;
          this.#leaving.push({ routingId: job.routingId, queued, movedAt: now });
        }
        return false;
      }
      job.at += 1;
      job.sent += 1;
    }
    job.retryAt = 0;
    job.movedAt = now;
    return true;
  }

  #nextEntry(job: Job, budget: number): SnapshotEntry | undefined {
    if (job.at >= job.entries.length) {
      job.entries = job.snapshot.take(budget, BATCH_BYTES);
      job.at = 0;
    }
    return job.entries[job.at];
  }

  #wait(job: Job, before: number, now: number): boolean {
    if (job.sent > before) {
      job.movedAt = now;
      job.retry = RETRY;
    } else job.retry = Math.min(job.retry * 2, MAX_RETRY);
    job.retryAt = now + job.retry;
    if (now - job.movedAt < MAX_STALL) return true;
    this.#lose(job.subtree, "gone");
    return false;
  }

  #end(job: Job): void {
    job.snapshot.abandon();
    this.#jobs = this.#jobs.filter((other) => other !== job);
    this.#known.delete(job.routingId.toString("latin1"));
  }

  #lose(subtree: Buffer, reason: SnapshotLoss): void {
    this.lost += 1;
    this.#outbox.event({ type: "snapshot:lost", subtree, reason });
  }
}
