/**
 * A server's rules, without sockets, timers or a clock: one order for all updates.
 *
 *   KVSET ──> in flight ──order──> store ──> other server ──> applied and published (KVPUB)
 *               │     bounded        │            │
 *               └ refused            └ refused    └ unconfirmed until it has them, while it is in step,
 *                                                 or until the store has "alone" (standing.ts)
 *
 *   active    orders and publishes updates, sends snapshots (snapshots.ts), deletes ephemeral keys, and keeps the
 *             other server in step (replication.ts)
 *   passive   follows the other server (replication.ts), and drops clients' updates: they repeat them where it serves
 */

import { thrownText } from "../../core/arguments.js";
import { ShoalError } from "../../core/errors.js";
import { IdleWaits } from "../../core/waiter.js";
import type { CloneRefusalReason } from "../../statistics/patterns.js";
import { StoreError } from "../../store/store.js";
import { CommitQueue, copyOf, type Operation, operationOf, sizeOf } from "./operation.js";
import { encodeTimeToLive, REFUSED_LINE } from "./properties.js";
import {
  type CloneFault,
  EMPTY,
  encodeHugz,
  encodeSet,
  isHugz,
  ownUuidOf,
  parseRequest,
  readSequence,
  SEQUENCE,
} from "./protocol.js";
import { Leader, parseLink, Standby } from "./replication.js";
import type { CloneServerStats, ServerRulesOptions } from "./server-options.js";
import {
  conflictMark,
  type LoadedMap,
  type ServerEffects,
  ServerMap,
  type ServerState,
} from "./server-state.js";
import { ServerSnapshots } from "./snapshots.js";
import { ServerStanding } from "./standing.js";
import type { CloneStoredState } from "./store.js";

/** Bytes in flight; more are refused. */
const MAX_PENDING_BYTES = 268_435_456;
const MAX_EXPIRED = 1_000;

export class ServerRules implements ServerState {
  readonly options: ServerRulesOptions;
  readonly effects: ServerEffects;
  readonly queue = new CommitQueue();
  readonly standing: ServerStanding;
  map = new ServerMap();
  readonly #snapshots: ServerSnapshots;
  readonly #leader: Leader;
  readonly #standby: Standby;
  /** Of all updates that the server makes: nobody repeats them, and peers of the Guide need one. */
  readonly #ownUuid: Buffer;
  readonly #idleWaits = new IdleWaits();
  readonly #counts = {
    received: 0,
    applied: 0,
    repeated: 0,
    conflicts: 0,
    published: 0,
    expired: 0,
    commits: 0,
  };
  readonly #refused: Record<CloneRefusalReason, number> = { overloaded: 0, full: 0, store: 0 };
  readonly #faults: Record<CloneFault, number> = {
    frames: 0,
    command: 0,
    key: 0,
    "reserved-key": 0,
    sequence: 0,
    uuid: 0,
    properties: 0,
    subtree: 0,
  };
  active = false;
  /** The process paused: the other server may serve now. */
  #suspended = false;
  /** The other server is in step, and this was reported. */
  #joined = false;
  #hugzAt = 0;

  constructor(options: ServerRulesOptions, effects: ServerEffects) {
    this.options = options;
    this.effects = effects;
    this.standing = new ServerStanding(options, effects, () => this.map.sequence);
    this.#snapshots = new ServerSnapshots(this);
    this.#leader = new Leader(this);
    this.#standby = new Standby(this);
    this.#ownUuid = ownUuidOf(options.token);
  }

  /** Whether the other server has every acknowledged update, and may take over. */
  get replicated(): boolean {
    if (!this.active) return this.#standby.following;
    return this.#leader.inStep && this.standing.shared;
  }

  /** The standing has heard the other server's position. */
  heard(now: number): void {
    const { servingTerm } = this.standing;
    if (this.active) this.#reportJoined();
    else if (servingTerm !== undefined) this.#standby.followTerm(servingTerm, now);
  }

  /** After all entries. @returns `false` for an unreadable standing */
  restored(state: CloneStoredState): boolean {
    if (!this.standing.restore(state.standing)) return false;
    this.map.restored(state);
    this.queue.ordered = state.sequence;
    if (state.damaged > 0) this.effects.event({ type: "store:damaged", entries: state.damaged });
    return true;
  }

  /** @param forced by the operator's decision */
  activate(now: number, forced = false): void {
    if (this.active) return;
    this.active = true;
    this.#suspended = false;
    this.#joined = false;
    this.#hugzAt = now;
    this.#standby.stop();
    this.#standby.abandon();
    // The other server's updates in the queue keep their sequences.
    this.queue.continueAfter(this.map.sequence);
    this.standing.begin(forced);
    this.flush(now);
  }

  /** Acknowledges nothing until {@link resume}: the process paused. */
  suspend(): void {
    this.#suspended = this.active;
  }

  resume(now: number): void {
    if (!this.active) return;
    this.#suspended = false;
    if (!this.#leader.inStep) this.standing.setAlone(true);
    this.#release(now);
    this.flush(now);
  }

  /** @param follow whether the other server serves */
  deactivate(follow: boolean, now: number): void {
    if (this.active) {
      this.active = false;
      this.#snapshots.clear();
      this.#leader.leave();
      this.map.forget(this.queue.drop());
      // Unconfirmed updates are durable, so they took effect.
      for (const operation of this.queue.release()) this.map.apply(operation, now);
      this.flush(now);
    }
    this.dropRequests();
    if (follow) this.#standby.start(now);
    else this.#standby.stop();
  }

  /** @returns the subtree of a client's request */
  checkRequest(frames: readonly Buffer[]): Buffer | undefined {
    const subtree = parseRequest(frames);
    if (typeof subtree !== "string") return subtree;
    this.fault("snapshot", subtree);
    return undefined;
  }

  /** While it does not serve, requests wait. */
  request(routingId: Buffer, subtree: Buffer, now: number): void {
    this.#snapshots.request(routingId, subtree);
    this.pump(now);
  }

  /** This server will not serve soon: clients ask the other one. */
  dropRequests(): void {
    if (!this.active) this.#snapshots.dropWaiting();
  }

  /** `flush` follows, once for a batch. */
  update(frames: readonly Buffer[], now: number): void {
    this.#counts.received += 1;
    const operation = operationOf(frames, now);
    if (typeof operation === "string") this.fault("collector", operation);
    else if (this.active) this.#accept(operation);
  }

  /** `flush` follows. @param ttl ms; 0: none. @returns whether it was taken */
  set(key: Buffer, value: Buffer, ttl: number, now: number): boolean {
    const isDelete = value.length === 0;
    if (!this.active) return false;
    return this.#accept({
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

  /** Orders and stores what waits. */
  flush(now: number): void {
    const { queue } = this;
    while (queue.waiting > 0 && !queue.committing && !this.#standby.storing) {
      const batch = queue.take();
      if (this.active) this.#decide(batch);
      if (this.options.hasStore) {
        queue.commit(batch);
        this.#counts.commits += 1;
        this.effects.commit(batch);
      } else this.#durable(batch, now);
    }
    if (this.#isIdle) this.#idleWaits.end();
  }

  marked(now: number): void {
    this.standing.marked();
    // The other server has to know it first.
    this.effects.announce();
    if (this.active) this.#release(now);
    this.flush(now);
  }

  markFailed(error: unknown, now: number): void {
    this.#storeFailed(error);
    this.standing.markFailed(now);
  }

  committed(now: number): void {
    this.#durable(this.queue.committed(), now);
    this.flush(now);
  }

  commitFailed(error: unknown, now: number): void {
    this.#storeFailed(error);
    if (!this.active) {
      this.map.forget(this.queue.committed());
      this.#standby.storeFailed(now);
      return;
    }
    const refused = this.queue.refuse();
    this.map.forget(refused);
    if (error instanceof StoreError && error.reason === "full")
      for (const operation of refused)
        if (operation.counted && operation.kind === "set") this.#refuse(operation);
    this.#countRefused("store", refused.filter(({ counted }) => counted).length);
    this.flush(now);
  }

  replaced(loaded: LoadedMap, now: number): void {
    this.#standby.replaced(loaded, now);
    this.flush(now);
  }

  replaceFailed(loaded: LoadedMap, error: unknown, now: number): void {
    this.#storeFailed(error);
    this.#standby.replaceFailed(loaded, now);
  }

  /** From the server that stands by. */
  replica(routingId: Buffer, message: readonly Buffer[], now: number): void {
    const link = parseLink(message);
    if (link === undefined || (link.frames.length > 2 && !isHugz(link.frames))) {
      this.fault("replication", "frames");
      return;
    }
    if (!this.active) return;
    const { session, frames } = link;
    if (frames.length === 2) {
      if (this.#leader.present) this.replicaLeft("left", now);
      this.#leader.begin(routingId, session, now);
      this.#leader.pump(now);
    } else if (this.#leader.is(routingId, session)) {
      this.#leader.have(readSequence(frames[SEQUENCE] as Buffer), now);
      // The follower may take over from now on.
      if (this.#leader.isWhole) this.standing.setAlone(false);
      this.#release(now);
    }
    this.flush(now);
  }

  /** From the server that serves. `flush` follows. */
  follow(frames: readonly Buffer[], now: number): void {
    if (!this.active) this.#standby.receive(frames, now);
  }

  pump(now: number): void {
    if (!this.active) return;
    if (!this.#suspended) this.#snapshots.pump(now);
    this.#leader.pump(now);
    this.flush(now);
  }

  /** Whether {@link pump} can continue at once. */
  get busy(): boolean {
    if (!this.active) return false;
    return (!this.#suspended && this.#snapshots.next() === 0) || this.#leader.next() === 0;
  }

  tick(now: number): void {
    this.standing.tick(now);
    if (!this.active) {
      this.#standby.tick(now);
      return;
    }
    if (!this.#suspended) this.#expire(now);
    if (now >= this.#hugzAt) this.#heartbeat(now);
    this.pump(now);
  }

  nextWakeUp(): number {
    const { retryAt } = this.standing;
    if (!this.active) return Math.min(retryAt, this.#standby.next());
    const next = Math.min(retryAt, this.#hugzAt, this.#leader.next());
    return this.#suspended ? next : Math.min(next, this.map.expiry.next(), this.#snapshots.next());
  }

  /** Settles when nothing is in flight, at once while it does not serve. */
  idle(): Promise<void> {
    return this.#idleWaits.wait(this.#isIdle);
  }

  stats(): CloneServerStats {
    const { table, expiry, sequence } = this.map;
    const { active, waiting, done, lost } = this.#snapshots;
    return {
      entries: table.size,
      bytes: table.bytes,
      memory: table.memory,
      sequence,
      term: this.standing.wanted.term,
      serving: this.active,
      ephemeral: expiry.size,
      ...this.#counts,
      refused: { ...this.#refused },
      faults: { ...this.#faults },
      inFlight: this.queue.size,
      snapshots: { active, waiting, done, lost },
      replicated: this.replicated,
    };
  }

  replicaLeft(reason: "gone" | "silent" | "slow" | "left", now: number): void {
    this.#leader.leave();
    this.#joined = false;
    this.effects.event({ type: "replica:left", reason });
    // A suspended server acknowledges nothing.
    if (!this.#suspended) this.standing.setAlone(true);
    this.#release(now);
  }

  fault(port: "snapshot" | "collector" | "replication", reason: CloneFault): void {
    this.#faults[reason] += 1;
    this.effects.event({ type: "message:invalid", port, reason });
  }

  #countRefused(reason: CloneRefusalReason, count: number): void {
    if (count === 0) return;
    this.#refused[reason] += count;
    this.effects.event({ type: "update:refused", reason, count });
  }

  get #isIdle(): boolean {
    return !this.active || this.queue.size + this.#snapshots.active === 0;
  }

  #storeFailed(thrown: unknown): void {
    const isKnown = thrown instanceof ShoalError;
    const error = isKnown ? thrown : new StoreError("failed", thrownText(thrown), { cause: thrown });
    this.effects.event({ type: "store:failed", error });
  }

  /** @returns `false` without room */
  #accept(operation: Operation): boolean {
    const { options, map, queue } = this;
    const { size, bytes } = queue;
    if (size >= options.maxPending || bytes > MAX_PENDING_BYTES) {
      if (operation.counted) this.#countRefused("overloaded", 1);
      return false;
    }
    const { uuid } = operation;
    const lost = operation.condition !== undefined && map.window.has(conflictMark(uuid));
    // An update in flight counts like a new key.
    const isFull = operation.kind === "set" && map.table.bytes + bytes + sizeOf(operation) > options.maxBytes;
    if (isFull && !lost && !(uuid.length > 0 && map.window.has(uuid))) {
      if (operation.counted) {
        this.#countRefused("full", 1);
        this.#refuse(operation);
      }
      return false;
    }
    let accepted = operation;
    // Only clients repeat updates.
    if (operation.counted && uuid.length > 0 && (lost || !map.window.add(uuid))) {
      this.#counts.repeated += 1;
      const kind = lost ? "conflict" : "announce";
      accepted = { ...operation, kind, value: EMPTY, expires: 0, counted: false, condition: undefined };
    }
    // A waiting view must not retain its chunk.
    queue.push(queue.committing ? copyOf(accepted) : accepted);
    return true;
  }

  /** Decides conditions by each key's revision after all earlier updates. A failed one makes the update a conflict. */
  #decide(batch: Operation[]): void {
    if (!batch.some(({ condition, kind }) => condition !== undefined || kind === "announce")) return;
    const { map, queue } = this;
    const revisions = new Map<string, number>();
    const note = ({ kind, key, sequence }: Operation): void => {
      if (kind === "set" || kind === "delete")
        revisions.set(key.toString("latin1"), kind === "set" ? sequence : 0);
    };
    for (const operation of queue.unconfirmed) note(operation);
    for (const [index, operation] of batch.entries()) {
      const { kind, key, uuid, condition } = operation;
      if (condition !== undefined) {
        const revision = revisions.get(key.toString("latin1")) ?? map.revision(key);
        if (revision !== condition) {
          batch[index] = conflictOf(operation);
          map.window.remove(uuid);
          map.window.add(conflictMark(uuid));
          this.#counts.conflicts += 1;
        }
      } else if (kind === "announce" && uuid.length > 0 && map.window.has(conflictMark(uuid)))
        batch[index] = conflictOf(operation);
      note(batch[index] as Operation);
    }
  }

  /** There is no room. Other programs ignore the sequence 0. */
  #refuse({ key, uuid }: Operation): void {
    if (this.#suspended || uuid.length === 0) return;
    this.effects.publish(encodeSet(key, uuid, REFUSED_LINE, EMPTY));
  }

  #durable(batch: readonly Operation[], now: number): void {
    if (!this.active) {
      this.#standby.durable(batch, now);
      return;
    }
    for (const operation of batch) {
      // It may find the follower gone, and release unconfirmed updates.
      this.#leader.update(operation, now);
      if (this.#leader.inStep || this.#suspended || !this.standing.alone) this.queue.hold(operation);
      else this.#apply(operation, now);
    }
  }

  #apply(operation: Operation, now: number): void {
    const counts = this.#counts;
    const watched = this.#snapshots.active > 0 || this.#leader.snapshot !== undefined;
    const frames = this.map.apply(operation, now, watched ? this.#beforeChange : undefined);
    counts.published += 1;
    if (operation.counted && operation.kind !== "conflict") counts.applied += 1;
    this.effects.publish(frames);
  }

  #beforeChange = (id: number): void => {
    this.#snapshots.beforeChange(id);
    this.#leader.snapshot?.beforeChange(id);
  };

  /** Applies and publishes unconfirmed updates that may be acknowledged. */
  #release(now: number): void {
    const { standing } = this;
    let last = -1;
    if (this.#suspended) return;
    if (this.#leader.inStep) last = standing.inTerm ? this.#leader.has : -1;
    else if (standing.alone) last = Number.POSITIVE_INFINITY;
    for (const operation of this.queue.release(last)) this.#apply(operation, now);
  }

  #reportJoined(): void {
    if (this.#joined || !this.replicated) return;
    this.#joined = true;
    this.effects.event({ type: "replica:joined", sequence: this.map.sequence });
  }

  #expire(now: number): void {
    const { map } = this;
    const due = map.expiry.due(now, MAX_EXPIRED);
    if (due.length === 0) return;
    // An update in flight sets a new deadline.
    const changing = new Set<string>();
    for (const { key } of this.queue.operations()) changing.add(key.toString("latin1"));
    for (const id of due) {
      const key = map.table.key(id);
      if (!changing.has(key.toString("latin1")) && this.set(key, EMPTY, 0, now)) this.#counts.expired += 1;
      // The store may refuse the delete.
      map.expiry.set(id, now + this.options.heartbeatInterval);
    }
  }

  #heartbeat(now: number): void {
    const { map, effects } = this;
    this.#hugzAt = now + this.options.heartbeatInterval;
    if (!this.#suspended) effects.publish(encodeHugz(map.sequence, map.subtrees.all()));
    this.#leader.heartbeat(now);
  }
}

function conflictOf(operation: Operation): Operation {
  return { ...operation, kind: "conflict", value: EMPTY, expires: 0, condition: undefined };
}
