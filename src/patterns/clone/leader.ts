/**
 * Sends the map, then every update since, to one follower.
 *
 *   none ──ICANHAZ──> sending ──map sent──> sent ──HUGZ at its end or later──> in step
 *     ^                  │                    │                                   │
 *     └──────── gone, slower than its queue is long, or, in step, silent ────────┘
 *
 * Nobody waits for a follower before it is in step, so it may be silent: it stores the map, or has little processor
 * time.
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { costOf } from "../../core/memory.js";
import { encodeEnd, encodeEntry, encodeMark, encodeUpdate } from "./link.js";
import type { Operation } from "./operation.js";
import { EMPTY } from "./protocol.js";
import type { SendResult, ServerState } from "./server-state.js";
import { SNAPSHOT_RETRY, Snapshot, type SnapshotEntry } from "./snapshots.js";

/** Updates that wait for the end of the map, or for room. With more the follower is too slow. */
const MAX_QUEUED = 1_000_000;
const MAX_QUEUED_BYTES = 268_435_456;

export class Leader {
  readonly #server: ServerState;
  readonly #onLeft: (reason: "gone" | "slow", now: number) => void;
  #state: "none" | "sending" | "sent" | "in step" = "none";
  #routingId: Buffer = Buffer.alloc(0);
  #session: Buffer = Buffer.alloc(0);
  #snapshot: Snapshot | undefined;
  #end = 0;
  readonly #queue = new RingBuffer<Buffer[]>();
  #queuedBytes = 0;
  #retryAt = 0;
  #heardAt = 0;

  /** @param onLeft calls {@link leave} */
  constructor(server: ServerState, onLeft: (reason: "gone" | "slow", now: number) => void) {
    this.#server = server;
    this.#onLeft = onLeft;
  }

  /** In step or not. */
  get present(): boolean {
    return this.#state !== "none";
  }

  get inStep(): boolean {
    return this.#state === "in step";
  }

  /** A follower in step that is silent holds up acknowledgements. @param patience ms */
  isSilent(patience: number, now: number): boolean {
    return this.inStep && now - this.#heardAt >= patience;
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  is(routingId: Buffer, session: Buffer): boolean {
    return this.present && this.#routingId.equals(routingId) && this.#session.equals(session);
  }

  begin(routingId: Buffer, session: Buffer, now: number): void {
    const { map, queue, standing } = this.#server;
    this.#state = "sending";
    this.#routingId = Buffer.from(routingId);
    this.#session = Buffer.from(session);
    this.#snapshot = new Snapshot(map.table, EMPTY, map.sequence, {
      send: (frames) => this.#replicate(frames),
      encode: (entry, at) => encodeEntry(this.#session, entry, this.#timeLeft(entry, at)),
      // Updates in flight are not in the snapshot, and may never follow.
      end: encodeEnd(this.#session, map.sequence, standing.standing, map.seen(queue.operations())),
    });
    this.#end = map.sequence;
    for (const operation of queue.held) this.update(operation, now);
  }

  update(operation: Operation, now: number): void {
    this.#put(encodeUpdate(this.#session, operation), now);
  }

  heartbeat(sequence: number, now: number): void {
    if (this.next() === undefined) this.#put(encodeMark(this.#session, sequence), now);
  }

  /** @returns whether the follower is in step from now on */
  have(sequence: number, now: number): boolean {
    this.#heardAt = now;
    if (this.#state !== "sent" || sequence < this.#end) return false;
    this.#state = "in step";
    return true;
  }

  pump(now: number): void {
    if (!this.present || now < this.#retryAt) return;
    this.#retryAt = 0;
    if (this.#snapshot === undefined) {
      this.#drain(now);
      return;
    }
    const result = this.#snapshot.pump(now);
    if (result === "done") {
      this.#snapshot = undefined;
      this.#state = "sent";
      this.#drain(now);
    } else if (result === "full") this.#retryAt = now + SNAPSHOT_RETRY;
    else if (result !== "more") this.#onLeft(result === "gone" ? "gone" : "slow", now);
  }

  /** When {@link pump} can go on; 0: at once. */
  next(): number | undefined {
    return this.#snapshot === undefined && this.#queue.length === 0 ? undefined : this.#retryAt;
  }

  leave(): void {
    this.#state = "none";
    this.#snapshot?.abandon();
    this.#snapshot = undefined;
    this.#queue.clear();
    this.#queuedBytes = 0;
    this.#retryAt = 0;
  }

  #replicate(frames: Buffer[]): SendResult {
    return this.#server.effects.replicate(this.#routingId, frames);
  }

  /** 0: never. A key changed since comes as an update as well. */
  #timeLeft({ key, sequence }: SnapshotEntry, now: number): number {
    const { table, expiry } = this.#server.map;
    const id = table.find(key);
    const time = id >= 0 && table.sequence(id) === sequence ? expiry.timeOf(id) : 0;
    return time === 0 ? 0 : Math.max(1, time - now);
  }

  #put(frames: Buffer[], now: number): void {
    if (!this.present) return;
    this.#queue.push(frames);
    this.#queuedBytes += costOf(frames);
    if (this.#queue.length > MAX_QUEUED || this.#queuedBytes > MAX_QUEUED_BYTES) this.#onLeft("slow", now);
    else if (this.#snapshot === undefined && now >= this.#retryAt) this.#drain(now);
  }

  #drain(now: number): void {
    for (let frames = this.#queue.peek(); frames !== undefined; frames = this.#queue.peek()) {
      const result = this.#replicate(frames);
      if (result === "gone") this.#onLeft("gone", now);
      else if (result === "full") this.#retryAt = now + SNAPSHOT_RETRY;
      if (result !== "sent") return;
      this.#queue.shift();
      this.#queuedBytes -= costOf(frames);
    }
  }
}
