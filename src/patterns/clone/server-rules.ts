/**
 * A clone's server, without sockets, timers or a clock: one order for all updates.
 *
 *   KVSET ──> in hand ──order──> store ──> other server ──> applied and published (KVPUB)
 *               │   bounded        │            │
 *               └ refused          └ refused    └ held until it has them, while it is in step
 *
 * An update is seen by nobody before it has gone through all of it, so what a client
 * has seen of its own is what the store and the other server have.
 *
 *   active    serves: orders, publishes, gives snapshots, ends ephemeral keys
 *   passive   follows the other server; keeps what clients send it, until the other
 *             server's update with the same UUID comes. When it becomes active it puts
 *             in order what is left of them.
 */
import { ShoalError } from "../../core/errors.js";
import { StoreError } from "../titanic/store.js";
import { Chains } from "./chains.js";
import { Expiry } from "./expiry.js";
import { Follower, type LoadedMap } from "./follower.js";
import { Leader } from "./leader.js";
import { type Operation, type OperationKind, sizeOf } from "./operation.js";
import { encodeTimeToLive, timeToLive } from "./properties.js";
import {
  type CloneFault,
  EMPTY,
  encodeHugz,
  KEY,
  keyFault,
  PROPERTIES,
  parseRequest,
  readSequence,
  sequenceFrame,
  UUID,
  UUID_BYTES,
  updateFault,
  VALUE,
  writeSequence,
} from "./protocol.js";
import { LinkCommand, parseLink } from "./replication.js";
import type { CloneServerStats, RefusalReason } from "./server-events.js";
import type { ServerOutbox, ServerRulesOptions } from "./server-outbox.js";
import { ServerSnapshots } from "./server-snapshots.js";
import { Snapshot } from "./snapshots.js";
import type { StoredEntry, StoredState } from "./store.js";
import { CloneTable } from "./table.js";
import { UuidWindow } from "./uuid-window.js";

/** Updates of one commit at most. */
const MAX_COMMIT = 4_096;
/** Bytes that updates in hand may hold, beside their number. */
const MAX_PENDING_BYTES = 268_435_456;
/** Ephemeral keys ended in one tick. */
const MAX_EXPIRED = 1_000;
/** ms, at least, that an update is kept while standing by; the other server refused what it has not applied by then. */
const MIN_KEPT = 10_000;
/** Intervals for which it is kept, where that is longer. */
const KEPT_INTERVALS = 10;

interface Kept {
  readonly operation: Operation;
  readonly until: number;
}

export class ServerRules {
  readonly #options: ServerRulesOptions;
  readonly #outbox: ServerOutbox;
  readonly #chains = new Chains();
  readonly #snapshots: ServerSnapshots;
  readonly #leader: Leader;
  readonly #follower: Follower;
  #table = new CloneTable();
  #expiry: Expiry;
  #window = new UuidWindow();
  #active = false;
  /** Of the last update that was applied, and of the last one that has its place. */
  #applied = 0;
  #ordered = 0;
  /** In hand, not in order yet. */
  #incoming: Operation[] = [];
  #incomingBytes = 0;
  /** With the store. */
  #committing: Operation[] | undefined;
  #replacing: LoadedMap | undefined;
  /** In order and in the store; the other server has not said that it has them. */
  #held: Operation[] = [];
  /** Standing by: updates of clients, by UUID. */
  readonly #kept = new Map<string, Kept>();
  #hugzAt: number;
  /** The time of the call that is under way, for what it finds out on the way. */
  #now = 0;
  #ownUpdates = 0;
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
  readonly #refused: Record<RefusalReason, number> = {
    overloaded: 0,
    full: 0,
    store: 0,
    "no-uuid": 0,
    stale: 0,
  };
  readonly #counts = {
    received: 0,
    applied: 0,
    repeated: 0,
    paired: 0,
    published: 0,
    expired: 0,
    commits: 0,
  };

  constructor(options: ServerRulesOptions, outbox: ServerOutbox, now: number) {
    this.#options = options;
    this.#outbox = outbox;
    this.#expiry = new Expiry(this.#table);
    this.#snapshots = new ServerSnapshots(options, outbox, this.#chains);
    this.#leader = this.#newLeader();
    this.#follower = new Follower(
      {
        follow: (frames) => outbox.follow(frames),
        fault: () => this.#fault("replication", "frames"),
        loaded: (loaded) => this.#load(loaded),
        update: (operation) => this.#replicated(operation),
        beat: () => this.#follower.have(this.#replacing === undefined ? this.#applied : 0),
      },
      options.heartbeatInterval,
      options.liveness,
    );
    this.#hugzAt = now + options.heartbeatInterval;
  }

  get table(): CloneTable {
    return this.#table;
  }

  get sequence(): number {
    return this.#applied;
  }

  get active(): boolean {
    return this.#active;
  }

  /** An entry of the store. @param expires in the rules' time; 0: never */
  restore(entry: StoredEntry, expires: number): void {
    const id = this.#table.put(entry.key, entry.value, entry.sequence);
    this.#expiry.set(id, expires);
  }

  /** All of the store was read. */
  restored(state: StoredState): void {
    this.#applied = state.sequence;
    this.#ordered = state.sequence;
    for (const uuid of state.uuids) this.#window.add(uuid);
    if (state.damaged > 0) this.#outbox.event({ type: "store:damage", entries: state.damaged });
  }

  /** It serves from now on. */
  activate(now: number): void {
    if (this.#active) return;
    this.#active = true;
    this.#follower.stop();
    this.#replacing = undefined;
    // Updates of the other server that are still on their way to the store keep their place.
    this.#ordered = lastSequence(this.#incoming) ?? lastSequence(this.#committing ?? []) ?? this.#applied;
    this.#hugzAt = now;
    const kept = [...this.#kept.values()];
    this.#kept.clear();
    // What the other server put in order before it went is applied; the rest has its place now.
    for (const { operation } of kept) this.#accept(operation);
    this.flush(now);
  }

  /** It serves nobody. @param follow whether the other server does */
  deactivate(follow: boolean, now: number): void {
    if (this.#active) {
      this.#active = false;
      this.#snapshots.clear();
      this.#leader.leave();
      const dropped = this.#incoming.splice(0);
      this.#incomingBytes = 0;
      for (const operation of dropped) {
        if (operation.kind === "announce" || operation.uuid.length === 0) continue;
        this.#window.remove(operation.uuid);
        operation.sequence = 0;
        this.#keep(operation, now);
      }
      // They are in the store, so they took effect, though nobody has been told.
      const held = this.#held;
      this.#held = [];
      for (const operation of held) this.#apply(operation, now, false);
    }
    if (follow) this.#follower.start(now);
    else this.#follower.stop();
  }

  /** A client's request, without the routing id. @returns whether it is one, for a Binary Star to decide on */
  checkRequest(frames: readonly Buffer[]): Buffer | undefined {
    const subtree = parseRequest(frames);
    if (typeof subtree !== "string") return subtree;
    this.#fault("snapshot", subtree);
    return undefined;
  }

  /** A client asks for a snapshot, and this server serves. */
  request(routingId: Buffer, subtree: Buffer, now: number): void {
    this.#snapshots.request(routingId, subtree);
    this.pump(now);
  }

  /** A client's update. `flush` has to follow, once for all that came together. */
  update(frames: readonly Buffer[], now: number): void {
    this.#counts.received += 1;
    const operation = this.#operationOf(frames, now);
    if (operation === undefined) return;
    if (this.#active) this.#accept(operation);
    else this.#keep(operation, now);
  }

  /** An update of the server's own program. @param ttl ms; 0: none. @returns whether it was taken */
  set(key: Buffer, value: Buffer, ttl: number, now: number): boolean {
    if (!this.#active) return false;
    return this.#accept(this.#own(value.length === 0 ? "delete" : "set", key, value, ttl, now));
  }

  /** Gives what is in hand its place in the order. */
  flush(now: number): void {
    while (this.#incoming.length > 0 && this.#committing === undefined && this.#replacing === undefined) {
      const batch =
        this.#incoming.length <= MAX_COMMIT ? this.#incoming : this.#incoming.slice(0, MAX_COMMIT);
      this.#incoming = batch === this.#incoming ? [] : this.#incoming.slice(MAX_COMMIT);
      for (const operation of batch) {
        this.#incomingBytes -= sizeOf(operation);
        if (operation.sequence === 0) operation.sequence = ++this.#ordered;
      }
      if (this.#options.hasStore && batch.some(({ kind }) => kind !== "announce")) {
        this.#committing = batch;
        this.#counts.commits += 1;
        this.#outbox.commit(batch);
        return;
      }
      this.#durable(batch, now);
    }
  }

  committed(now: number): void {
    const batch = this.#committing ?? [];
    this.#committing = undefined;
    this.#durable(batch, now);
    this.#replaceStore();
    this.flush(now);
  }

  commitFailed(error: unknown, now: number): void {
    const batch = this.#committing ?? [];
    this.#committing = undefined;
    this.#outbox.event({ type: "store:error", error: asShoalError(error) });
    if (!this.#active) {
      // The memory is right still, but the store is not the other server's any more.
      this.#replacing = undefined;
      this.#incoming = [];
      this.#incomingBytes = 0;
      this.#follower.start(now);
      return;
    }
    this.#ordered = (batch[0]?.sequence ?? this.#ordered + 1) - 1;
    // A full disk takes no new value, but frees those that are deleted.
    const grows = batch.some(({ kind }) => kind === "set");
    const again = grows ? batch.filter(({ kind }) => kind === "delete") : [];
    const refused = batch.filter(({ kind }) => !(grows && kind === "delete"));
    const names = new Set(refused.map(({ uuid }) => uuid.toString("latin1")));
    for (const { uuid, kind } of refused)
      if (uuid.length > 0 && kind !== "announce") this.#window.remove(uuid);
    this.#refuse("store", refused.filter(({ counted }) => counted).length);
    // Nobody may be told of an update that came twice and was refused.
    const announces = ({ kind, uuid }: Operation): boolean =>
      kind === "announce" && names.has(uuid.toString("latin1"));
    this.#incoming = [...again, ...this.#incoming.filter((operation) => !announces(operation))];
    this.#incomingBytes = 0;
    for (const operation of this.#incoming) {
      operation.sequence = 0;
      this.#incomingBytes += sizeOf(operation);
    }
    this.flush(now);
  }

  /** The store has the whole map that the other server gave. */
  replaced(now: number): void {
    const loaded = this.#replacing;
    this.#replacing = undefined;
    if (loaded !== undefined && !this.#active) this.#follow(loaded);
    this.flush(now);
  }

  /** From the other server, without the routing id; this one serves. */
  replica(routingId: Buffer, frames: readonly Buffer[], now: number): void {
    const message = parseLink(frames);
    if (message === undefined) {
      this.#fault("replication", "frames");
      return;
    }
    if (!this.#active) return;
    if (message.command === LinkCommand.FOLLOW) this.#lead(routingId, message.session, now);
    else if (message.command === LinkCommand.HAVE) {
      if (!this.#leader.is(routingId) || !this.#leader.isSession(message.session)) return;
      const sequence = readSequence(frames[2] as Buffer);
      if (this.#leader.have(sequence, now))
        this.#outbox.event({ type: "replica:join", sequence: this.#applied });
      this.#release(sequence, now);
    } else this.#fault("replication", "frames");
  }

  /** From the server that serves; this one stands by. `flush` has to follow. */
  follow(frames: readonly Buffer[], now: number): void {
    if (!this.#active) this.#follower.receive(frames, now);
  }

  /** Sends snapshots on, as far as their clients take them. */
  pump(now: number): void {
    if (!this.#active) return;
    this.#snapshots.pump(this.#table, this.#applied, now);
    this.#now = now;
    this.#leader.pump(now);
  }

  /** Whether {@link pump} has something to do at once. */
  get busy(): boolean {
    return this.#active && (this.#snapshots.next(0) === 0 || this.#leader.next(0) === 0);
  }

  tick(now: number): void {
    this.#forgetKept(now);
    if (!this.#active) {
      this.#follower.tick(now);
      return;
    }
    this.#expire(now);
    if (now >= this.#hugzAt) this.#beat(now);
    this.pump(now);
    this.flush(now);
  }

  nextWakeUp(): number | undefined {
    if (!this.#active) return least(this.#follower.next(), this.#nextKept());
    const snapshots = this.#snapshots.next(0);
    return least(this.#hugzAt, this.#expiry.next(), snapshots, this.#leader.next(0));
  }

  stats(): CloneServerStats {
    return {
      entries: this.#table.size,
      bytes: this.#table.bytes,
      memory: this.#table.memory,
      sequence: this.#applied,
      serving: this.#active,
      ephemeral: this.#expiry.size,
      ...this.#counts,
      refused: { ...this.#refused },
      faults: { ...this.#faults },
      pending: this.#kept.size,
      inHand: this.#incoming.length + (this.#committing?.length ?? 0) + this.#held.length,
      snapshots: {
        active: this.#snapshots.active,
        waiting: this.#snapshots.waiting,
        done: this.#snapshots.done,
        lost: this.#snapshots.lost,
      },
      replicated: this.#active ? this.#leader.inStep : this.#follower.following,
    };
  }

  #operationOf(frames: readonly Buffer[], now: number): Operation | undefined {
    const fault = updateFault(frames) ?? keyFault(frames[KEY] as Buffer);
    const properties = frames[PROPERTIES] as Buffer;
    const ttl = fault === undefined ? timeToLive(properties) : 0;
    if (fault !== undefined || ttl === undefined) {
      this.#fault("collector", fault ?? "properties");
      return undefined;
    }
    const value = frames[VALUE] as Buffer;
    return {
      kind: value.length === 0 ? "delete" : "set",
      key: frames[KEY] as Buffer,
      uuid: frames[UUID] as Buffer,
      properties,
      value,
      expires: ttl === 0 || value.length === 0 ? 0 : now + ttl,
      counted: true,
      sequence: 0,
    };
  }

  #own(kind: OperationKind, key: Buffer, value: Buffer, ttl: number, now: number): Operation {
    const uuid = Buffer.allocUnsafe(UUID_BYTES);
    uuid.set(this.#options.token);
    writeSequence(uuid, 8, ++this.#ownUpdates);
    const properties = ttl === 0 ? EMPTY : encodeTimeToLive(ttl);
    return {
      kind,
      key,
      uuid,
      properties,
      value,
      expires: ttl === 0 ? 0 : now + ttl,
      counted: false,
      sequence: 0,
    };
  }

  #accept(operation: Operation): boolean {
    const inHand = this.#incoming.length + this.#held.length;
    if (inHand >= this.#options.maxPending || this.#incomingBytes > MAX_PENDING_BYTES) {
      if (operation.counted) this.#refuse("overloaded", 1);
      return false;
    }
    if (operation.kind === "set" && this.#table.bytes + sizeOf(operation) > this.#options.maxBytes) {
      if (operation.counted) this.#refuse("full", 1);
      return false;
    }
    let accepted = operation;
    if (operation.uuid.length > 0 && !this.#window.add(operation.uuid)) {
      if (operation.counted) this.#counts.repeated += 1;
      accepted = { ...operation, kind: "announce", value: EMPTY, expires: 0, counted: false };
    }
    this.#incoming.push(accepted);
    this.#incomingBytes += sizeOf(accepted);
    // The memory of a small update is a part of what was received with it; what waits long must not hold all of that.
    if (this.#committing !== undefined && accepted.value.length < 4_096) this.#settle(accepted);
    return true;
  }

  /** Gives an operation that will wait memory of its own. */
  #settle(operation: Operation): void {
    this.#incoming[this.#incoming.length - 1] = copyOf(operation);
  }

  #keep(operation: Operation, now: number): void {
    if (operation.uuid.length === 0) {
      this.#refuse("no-uuid", 1);
      return;
    }
    const name = operation.uuid.toString("latin1");
    if (this.#kept.has(name) || this.#window.has(operation.uuid)) {
      this.#counts.paired += 1;
      return;
    }
    if (this.#kept.size >= this.#options.maxPending) {
      this.#refuse("overloaded", 1);
      return;
    }
    const wait = Math.max(MIN_KEPT, KEPT_INTERVALS * this.#options.heartbeatInterval);
    this.#kept.set(name, { operation: copyOf(operation), until: now + wait });
  }

  #nextKept(): number | undefined {
    for (const { until } of this.#kept.values()) return until;
    return undefined;
  }

  #forgetKept(now: number): void {
    let count = 0;
    for (const [name, { until }] of this.#kept) {
      if (until > now) break;
      this.#kept.delete(name);
      count += 1;
    }
    if (count > 0) this.#refuse("stale", count);
  }

  /** The store has them. */
  #durable(batch: readonly Operation[], now: number): void {
    if (!this.#active) {
      for (const operation of batch) this.#apply(operation, now, false);
      if (batch.length > 0) this.#follower.have(this.#applied);
      return;
    }
    this.#now = now;
    for (const operation of batch) {
      // It may turn out here that the other server is gone: what is held is applied then, before this one.
      if (this.#leader.present) this.#leader.update(operation, now);
      if (this.#leader.inStep) this.#held.push(operation);
      else this.#apply(operation, now, true);
    }
  }

  /** The other server has everything up to here. */
  #release(sequence: number, now: number): void {
    let count = 0;
    while (count < this.#held.length && (this.#held[count] as Operation).sequence <= sequence) count += 1;
    if (count === 0) return;
    const released = this.#held.splice(0, count);
    for (const operation of released) this.#apply(operation, now, true);
  }

  #replicaLeft(reason: "gone" | "silent" | "slow" | "left", now: number): void {
    this.#leader.leave();
    this.#outbox.event({ type: "replica:leave", reason });
    const held = this.#held;
    this.#held = [];
    for (const operation of held) this.#apply(operation, now, true);
  }

  /** An update takes effect: the map, and what everybody is told. */
  #apply(operation: Operation, now: number, publish: boolean): void {
    const table = this.#table;
    const { key, sequence, kind } = operation;
    let { value, properties } = operation;
    let id = kind === "set" && !this.#watched ? -1 : table.find(key);
    if (id >= 0) {
      this.#snapshots.beforeChange(id);
      this.#leader.snapshot?.beforeChange(id);
    }
    if (kind === "set") {
      id = table.put(key, value, sequence);
      this.#expiry.set(id, operation.expires);
    } else if (kind === "announce") {
      const time = id < 0 ? 0 : this.#expiry.timeOf(id);
      if (id >= 0) {
        value = table.value(id);
        table.touch(id, sequence);
        this.#expiry.set(id, time);
      }
      properties = encodeTimeToLive(time === 0 ? 0 : Math.max(1, Math.ceil(time - now)));
    } else if (id >= 0) {
      this.#expiry.remove(id);
      table.remove(id);
    }
    this.#applied = sequence;
    if (operation.counted && kind !== "announce") this.#counts.applied += 1;
    const added = this.#chains.advance(key, sequence);
    if (!publish) return;
    if (added !== "") properties = Buffer.concat([properties, Buffer.from(added)]);
    this.#counts.published += 1;
    this.#outbox.publish([key, sequenceFrame(sequence), operation.uuid, properties, value]);
  }

  /** Whether somebody has to know what a key was before it changes. */
  get #watched(): boolean {
    return this.#snapshots.active > 0 || this.#leader.snapshot !== undefined;
  }

  #expire(now: number): void {
    const due = this.#expiry.due(now, MAX_EXPIRED);
    if (due.length === 0) return;
    // A key that is being set at this moment does not end: its new value comes with a time of its own.
    const changing = new Set<string>();
    for (const batch of [this.#incoming, this.#committing ?? [], this.#held])
      for (const { key } of batch) changing.add(key.toString("latin1"));
    for (const id of due) {
      const key = this.#table.key(id);
      if (!changing.has(key.toString("latin1"))) {
        if (this.#accept(this.#own("delete", key, EMPTY, 0, now))) this.#counts.expired += 1;
      }
      // Looked at again in a while: the delete may be refused by the store.
      this.#expiry.set(id, now + this.#options.heartbeatInterval);
    }
  }

  #beat(now: number): void {
    this.#hugzAt = now + this.#options.heartbeatInterval;
    this.#outbox.publish(encodeHugz(this.#applied, this.#chains.all()));
    if (!this.#leader.present) return;
    this.#now = now;
    const patience = this.#options.heartbeatInterval * this.#options.liveness;
    if (
      now - this.#leader.heardAt >= patience &&
      (this.#leader.inStep || this.#leader.snapshot === undefined)
    )
      this.#replicaLeft("silent", now);
    else this.#leader.beat(this.#applied, now);
  }

  #lead(routingId: Buffer, session: Buffer, now: number): void {
    this.#now = now;
    if (this.#leader.present) this.#replicaLeft("left", now);
    const snapshot = new Snapshot(this.#table, EMPTY, this.#applied);
    // Those with the store get there by themselves, when they are durable.
    this.#leader.begin(routingId, session, snapshot, [...this.#window.uuids()], this.#held, now);
    this.pump(now);
  }

  #load(loaded: LoadedMap): void {
    if (!this.#options.hasStore) {
      this.#follow(loaded);
      return;
    }
    this.#replacing = loaded;
    this.#incoming = [];
    this.#incomingBytes = 0;
    if (this.#committing === undefined) this.#replaceStore();
  }

  #replaceStore(): void {
    const loaded = this.#replacing;
    if (loaded === undefined) return;
    const expires = (id: number): number => loaded.expires.get(loaded.table.key(id).toString("latin1")) ?? 0;
    // Whoever becomes active meanwhile goes on with the map that it had, in its store, too.
    this.#outbox.replace(loaded, expires, () => this.#replacing === loaded);
  }

  /** The map is the other server's from now on. */
  #follow(loaded: LoadedMap): void {
    this.#table = loaded.table;
    this.#expiry = new Expiry(this.#table);
    for (const [name, time] of loaded.expires) {
      const id = this.#table.find(Buffer.from(name, "latin1"));
      if (id >= 0) this.#expiry.set(id, time);
    }
    this.#leader.bind(this.#table, this.#expiry);
    this.#window = new UuidWindow();
    for (const uuid of loaded.uuids) this.#seen(uuid);
    this.#applied = loaded.sequence;
    this.#ordered = loaded.sequence;
    this.#outbox.event({ type: "replicated", entries: this.#table.size, sequence: loaded.sequence });
    const later = this.#incoming;
    this.#incoming = [];
    this.#incomingBytes = 0;
    for (const operation of loaded.updates) this.#replicated(operation);
    // They came while the store took the map; the window that knew them was the old one.
    for (const operation of later) this.#replicated(operation);
    if (this.#incoming.length === 0) this.#follower.have(this.#applied);
  }

  /** The next update of the server that serves. */
  #replicated(operation: Operation): void {
    if (operation.uuid.length > 0) this.#seen(operation.uuid);
    this.#incoming.push(copyOf(operation));
    this.#incomingBytes += sizeOf(operation);
  }

  /** The other server has applied it: what a client sent here of it is done with. */
  #seen(uuid: Buffer): void {
    this.#window.add(uuid);
    if (this.#kept.size > 0 && this.#kept.delete(uuid.toString("latin1"))) this.#counts.paired += 1;
  }

  #newLeader(): Leader {
    const send = (routingId: Buffer, frames: Buffer[]): ReturnType<ServerOutbox["replicate"]> =>
      this.#outbox.replicate(routingId, frames);
    return new Leader(send, (reason) => this.#replicaLeft(reason, this.#now), this.#table, this.#expiry);
  }

  #refuse(reason: RefusalReason, count: number): void {
    if (count === 0) return;
    this.#refused[reason] += count;
    this.#outbox.event({ type: "refused", reason, count });
  }

  #fault(port: "snapshot" | "collector" | "replication", fault: CloneFault): void {
    this.#faults[fault] += 1;
    this.#outbox.event({ type: "fault", port, fault });
  }
}

function copyOf(operation: Operation): Operation {
  const { kind, key, uuid, properties, value, expires, counted, sequence } = operation;
  const copied = {
    kind,
    key: Buffer.from(key),
    uuid: Buffer.from(uuid),
    properties: properties.length === 0 ? EMPTY : Buffer.from(properties),
    value: value.length >= 65_536 || value.length === 0 ? value : Buffer.from(value),
  };
  return { ...copied, expires, counted, sequence };
}

function lastSequence(operations: readonly Operation[]): number | undefined {
  return operations[operations.length - 1]?.sequence;
}

function least(...times: (number | undefined)[]): number | undefined {
  let next: number | undefined;
  for (const time of times) if (time !== undefined && (next === undefined || time < next)) next = time;
  return next;
}

function asShoalError(error: unknown): ShoalError {
  if (error instanceof ShoalError) return error;
  return new StoreError("failed", error instanceof Error ? error.message : String(error), { cause: error });
}
