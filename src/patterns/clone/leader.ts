/**
 * Sends the map, then every update since, to one follower.
 *
 *   none ──ICANHAZ──> sending ──map sent──> sent ──HUGZ at its end or later──> in step
 *     ^                  │                    │                                   │
 *     └───── gone, silent, or slower than its queue is long ─────────────────────┘
 */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { costOf } from "../../core/frame-cost.js";
import { encodeEnd, encodeEntry, encodeMark, encodeUpdate } from "./link.js";
import type { Operation } from "./operation.js";
import type { ServerMap } from "./server-map.js";
import type { ServerEffects, ServerState } from "./server-state.js";
import { SNAPSHOT_RETRY, type Snapshot, type SnapshotEntry, SnapshotPump } from "./snapshots.js";
import type { Standing } from "./standing.js";

/** Updates that wait for the end of the map, or for room. With more the follower is too slow. */
const MAX_QUEUED = 1_000_000;
const MAX_QUEUED_BYTES = 268_435_456;

export interface Follow {
  readonly routingId: Buffer;
  readonly session: Buffer;
  readonly standing: Standing;
  readonly snapshot: Snapshot;
  /** UUIDs of recent updates. */
  readonly seen: Buffer;
  readonly ahead: readonly Operation[];
}

export class Leader {
  readonly #effects: Pick<ServerEffects, "replicate">;
  readonly #onLeft: (reason: "gone" | "slow", now: number) => void;
  readonly #map: ServerMap;
  #state: "none" | "sending" | "sent" | "in step" = "none";
  #routingId: Buffer = Buffer.alloc(0);
  #session: Buffer = Buffer.alloc(0);
  #pump: SnapshotPump | undefined;
  #end = 0;
  readonly #queue = new RingBuffer<Buffer[]>();
  #queuedBytes = 0;
  #retryAt = 0;
  heardAt = 0;

  /** @param onLeft not called by {@link leave} */
  constructor({ effects, map }: ServerState, onLeft: (reason: "gone" | "slow", now: number) => void) {
    this.#effects = effects;
    this.#map = map;
    this.#onLeft = onLeft;
  }

  /** In step or not. */
  get present(): boolean {
    return this.#state !== "none";
  }

  get inStep(): boolean {
    return this.#state === "in step";
  }

  get snapshot(): Snapshot | undefined {
    return this.#pump?.snapshot;
  }

  is(routingId: Buffer, session: Buffer): boolean {
    return this.present && this.#routingId.equals(routingId) && this.#session.equals(session);
  }

  begin({ routingId, session, standing, snapshot, seen, ahead }: Follow, now: number): void {
    this.leave();
    this.#state = "sending";
    this.#routingId = Buffer.from(routingId);
    this.#session = Buffer.from(session);
    this.#pump = new SnapshotPump(
      snapshot,
      (frames) => this.#effects.replicate(this.#routingId, frames),
      (entry, at) => encodeEntry(this.#session, entry, this.#timeLeft(entry, at)),
      encodeEnd(this.#session, snapshot.sequence, standing, seen),
    );
    this.#end = snapshot.sequence;
    this.heardAt = now;
    for (const operation of ahead) this.update(operation, now);
  }

  update(operation: Operation, now: number): void {
    this.#put(encodeUpdate(this.#session, operation), now);
  }

  beat(sequence: number, now: number): void {
    if (this.next() === undefined) this.#put(encodeMark(this.#session, sequence), now);
  }

  /** @returns whether the follower is in step from now on */
  have(sequence: number, now: number): boolean {
    this.heardAt = now;
    if (this.#state !== "sent" || sequence < this.#end) return false;
    this.#state = "in step";
    return true;
  }

  pump(now: number): void {
    if (!this.present || now < this.#retryAt) return;
    this.#retryAt = 0;
    if (this.#pump === undefined) {
      const { length } = this.#queue;
      this.#drain(now);
      // A follower that stores the map answers heartbeats only, which are sent when its queue is empty.
      if (this.#state === "sent" && this.#queue.length < length) this.heardAt = now;
      return;
    }
    const result = this.#pump.pump(now);
    if (result === "done") {
      this.#pump = undefined;
      this.#state = "sent";
      this.heardAt = now;
      this.#drain(now);
    } else if (result === "full") this.#retryAt = now + SNAPSHOT_RETRY;
    else if (result !== "more") this.#fail(result === "gone" ? "gone" : "slow", now);
  }

  /** When {@link pump} can go on; 0: at once. */
  next(): number | undefined {
    return this.#pump === undefined && this.#queue.length === 0 ? undefined : this.#retryAt;
  }

  leave(): void {
    this.#state = "none";
    this.#pump?.snapshot.abandon();
    this.#pump = undefined;
    this.#queue.clear();
    this.#queuedBytes = 0;
    this.#retryAt = 0;
  }

  #fail(reason: "gone" | "slow", now: number): void {
    this.leave();
    this.#onLeft(reason, now);
  }

  /** 0: never. A key changed since comes as an update as well. */
  #timeLeft({ key, sequence }: SnapshotEntry, now: number): number {
    const { table, expiry } = this.#map;
    const id = table.find(key);
    const time = id >= 0 && table.sequence(id) === sequence ? expiry.timeOf(id) : 0;
    return time === 0 ? 0 : Math.max(1, time - now);
  }

  #put(frames: Buffer[], now: number): void {
    if (!this.present) return;
    this.#queue.push(frames);
    this.#queuedBytes += costOf(frames);
    if (this.#queue.length > MAX_QUEUED || this.#queuedBytes > MAX_QUEUED_BYTES) this.#fail("slow", now);
    else if (this.#pump === undefined && now >= this.#retryAt) this.#drain(now);
  }

  #drain(now: number): void {
    for (let frames = this.#queue.peek(); frames !== undefined; frames = this.#queue.peek()) {
      const result = this.#effects.replicate(this.#routingId, frames);
      if (result === "gone") this.#fail("gone", now);
      else if (result === "full") this.#retryAt = now + SNAPSHOT_RETRY;
      if (result !== "sent") return;
      this.#queue.shift();
      this.#queuedBytes -= costOf(frames);
    }
  }
}
