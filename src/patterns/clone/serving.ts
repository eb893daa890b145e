/**
 * The server that serves: orders and publishes updates, sends snapshots, deletes ephemeral keys, and keeps the other
 * server in step.
 *
 *   accept ──> in flight … durable ──> held until it may be acknowledged ──> applied, published
 *
 * An update may be acknowledged when the other server has it, or when the store has "alone" (standing.ts).
 */

import { RingBuffer } from "../../core/collections/queues.js";
import { costOf } from "../../core/memory.js";
import type { DeliveryResult } from "../../sockets/index.js";
import { encodeEnd, encodeEntry, encodeMark, encodeUpdate, isRequest, parseLink } from "./link.js";
import { copyOf, MAX_QUEUED, MAX_QUEUED_BYTES, type Operation, sizeOf } from "./operation.js";
import { encodeTimeToLive, REFUSED_FULL } from "./properties.js";
import { EMPTY, encodeHugz, encodeSet, isHugz, ownUuidOf, readSequence, SEQUENCE } from "./protocol.js";
import { conflictMark, type ServerState } from "./server-state.js";
import { ServerSnapshots, SNAPSHOT_RETRY, Snapshot, type SnapshotEntry } from "./snapshots.js";

/** Bytes in flight; more are refused. */
const MAX_PENDING_BYTES = 268_435_456;
const MAX_EXPIRED = 1_000;

export class Serving {
  readonly #state: ServerState;
  readonly #snapshots: ServerSnapshots;
  readonly #leader: Leader;
  /** Of all updates that the server makes: nobody repeats them, and peers of the Guide need one. */
  readonly #ownUuid: Buffer;
  #have = 0;
  /** The last sequence acknowledged before it was in step. */
  #joinAt = 0;
  /** The process paused: the other server may serve now. */
  #suspended = false;
  #joined = false;
  #hugzAt: number;

  constructor(state: ServerState, now: number) {
    const { options, effects, map } = state;
    this.#state = state;
    this.#ownUuid = ownUuidOf(options.token);
    this.#snapshots = new ServerSnapshots(options, effects, map.subtrees);
    this.#leader = new Leader(state, (reason, now) => this.#replicaLeft(reason, now));
    this.#hugzAt = now + options.heartbeatInterval;
  }

  /** Whether the other server has everything, and may take over. */
  get shared(): boolean {
    const { standing } = this.#state;
    return this.#leader.inStep && standing.shared && standing.peerReady;
  }

  get snapshots(): ServerSnapshots {
    return this.#snapshots;
  }

  begin(now: number): void {
    this.#hugzAt = now;
    this.#have = 0;
    this.#joined = false;
    this.#suspended = false;
  }

  suspend(): void {
    this.#suspended = true;
  }

  resume(now: number): void {
    this.#suspended = false;
    if (!this.#leader.inStep) this.#state.standing.setAlone(true);
    this.release(now);
  }

  end(): void {
    this.#snapshots.clear();
    this.#leader.leave();
  }

  request(routingId: Buffer, subtree: Buffer): void {
    this.#snapshots.request(routingId, subtree);
  }

  /** @returns `false` without room */
  accept(operation: Operation): boolean {
    const { options, map, queue, statistics } = this.#state;
    const { size, bytes } = queue;
    if (size >= options.maxPending || bytes > MAX_PENDING_BYTES) {
      if (operation.counted) statistics.refuse("overloaded", 1);
      return false;
    }
    const { uuid } = operation;
    const lost = operation.condition !== undefined && map.window.hasConflict(uuid);
    // An update in flight counts like a new key.
    const isFull = operation.kind === "set" && map.table.bytes + bytes + sizeOf(operation) > options.maxBytes;
    if (isFull && !lost && !(uuid.length > 0 && map.window.has(uuid))) {
      if (operation.counted) {
        statistics.refuse("full", 1);
        this.refuse(operation);
      }
      return false;
    }
    let accepted = operation;
    // Only clients repeat updates.
    if (operation.counted && uuid.length > 0 && (lost || !map.window.add(uuid))) {
      statistics.counts.repeated += 1;
      const kind = lost ? "conflict" : "announce";
      accepted = { ...operation, kind, value: EMPTY, expires: 0, counted: false, condition: undefined };
    }
    // A waiting view must not retain its chunk.
    queue.push(queue.committing ? copyOf(accepted) : accepted);
    return true;
  }

  /** Decides conditions by each key's revision after all earlier updates. A failed one makes the update a conflict. */
  decide(batch: Operation[]): void {
    if (!batch.some(({ condition, kind }) => condition !== undefined || kind === "announce")) return;
    const { map, queue, statistics } = this.#state;
    const revisions = new Map<string, number>();
    const note = ({ kind, key, sequence }: Operation): void => {
      if (kind === "set" || kind === "delete")
        revisions.set(key.toString("latin1"), kind === "set" ? sequence : 0);
    };
    for (const operation of queue.held) note(operation);
    for (const [index, operation] of batch.entries()) {
      const { kind, key, uuid, condition } = operation;
      if (condition !== undefined) {
        const revision = revisions.get(key.toString("latin1")) ?? map.revision(key);
        if (revision !== condition) {
          batch[index] = conflictOf(operation);
          map.window.remove(uuid);
          map.window.add(conflictMark(uuid));
          statistics.counts.conflicts += 1;
        }
      } else if (kind === "announce" && uuid.length > 0 && map.window.hasConflict(uuid))
        batch[index] = conflictOf(operation);
      note(batch[index] as Operation);
    }
  }

  /** There is no room. Other programs ignore the sequence 0. */
  refuse({ key, uuid }: Operation): void {
    if (this.#suspended || uuid.length === 0) return;
    this.#state.effects.publish(encodeSet(key, uuid, REFUSED_FULL, EMPTY));
  }

  /** An update of the server itself. @param ttl ms; 0: none */
  make(key: Buffer, value: Buffer, ttl: number, now: number): boolean {
    const isDelete = value.length === 0;
    return this.accept({
      kind: isDelete ? "delete" : "set",
      key,
      uuid: this.#ownUuid,
      properties: ttl === 0 ? EMPTY : encodeTimeToLive(ttl),
      value,
      expires: ttl === 0 || isDelete ? 0 : now + ttl,
      counted: false,
      condition: undefined,
      sequence: 0,
    });
  }

  durable(batch: readonly Operation[], now: number): void {
    const { standing, queue } = this.#state;
    for (const operation of batch) {
      // It may find the follower gone, and release held updates.
      if (this.#leader.present) this.#leader.update(operation, now);
      if (this.#leader.inStep || this.#suspended || !standing.alone) queue.hold(operation);
      else this.#apply(operation, now);
    }
  }

  replica(routingId: Buffer, frames: readonly Buffer[], now: number): void {
    const { statistics, standing, map } = this.#state;
    const message = parseLink(frames);
    if (message !== undefined && isRequest(message.frames)) this.#lead(routingId, message.session, now);
    else if (message !== undefined && isHugz(message.frames)) {
      if (!this.#leader.is(routingId, message.session)) return;
      const sequence = readSequence(message.frames[SEQUENCE] as Buffer);
      this.#have = sequence;
      if (this.#leader.have(sequence, now)) this.#joinAt = map.sequence;
      // The follower may take over once it has these.
      if (this.#leader.inStep && sequence >= this.#joinAt) standing.setAlone(false);
      this.release(now);
    } else statistics.fault("replication", "frames");
  }

  pump(now: number): void {
    const { map } = this.#state;
    if (!this.#suspended) this.#snapshots.pump(map.table, map.sequence, now);
    this.#leader.pump(now);
  }

  get busy(): boolean {
    return (!this.#suspended && this.#snapshots.next() === 0) || this.#leader.next() === 0;
  }

  tick(now: number): void {
    if (!this.#suspended) this.#expire(now);
    if (now >= this.#hugzAt) this.#heartbeat(now);
    this.pump(now);
  }

  next(): number {
    let next = this.#hugzAt;
    const own = this.#suspended ? [] : [this.#state.map.expiry.next(), this.#snapshots.next()];
    for (const time of [...own, this.#leader.next()]) if (time !== undefined && time < next) next = time;
    return next;
  }

  #apply(operation: Operation, now: number): void {
    const { map, effects, statistics } = this.#state;
    const watched = this.#snapshots.active > 0 || this.#leader.snapshot !== undefined;
    const frames = map.apply(operation, now, watched ? this.#beforeChange : undefined);
    statistics.counts.published += 1;
    if (operation.counted && operation.kind !== "conflict") statistics.counts.applied += 1;
    effects.publish(frames);
  }

  #beforeChange = (id: number): void => {
    this.#snapshots.beforeChange(id);
    this.#leader.snapshot?.beforeChange(id);
  };

  /** Applies and publishes held updates that may be acknowledged. */
  release(now: number): void {
    const { standing, queue } = this.#state;
    let last = -1;
    if (this.#suspended) return;
    if (this.#leader.inStep) last = standing.inTerm ? this.#have : -1;
    else if (standing.alone) last = Number.POSITIVE_INFINITY;
    for (const operation of queue.release(last)) this.#apply(operation, now);
  }

  #replicaLeft(reason: "gone" | "silent" | "slow" | "left", now: number): void {
    const { effects, standing } = this.#state;
    this.#leader.leave();
    this.#joined = false;
    effects.event({ type: "replica:left", reason });
    // A suspended server acknowledges nothing.
    if (!this.#suspended) standing.setAlone(true);
    this.release(now);
  }

  heard(): void {
    if (this.#joined || !this.shared) return;
    this.#joined = true;
    const { effects, map } = this.#state;
    effects.event({ type: "replica:joined", sequence: map.sequence });
  }

  #lead(routingId: Buffer, session: Buffer, now: number): void {
    if (this.#leader.present) this.#replicaLeft("left", now);
    this.#leader.begin(routingId, session, now);
    this.pump(now);
  }

  #expire(now: number): void {
    const { map, queue, options, statistics } = this.#state;
    const due = map.expiry.due(now, MAX_EXPIRED);
    if (due.length === 0) return;
    // An update in flight sets a new deadline.
    const changing = new Set<string>();
    for (const { key } of queue.operations()) changing.add(key.toString("latin1"));
    for (const id of due) {
      const key = map.table.key(id);
      if (!changing.has(key.toString("latin1")) && this.make(key, EMPTY, 0, now))
        statistics.counts.expired += 1;
      // The store may refuse the delete.
      map.expiry.set(id, now + options.heartbeatInterval);
    }
  }

  #heartbeat(now: number): void {
    const { options, effects, map } = this.#state;
    this.#hugzAt = now + options.heartbeatInterval;
    if (!this.#suspended) effects.publish(encodeHugz(map.sequence, map.subtrees.all()));
    if (!this.#leader.present) return;
    const patience = options.heartbeatInterval * options.liveness;
    if (this.#leader.isSilent(patience, now)) this.#replicaLeft("silent", now);
    else this.#leader.heartbeat(map.sequence, now);
  }
}

function conflictOf(operation: Operation): Operation {
  return { ...operation, kind: "conflict", value: EMPTY, expires: 0, condition: undefined };
}

// --- The other server ------------------------------------------------------------------------------------------------

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
class Leader {
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

  #replicate(frames: Buffer[]): DeliveryResult {
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
