/**
 * The server of a pair that stands by: follows the other one, and keeps the updates that clients send here until the
 * other one's update with the same UUID comes.
 */
import { backOff } from "../../core/back-off.js";
import { Follower } from "./follower.js";
import type { LoadedMap } from "./loading.js";
import { copyOf, costOfOperation, type Operation } from "./operation.js";
import { conflictMark, nameOf, type UuidWindow } from "./server-map.js";
import type { ServerState } from "./server-state.js";

/** Bytes of updates during the write of a whole map. */
const MAX_WAITING_BYTES = 268_435_456;

/**
 * ms between a failed write and the next request for the map, at most. A full store may take a map and refuse the next
 * update: without pauses the map would be sent again and again.
 */
const MAX_RELOAD_PAUSE = 60_000;

export class Standby {
  readonly #state: ServerState;
  readonly #follower: Follower;
  readonly #kept: PendingUpdates;
  /** The map that the store writes, which excludes commits. */
  #replacing: LoadedMap | undefined;
  #failures = 0;
  #replacedAt: number | undefined;
  #now = 0;

  constructor(state: ServerState) {
    const { options, map } = state;
    this.#state = state;
    this.#kept = new PendingUpdates(options.maxPending, options.heartbeatInterval);
    this.#follower = new Follower(state, {
      loaded: (loaded) => this.#load(loaded),
      update: (operation) => this.#replicated(operation),
      beat: () => this.#follower.have(this.#replacing === undefined ? map.sequence : 0),
    });
  }

  get following(): boolean {
    return this.#follower.following;
  }

  get kept(): number {
    return this.#kept.size;
  }

  get replacing(): boolean {
    return this.#replacing !== undefined;
  }

  start(now: number): void {
    this.#follower.start(now);
  }

  /** A map of an earlier term is loaded again. */
  followTerm(term: number, now: number): void {
    if (this.#follower.following && this.#follower.term !== term) this.#follower.start(now);
  }

  stop(): void {
    this.#follower.stop();
  }

  /** The store differs from memory now, so the map is loaded again, after a pause that grows with failures. */
  storeFailed(now: number): void {
    this.abandon();
    this.#state.queue.drop();
    if (this.#replacedAt !== undefined && now - this.#replacedAt >= MAX_RELOAD_PAUSE) this.#failures = 0;
    this.#replacedAt = undefined;
    const { heartbeatInterval, random } = this.#state.options;
    this.#follower.startAfter(backOff(this.#failures, heartbeatInterval, MAX_RELOAD_PAUSE, random), now);
    this.#failures += 1;
  }

  abandon(): void {
    this.#replacing = undefined;
  }

  /** Returns the updates that the other server has not applied. */
  take(): Operation[] {
    return this.#kept.take();
  }

  keep(operation: Operation, now: number): void {
    const { statistics, map } = this.#state;
    if (operation.uuid.length === 0) statistics.refuse("no-uuid", 1);
    else if (this.#kept.has(operation.uuid) || isDecided(map.window, operation))
      statistics.counts.paired += 1;
    else if (!this.#kept.add(operation, now)) statistics.refuse("overloaded", 1);
  }

  receive(frames: readonly Buffer[], now: number): void {
    this.#now = now;
    this.#follower.receive(frames, now);
  }

  durable(batch: readonly Operation[], now: number): void {
    const { map } = this.#state;
    for (const operation of batch) map.apply(operation, now);
    if (batch.length > 0) this.#follower.have(map.sequence);
  }

  /** The store must be idle. */
  replaceStore(): void {
    const loaded = this.#replacing;
    if (loaded === undefined) return;
    // A server that becomes active meanwhile keeps its own map.
    this.#state.effects.replace(loaded, () => this.#replacing === loaded, this.#lost(loaded)?.after);
  }

  /** @param active whether this server serves by now */
  replaced(loaded: LoadedMap, active: boolean, now: number, aside?: string): void {
    if (this.#replacing !== loaded) return;
    this.#replacing = undefined;
    this.#replacedAt = now;
    if (!active) this.#adopt(loaded, aside);
  }

  replaceFailed(loaded: LoadedMap, now: number): void {
    if (this.#replacing === loaded) this.storeFailed(now);
  }

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

  #lost({ standing, sequence }: LoadedMap): { readonly after: number; readonly updates: number } | undefined {
    return this.#state.standing.lostTo(standing, sequence);
  }

  /** @param aside where the store keeps the lost entries */
  #adopt(loaded: LoadedMap, aside?: string): void {
    const { map, queue, effects, standing } = this.#state;
    const lost = this.#lost(loaded);
    if (lost !== undefined)
      effects.event({ type: "map:diverged", ...lost, entries: map.table.countAfter(lost.after), aside });
    map.adopt(loaded);
    standing.adopt(loaded.standing);
    this.#state.statistics.counts.paired += this.#kept.removeKnown(map.window);
    queue.restart(loaded.sequence);
    effects.event({ type: "map:replicated", entries: map.table.size, sequence: loaded.sequence });
    const later = queue.drop();
    for (const operation of loaded.updates) this.#replicated(operation);
    // Updates during the write, unknown to the new window.
    for (const operation of later) this.#replicated(operation);
    if (queue.waiting === 0) this.#follower.have(map.sequence);
  }

  #replicated(operation: Operation): void {
    if (operation.uuid.length > 0) this.#seen(operation.uuid, operation.kind === "conflict");
    const { queue } = this.#state;
    queue.push(copyOf(operation));
    if (this.#replacing === undefined || queue.bytes <= MAX_WAITING_BYTES) return;
    // The store is slower than the updates.
    queue.drop();
    this.#replacing = undefined;
    this.#follower.start(this.#now);
  }

  /** The other server has applied it. */
  #seen(uuid: Buffer, conflict = false): void {
    const { map, statistics } = this.#state;
    map.window.add(conflict ? conflictMark(uuid) : uuid);
    if (this.#kept.remove(uuid)) statistics.counts.paired += 1;
  }
}

const MAX_KEPT_BYTES = 268_435_456;

/** ms that an update is kept, at least, and heartbeats, if that is longer: the other server has decided it by then. */
const MIN_KEPT = 10_000;
const KEPT_INTERVALS = 10;

interface Kept {
  readonly operation: Operation;
  readonly until: number;
}

class PendingUpdates {
  readonly #max: number;
  readonly #wait: number;
  /** By UUID, the oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

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

  /** @returns `false` without room */
  add(operation: Operation, now: number): boolean {
    const bytes = costOfOperation(operation);
    if (this.#kept.size >= this.#max || this.#bytes + bytes > MAX_KEPT_BYTES) return false;
    this.#bytes += bytes;
    this.#kept.set(nameOf(operation.uuid), { operation: copyOf(operation), until: now + this.#wait });
    return true;
  }

  remove(uuid: Buffer): boolean {
    return this.#kept.size > 0 && this.#delete(nameOf(uuid));
  }

  /** @returns the number of dropped updates */
  removeKnown(window: UuidWindow): number {
    let count = 0;
    for (const { operation } of this.#kept.values())
      if (window.has(operation.uuid)) count += Number(this.remove(operation.uuid));
    return count;
  }

  take(): Operation[] {
    const operations = Array.from(this.#kept.values(), ({ operation }) => operation);
    this.#kept.clear();
    this.#bytes = 0;
    return operations;
  }

  next(): number | undefined {
    for (const { until } of this.#kept.values()) return until;
    return undefined;
  }

  /** @returns the number of dropped updates */
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

function isDecided(window: UuidWindow, { uuid, condition }: Operation): boolean {
  return window.has(uuid) || (condition !== undefined && window.hasConflict(uuid));
}
