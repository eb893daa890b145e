/**
 * A server that stands by: it follows the one that serves, and keeps what clients
 * send it, until the other server's update with the same UUID comes.
 */
import { backOff } from "../../core/back-off.js";
import { Follower } from "./follower.js";
import type { LoadedMap } from "./loading.js";
import { copyOf, costOfOperation, type Operation } from "./operation.js";
import { conflictMark, nameOf, type UuidWindow } from "./server-map.js";
import type { ServerState } from "./server-state.js";

/** Bytes of updates that may wait while the store takes a whole map. */
const MAX_WAITING_BYTES = 268_435_456;

/**
 * ms, at most, between a write of the store that failed and the next request for the map. A store that is full may take a
 * whole map, and refuse the next update: the other server would send its map without end.
 */
const MAX_RELOAD_PAUSE = 60_000;

export class Standby {
  readonly #state: ServerState;
  readonly #follower: Follower;
  readonly #kept: PendingUpdates;
  /** The other server's map, on its way to the store. */
  #replacing: LoadedMap | undefined;
  /** Writes of the store that failed, each soon after a map that it took, or in place of one. */
  #failures = 0;
  /** When the store took the map that is followed. */
  #replacedAt: number | undefined;
  /** The time of the message that is being taken. */
  #now = 0;

  constructor(state: ServerState) {
    const { options, effects, statistics, map } = state;
    this.#state = state;
    this.#kept = new PendingUpdates(options.maxPending, options.heartbeatInterval);
    this.#follower = new Follower(
      {
        follow: (frames) => effects.follow(frames),
        fault: () => statistics.fault("replication", "frames"),
        incompatible: () => effects.event({ type: "peer:incompatible" }),
        loaded: (loaded) => this.#load(loaded),
        update: (operation) => this.#replicated(operation),
        beat: () => this.#follower.have(this.#replacing === undefined ? map.sequence : 0),
      },
      options.heartbeatInterval,
      options.liveness,
    );
  }

  /** Whether it has the whole map, and each update as it comes. */
  get following(): boolean {
    return this.#follower.following;
  }

  /** Updates that are kept. */
  get kept(): number {
    return this.#kept.size;
  }

  /** The store takes a whole map: nothing else may go there. */
  get replacing(): boolean {
    return this.#replacing !== undefined;
  }

  /** Asks the other server for its map. */
  start(now: number): void {
    this.#follower.start(now);
  }

  /** The other server serves in a term: what is followed may be of the one before. */
  followTerm(term: number, now: number): void {
    if (this.#follower.following && this.#follower.term !== term) this.#follower.start(now);
  }

  stop(): void {
    this.#follower.stop();
  }

  /** The store is not the other server's map any more: it is asked for again, later each time that this happens soon. */
  storeFailed(now: number): void {
    this.abandon();
    if (this.#replacedAt !== undefined && now - this.#replacedAt >= MAX_RELOAD_PAUSE) this.#failures = 0;
    this.#replacedAt = undefined;
    const { heartbeatInterval, random } = this.#state.options;
    this.#follower.startAfter(backOff(this.#failures, heartbeatInterval, MAX_RELOAD_PAUSE, random), now);
    this.#failures += 1;
  }

  /** What the store is being given is not the map any more. */
  abandon(): void {
    this.#replacing = undefined;
  }

  /** What clients sent here, and the other server did not apply. */
  take(): Operation[] {
    return this.#kept.take();
  }

  /** A client's update. */
  keep(operation: Operation, now: number): void {
    const { statistics, map } = this.#state;
    if (operation.uuid.length === 0) statistics.refuse("no-uuid", 1);
    else if (this.#kept.has(operation.uuid) || isDecided(map.window, operation)) statistics.paired += 1;
    else if (!this.#kept.add(operation, now)) statistics.refuse("overloaded", 1);
  }

  /** From the server that serves. */
  receive(frames: readonly Buffer[], now: number): void {
    this.#now = now;
    this.#follower.receive(frames, now);
  }

  /** The store has them, if there is one. */
  durable(batch: readonly Operation[], now: number): void {
    const { map } = this.#state;
    for (const operation of batch) map.apply(operation, now);
    if (batch.length > 0) this.#follower.have(map.sequence);
  }

  /** Gives the store the other server's map, once it has nothing else to do. */
  replaceStore(): void {
    const loaded = this.#replacing;
    if (loaded === undefined) return;
    // A server that becomes active meanwhile goes on with the map that it had, in its store, too.
    this.#state.effects.replace(loaded, () => this.#replacing === loaded, this.#lost(loaded)?.after);
  }

  /** The store has the whole map that the other server gave. @param active whether this one serves by now */
  replaced(loaded: LoadedMap, active: boolean, now: number, aside?: string): void {
    // A later map may be on its way already: the store has not got that one.
    if (this.#replacing !== loaded) return;
    this.#replacing = undefined;
    this.#replacedAt = now;
    if (!active) this.#adopt(loaded, aside);
  }

  /** Those that had their time: the other server refused them. */
  forget(now: number): void {
    this.#state.statistics.refuse("stale", this.#kept.forget(now));
  }

  tick(now: number): void {
    this.#follower.tick(now);
  }

  next(): number | undefined {
    const [follower, kept] = [this.#follower.next(), this.#kept.next()];
    return follower === undefined || kept === undefined ? (follower ?? kept) : Math.min(follower, kept);
  }

  #load(loaded: LoadedMap): void {
    const { options, queue } = this.#state;
    if (!options.hasStore) {
      this.#adopt(loaded);
      return;
    }
    this.#replacing = loaded;
    queue.drop();
    if (!queue.committing) this.replaceStore();
  }

  /** What this server acknowledged alone, and a map has not. */
  #lost({ standing, sequence }: LoadedMap): { readonly after: number; readonly updates: number } | undefined {
    return this.#state.standing.lostTo(standing, sequence);
  }

  /** The map is the other server's from now on. @param aside where the store keeps what it has not */
  #adopt(loaded: LoadedMap, aside?: string): void {
    const { map, queue, effects, standing } = this.#state;
    const lost = this.#lost(loaded);
    if (lost !== undefined)
      effects.event({ type: "map:diverged", ...lost, entries: map.table.countAfter(lost.after), aside });
    map.adopt(loaded);
    standing.adopt(loaded.standing);
    this.#state.statistics.paired += this.#kept.removeKnown(map.window);
    queue.restart(loaded.sequence);
    effects.event({ type: "map:replicated", entries: map.table.size, sequence: loaded.sequence });
    const later = queue.drop();
    for (const operation of loaded.updates) this.#replicated(operation);
    // They came while the store took the map; the window that knew them was the old one.
    for (const operation of later) this.#replicated(operation);
    if (queue.waiting === 0) this.#follower.have(map.sequence);
  }

  /** The next update of the server that serves. */
  #replicated(operation: Operation): void {
    if (operation.uuid.length > 0) this.#seen(operation.uuid, operation.kind === "conflict");
    const { queue } = this.#state;
    queue.push(copyOf(operation));
    if (this.#replacing === undefined || queue.bytes <= MAX_WAITING_BYTES) return;
    // The store takes the map more slowly than updates come: their map is asked for again, when it is done.
    queue.drop();
    this.#replacing = undefined;
    this.#follower.start(this.#now);
  }

  /** The other server has applied it: what a client sent here of it is done with. */
  #seen(uuid: Buffer, conflict = false): void {
    const { map, statistics } = this.#state;
    map.window.add(conflict ? conflictMark(uuid) : uuid);
    if (this.#kept.remove(uuid)) statistics.paired += 1;
  }
}

/** Bytes that may be kept, in addition to their number. */
const MAX_KEPT_BYTES = 268_435_456;

/** ms, at least, that an update is kept while standing by; the other server refused what it has not applied by then. */
const MIN_KEPT = 10_000;
/** Intervals for which it is kept, where that is longer. */
const KEPT_INTERVALS = 10;

interface Kept {
  readonly operation: Operation;
  readonly until: number;
}

/**
 * What clients send to a server that stands by: kept until the other server's update with the same UUID comes, or this
 * one takes over.
 */
class PendingUpdates {
  readonly #max: number;
  readonly #wait: number;
  /** By UUID, the oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  /** @param max updates. @param interval ms between two heartbeats */
  constructor(max: number, interval: number) {
    this.#max = max;
    this.#wait = Math.max(MIN_KEPT, KEPT_INTERVALS * interval);
  }

  get size(): number {
    return this.#kept.size;
  }

  has(uuid: Buffer): boolean {
    return this.#kept.has(nameOf(uuid));
  }

  /** @returns `false` when there is no room */
  add(operation: Operation, now: number): boolean {
    const bytes = costOfOperation(operation);
    if (this.#kept.size >= this.#max || this.#bytes + bytes > MAX_KEPT_BYTES) return false;
    this.#bytes += bytes;
    this.#kept.set(nameOf(operation.uuid), { operation: copyOf(operation), until: now + this.#wait });
    return true;
  }

  /** The other server has it. @returns whether it was kept */
  remove(uuid: Buffer): boolean {
    return this.#kept.size > 0 && this.#delete(nameOf(uuid));
  }

  /** The other server has those that are in its window. @returns how many were kept */
  removeKnown(window: UuidWindow): number {
    let count = 0;
    for (const { operation } of this.#kept.values())
      if (window.has(operation.uuid)) count += Number(this.remove(operation.uuid));
    return count;
  }

  /** All of them, which are kept no more. */
  take(): Operation[] {
    const operations = Array.from(this.#kept.values(), ({ operation }) => operation);
    this.#kept.clear();
    this.#bytes = 0;
    return operations;
  }

  /** When the oldest is kept no more. */
  next(): number | undefined {
    for (const { until } of this.#kept.values()) return until;
    return undefined;
  }

  /** @returns how many had their time */
  forget(now: number): number {
    let count = 0;
    for (const [name, { until }] of this.#kept) {
      if (until > now) break;
      this.#delete(name);
      count += 1;
    }
    return count;
  }

  #delete(name: string): boolean {
    const kept = this.#kept.get(name);
    if (kept === undefined) return false;
    this.#bytes -= costOfOperation(kept.operation);
    return this.#kept.delete(name);
  }
}

/** Whether the server that serves has applied an update, or refused it by its condition. */
function isDecided(window: UuidWindow, { uuid, condition }: Operation): boolean {
  return window.has(uuid) || (condition !== undefined && window.hasConflict(uuid));
}
