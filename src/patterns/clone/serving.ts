/**
 * A server that serves: it takes updates, tells everybody of them, gives snapshots,
 * ends ephemeral keys, and keeps the other server in step.
 *
 *   accept ──> in hand … durable ──> held until the other server has it, while it is in step ──> applied, published
 */
import { Leader } from "./leader.js";
import { copyOf, type Operation, type OperationKind, sizeOf } from "./operation.js";
import { EMPTY, encodeHugz, readSequence } from "./protocol.js";
import { LinkCommand, parseLink } from "./replication.js";
import type { ServerParts } from "./server-parts.js";
import { ServerSnapshots } from "./server-snapshots.js";
import { OwnUpdates } from "./server-updates.js";
import { Snapshot } from "./snapshots.js";

/** Bytes that updates in hand may hold, beside their number. */
const MAX_PENDING_BYTES = 268_435_456;
/** Ephemeral keys ended in one tick. */
const MAX_EXPIRED = 1_000;

export class Serving {
  readonly #parts: ServerParts;
  readonly #snapshots: ServerSnapshots;
  readonly #leader: Leader;
  readonly #own: OwnUpdates;
  /** In order and in the store; the other server has not said that it has them. */
  #held: Operation[] = [];
  #hugzAt: number;
  /** The time of the call that is under way, for what it finds out on the way. */
  #now = 0;

  constructor(parts: ServerParts, now: number) {
    const { options, outbox, map } = parts;
    this.#parts = parts;
    this.#own = new OwnUpdates(options.token);
    this.#snapshots = new ServerSnapshots(options, outbox, map.chains);
    this.#leader = new Leader(
      (routingId, frames) => outbox.replicate(routingId, frames),
      (reason) => this.#replicaLeft(reason, this.#now),
      map,
    );
    this.#hugzAt = now + options.heartbeatInterval;
  }

  /** Whether the other server has all that is acknowledged. */
  get inStep(): boolean {
    return this.#leader.inStep;
  }

  /** Updates that wait for the other server. */
  get held(): number {
    return this.#held.length;
  }

  get snapshots(): ServerSnapshots {
    return this.#snapshots;
  }

  begin(now: number): void {
    this.#hugzAt = now;
  }

  /** It serves no more. @returns what is in the store, though nobody has been told */
  end(): Operation[] {
    this.#snapshots.clear();
    this.#leader.leave();
    const held = this.#held;
    this.#held = [];
    return held;
  }

  /** A client asks for a snapshot. */
  request(routingId: Buffer, subtree: Buffer): void {
    this.#snapshots.request(routingId, subtree);
  }

  /** @returns whether there is room for it */
  accept(operation: Operation): boolean {
    const { options, map, inHand, accounts } = this.#parts;
    if (inHand.waiting + this.#held.length >= options.maxPending || inHand.bytes > MAX_PENDING_BYTES) {
      if (operation.counted) accounts.refuse("overloaded", 1);
      return false;
    }
    if (operation.kind === "set" && map.table.bytes + sizeOf(operation) > options.maxBytes) {
      if (operation.counted) accounts.refuse("full", 1);
      return false;
    }
    let accepted = operation;
    if (operation.uuid.length > 0 && !map.window.add(operation.uuid)) {
      if (operation.counted) accounts.repeated += 1;
      accepted = { ...operation, kind: "announce", value: EMPTY, expires: 0, counted: false };
    }
    // The memory of a small update is a part of what was received with it; what waits long must not hold all of that.
    const waits = inHand.committing && accepted.value.length < 4_096;
    inHand.push(waits ? copyOf(accepted) : accepted);
    return true;
  }

  /** An update of the server's own. @param ttl ms; 0: none */
  make(kind: OperationKind, key: Buffer, value: Buffer, ttl: number, now: number): boolean {
    return this.accept(this.#own.make(kind, key, value, ttl, now));
  }

  /** The store has them, if there is one. */
  durable(batch: readonly Operation[], now: number): void {
    this.#now = now;
    for (const operation of batch) {
      // It may turn out here that the other server is gone: what is held is applied then, before this one.
      if (this.#leader.present) this.#leader.update(operation, now);
      if (this.#leader.inStep) this.#held.push(operation);
      else this.#apply(operation, now);
    }
  }

  /** From the other server, without the routing id. */
  replica(routingId: Buffer, frames: readonly Buffer[], now: number): void {
    const { accounts, outbox, map } = this.#parts;
    const message = parseLink(frames);
    if (message?.command === LinkCommand.FOLLOW) this.#lead(routingId, message.session, now);
    else if (message?.command === LinkCommand.HAVE) {
      if (!this.#leader.is(routingId) || !this.#leader.isSession(message.session)) return;
      const sequence = readSequence(frames[2] as Buffer);
      if (this.#leader.have(sequence, now)) outbox.event({ type: "replica:join", sequence: map.sequence });
      this.#release(sequence, now);
    } else accounts.fault("replication", "frames");
  }

  /** Sends snapshots on, as far as their clients take them. */
  pump(now: number): void {
    const { map } = this.#parts;
    this.#snapshots.pump(map.table, map.sequence, now);
    this.#now = now;
    this.#leader.pump(now);
  }

  /** Whether {@link pump} has something to do at once. */
  get busy(): boolean {
    return this.#snapshots.next(0) === 0 || this.#leader.next(0) === 0;
  }

  tick(now: number): void {
    this.#expire(now);
    if (now >= this.#hugzAt) this.#beat(now);
    this.pump(now);
  }

  next(): number {
    let next = this.#hugzAt;
    for (const time of [this.#parts.map.expiry.next(), this.#snapshots.next(0), this.#leader.next(0)])
      if (time !== undefined && time < next) next = time;
    return next;
  }

  /** An update takes effect, and everybody is told. */
  #apply(operation: Operation, now: number): void {
    const { map, outbox, accounts } = this.#parts;
    const watched = this.#snapshots.active > 0 || this.#leader.snapshot !== undefined;
    const frames = map.apply(operation, now, watched ? this.#beforeChange : undefined);
    accounts.published += 1;
    outbox.publish(frames);
  }

  #beforeChange = (id: number): void => {
    this.#snapshots.beforeChange(id);
    this.#leader.snapshot?.beforeChange(id);
  };

  /** The other server has everything up to here. */
  #release(sequence: number, now: number): void {
    let count = 0;
    while (count < this.#held.length && (this.#held[count] as Operation).sequence <= sequence) count += 1;
    if (count === 0) return;
    for (const operation of this.#held.splice(0, count)) this.#apply(operation, now);
  }

  #replicaLeft(reason: "gone" | "silent" | "slow" | "left", now: number): void {
    this.#leader.leave();
    this.#parts.outbox.event({ type: "replica:leave", reason });
    const held = this.#held;
    this.#held = [];
    for (const operation of held) this.#apply(operation, now);
  }

  #lead(routingId: Buffer, session: Buffer, now: number): void {
    const { map } = this.#parts;
    this.#now = now;
    if (this.#leader.present) this.#replicaLeft("left", now);
    const snapshot = new Snapshot(map.table, EMPTY, map.sequence);
    // Those with the store get there by themselves, when they are durable.
    this.#leader.begin(routingId, session, snapshot, [...map.window.uuids()], this.#held, now);
    this.pump(now);
  }

  #expire(now: number): void {
    const { map, inHand, options, accounts } = this.#parts;
    const due = map.expiry.due(now, MAX_EXPIRED);
    if (due.length === 0) return;
    // A key that is being set at this moment does not end: its new value comes with a time of its own.
    const changing = new Set<string>();
    for (const key of inHand.keys()) changing.add(key.toString("latin1"));
    for (const { key } of this.#held) changing.add(key.toString("latin1"));
    for (const id of due) {
      const key = map.table.key(id);
      if (!changing.has(key.toString("latin1")) && this.make("delete", key, EMPTY, 0, now))
        accounts.expired += 1;
      // Looked at again in a while: the delete may be refused by the store.
      map.expiry.set(id, now + options.heartbeatInterval);
    }
  }

  #beat(now: number): void {
    const { options, outbox, map } = this.#parts;
    this.#hugzAt = now + options.heartbeatInterval;
    outbox.publish(encodeHugz(map.sequence, map.chains.all()));
    if (!this.#leader.present) return;
    this.#now = now;
    const patience = options.heartbeatInterval * options.liveness;
    const silent = now - this.#leader.heardAt >= patience;
    if (silent && (this.#leader.inStep || this.#leader.snapshot === undefined))
      this.#replicaLeft("silent", now);
    else this.#leader.beat(map.sequence, now);
  }
}
