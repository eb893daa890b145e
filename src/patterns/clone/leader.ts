/**
 * The replication link as the server that serves sees it: one other server, which
 * gets the map and then every update.
 *
 *   none ──FOLLOW──> catching up ──HAVE of the END or later──> in step
 *     ^                   │                                       │
 *     └── gone, silent, or slower than its queue is long ─────────┘
 *
 * While it is in step, updates are held until it has them.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { costOf } from "../../core/frame-cost.js";
import type { Operation } from "./operation.js";
import {
  encodeBegin,
  encodeEntry,
  encodeMark,
  encodeSeen,
  encodeUpdate,
  LinkCommand,
} from "./replication.js";
import type { Expiry } from "./server-map.js";
import type { SendResult } from "./server-state.js";
import type { Snapshot, SnapshotEntry } from "./snapshots.js";
import type { CloneTable } from "./table.js";

/** Messages of a map sent in one go. */
const BATCH = 512;
const BATCH_BYTES = 1_048_576;
/** UUIDs in a message. */
export const SEEN_BATCH = 4_096;
/** ms until a full queue is tried again. */
const RETRY = 2;
/** Updates that wait for the other server's queue to have room; past it, it is too slow. */
const MAX_BACKLOG = 100_000;
/** Bytes of them, in addition to their number. */
const MAX_BACKLOG_BYTES = 268_435_456;

type Send = (routingId: Buffer, frames: Buffer[]) => SendResult;
/** Hears that the other server is not there any more, or cannot keep up; the caller of `leave` knows it. */
type OnLeft = (reason: "gone" | "slow") => void;

/** What keys are and when they end. */
interface LedMap {
  readonly table: CloneTable;
  readonly expiry: Expiry;
}

export class Leader {
  readonly #send: Send;
  readonly #onLeft: OnLeft;
  readonly #map: LedMap;
  #routingId: Buffer | undefined;
  #session: Buffer = Buffer.alloc(0);
  #snapshot: Snapshot | undefined;
  #entries: SnapshotEntry[] = [];
  #at = 0;
  #seen: readonly Buffer[] = [];
  /** Where the END is: HAVE from there on means in step. */
  #end = 0;
  /** All of the map is sent. */
  #sent = false;
  /** Frames that found no room, in order. */
  readonly #backlog = new RingBuffer<Buffer[]>();
  #backlogBytes = 0;
  #retryAt = 0;
  inStep = false;
  /** When it last sent anything. */
  heardAt = 0;

  /** @param map may be another one later, while nobody is there */
  constructor(send: Send, onLeft: OnLeft, map: LedMap) {
    this.#send = send;
    this.#onLeft = onLeft;
    this.#map = map;
  }

  /** Whether there is another server, in step or not yet. */
  get present(): boolean {
    return this.#routingId !== undefined;
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  is(routingId: Buffer): boolean {
    return this.#routingId?.equals(routingId) === true;
  }

  isSession(session: Buffer): boolean {
    return this.#session.equals(session);
  }

  /**
   * @param standing whose map it is, in bytes
   * @param seen UUIDs of updates applied lately, {@link SEEN_BATCH} in each Buffer at most
   * @param ahead updates after the snapshot's sequence that are on their way already
   */
  begin(
    routingId: Buffer,
    session: Buffer,
    standing: Buffer,
    snapshot: Snapshot,
    seen: readonly Buffer[],
    ahead: readonly Operation[],
    now: number,
  ): void {
    this.leave();
    this.#routingId = Buffer.from(routingId);
    this.#session = Buffer.from(session);
    this.#snapshot = snapshot;
    this.#seen = seen;
    this.#end = snapshot.sequence;
    this.#sent = false;
    this.heardAt = now;
    this.#put(encodeBegin(this.#session, snapshot.sequence, standing), now);
    for (const operation of ahead) this.update(operation, now);
  }

  update(operation: Operation, now: number): void {
    this.#put(encodeUpdate(this.#session, operation, now), now);
  }

  beat(sequence: number, now: number): void {
    if (this.#backlog.length === 0) this.#put(encodeMark(LinkCommand.BEAT, this.#session, sequence), now);
  }

  /** It has everything up to here. @returns whether it is in step from now on */
  have(sequence: number, now: number): boolean {
    this.heardAt = now;
    if (this.inStep || !this.#sent || sequence < this.#end) return false;
    this.inStep = true;
    return true;
  }

  /** Sends on. */
  pump(now: number): void {
    if (this.#routingId === undefined || now < this.#retryAt || !this.#drain(now)) return;
    const snapshot = this.#snapshot;
    if (snapshot === undefined) return;
    for (let budget = BATCH; budget > 0; budget--) {
      if (this.#at >= this.#entries.length) {
        this.#entries = snapshot.take(budget, BATCH_BYTES);
        this.#at = 0;
        if (this.#entries.length === 0) {
          if (snapshot.done) this.#finish(now);
          return;
        }
      }
      const { key, value, sequence } = this.#entries[this.#at++] as SnapshotEntry;
      const { table, expiry } = this.#map;
      const id = table.find(key);
      // The map may have gone on: what the key has by now comes as an update, too.
      const time = id >= 0 && table.sequence(id) === sequence ? expiry.timeOf(id) : 0;
      const ttl = time === 0 ? 0 : Math.max(1, time - now);
      if (!this.#put(encodeEntry(this.#session, key, sequence, ttl, value), now)) return;
      if (this.#backlog.length > 0) return;
    }
  }

  /** When {@link pump} can go on; `undefined` when it has nothing to do. */
  next(now: number): number | undefined {
    if (this.#routingId === undefined) return undefined;
    if (this.#backlog.length > 0) return this.#retryAt;
    return this.#snapshot === undefined ? undefined : Math.max(now, this.#retryAt);
  }

  leave(): void {
    this.#routingId = undefined;
    this.#snapshot?.abandon();
    this.#snapshot = undefined;
    this.#entries = [];
    this.#at = 0;
    this.#seen = [];
    this.#backlog.clear();
    this.#backlogBytes = 0;
    this.#retryAt = 0;
    this.inStep = false;
  }

  #fail(reason: "gone" | "slow"): void {
    this.leave();
    this.#onLeft(reason);
  }

  #finish(now: number): void {
    const snapshot = this.#snapshot as Snapshot;
    if (snapshot.overrun) {
      this.#fail("slow");
      return;
    }
    this.#snapshot = undefined;
    for (const uuids of this.#seen) this.#put(encodeSeen(this.#session, uuids), now);
    this.#seen = [];
    this.#put(encodeMark(LinkCommand.END, this.#session, snapshot.sequence), now);
    this.#sent = true;
  }

  /** @returns `false` when the other server is gone, or too slow */
  #put(frames: Buffer[], now: number): boolean {
    if (this.#routingId === undefined) return false;
    if (this.#backlog.length === 0) {
      const result = this.#send(this.#routingId, frames);
      if (result === "sent") return true;
      if (result === "gone") {
        this.#fail("gone");
        return false;
      }
    }
    this.#backlogBytes += costOf(frames);
    if (this.#backlog.length >= MAX_BACKLOG || this.#backlogBytes > MAX_BACKLOG_BYTES) {
      this.#fail("slow");
      return false;
    }
    this.#backlog.push(frames);
    this.#retryAt = now + RETRY;
    return true;
  }

  /** @returns whether nothing waits any more */
  #drain(now: number): boolean {
    for (let frames = this.#backlog.peek(); frames !== undefined; frames = this.#backlog.peek()) {
      const result = this.#send(this.#routingId as Buffer, frames);
      if (result === "gone") {
        this.#fail("gone");
        return false;
      }
      if (result === "full") {
        this.#retryAt = now + RETRY;
        return false;
      }
      this.#backlog.shift();
      this.#backlogBytes -= costOf(frames);
    }
    return true;
  }
}
