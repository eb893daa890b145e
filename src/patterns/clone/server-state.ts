/** State of a server in either role: its map, its counters, and the effects of its rules. */

import { Heap } from "../../core/collections/queues.js";
import type { DeliveryResult } from "../../sockets/index.js";
import type { CommitQueue, Operation } from "./operation.js";
import { encodeUnchanged, SubtreeSequences } from "./properties.js";
import { type CloneFault, EMPTY, sequenceFrame, UUID_BYTES } from "./protocol.js";
import type { CloneServerEvent, ServerRulesOptions } from "./server-options.js";
import type { ServerStanding, Standing } from "./standing.js";
import type { CloneStoredEntry, CloneStoredState } from "./store.js";
import { CloneTable } from "./table.js";

export interface ServerEffects {
  publish(frames: Buffer[]): void;
  reply(routingId: Buffer, frames: Buffer[]): DeliveryResult;
  replicate(routingId: Buffer, frames: Buffer[]): DeliveryResult;
  follow(frames: Buffer[]): void;
  /** Ends in `committed` or `commitFailed`. One commit or replacement at a time. */
  commit(operations: readonly Operation[]): void;
  /** Ends in `replaced` or `replaceFailed`. The table does not change meanwhile. */
  replace(loaded: LoadedMap, wanted: () => boolean): void;
  /** Ends in `marked` or `markFailed`, after each commit before it. */
  mark(standing: Buffer): void;
  /** Publishes the position. */
  announce(): void;
  event(event: CloneServerEvent): void;
}

/** What the parts of a server's rules share. */
export interface ServerState {
  readonly options: ServerRulesOptions;
  readonly effects: ServerEffects;
  map: ServerMap;
  readonly queue: CommitQueue;
  readonly standing: ServerStanding;
  fault(port: "snapshot" | "collector" | "replication", reason: CloneFault): void;
  /** The other server does not follow any more. */
  replicaLeft(reason: "gone" | "silent" | "slow" | "left", now: number): void;
}

// --- Map -------------------------------------------------------------------------------------------------------------

/** A whole map of the other server. */
export interface LoadedMap {
  readonly map: ServerMap;
  readonly standing: Standing;
}

/** The map of a server: its keys, when they end, and which updates it has had. */
export class ServerMap {
  readonly subtrees: SubtreeSequences;
  readonly table = new CloneTable();
  readonly expiry = new Expiry();
  /** UUIDs of recent updates and of those in flight. */
  readonly window = new UuidWindow();
  /** Sequence of the last applied update. */
  sequence = 0;

  /** @param subtrees of the map in whose place it will be */
  constructor(subtrees = new SubtreeSequences()) {
    this.subtrees = subtrees;
  }

  /** 0 for a missing key. */
  revision(key: Buffer): number {
    const id = this.table.find(key);
    return id < 0 ? 0 : this.table.sequence(id);
  }

  /** ms until a key ends; 0: never. */
  timeLeft(id: number, now: number): number {
    const time = this.expiry.timeOf(id);
    return time === 0 ? 0 : Math.max(1, Math.ceil(time - now));
  }

  /** @param entry with the time of the rules' clock; 0: never */
  restore({ key, value, sequence, expires }: CloneStoredEntry): void {
    this.expiry.set(this.table.put(key, value, sequence), expires);
  }

  restored({ sequence, uuids }: Pick<CloneStoredState, "sequence" | "uuids">): void {
    this.sequence = sequence;
    for (const uuid of uuids) this.window.add(uuid);
  }

  /** Takes updates without effect out of the window: a repetition is a new update. */
  forget(updates: readonly Operation[]): void {
    for (const uuid of marksOf(updates)) this.window.remove(uuid);
  }

  /** UUIDs of recent updates, 16 bytes each. @param except updates in flight */
  seen(except: readonly Operation[] = []): Buffer {
    return this.window.bytes(marksOf(except));
  }

  /** @param shift from the rules' clock to ms since 1970 */
  *entries(shift: number): Generator<CloneStoredEntry, undefined> {
    const table = this.table;
    for (let id = 0; id < table.high; id++) {
      if (!table.isLive(id)) continue;
      const [time, sequence] = [this.expiry.timeOf(id), table.sequence(id)];
      yield { key: table.key(id), value: table.value(id), sequence, expires: time === 0 ? 0 : time + shift };
    }
    return undefined;
  }

  /**
   * @param beforeChange called before an existing key changes
   * @returns its KVPUB
   */
  apply(operation: Operation, now: number, beforeChange?: (id: number) => void): Buffer[] {
    const table = this.table;
    const { key, sequence, kind } = operation;
    let { value, properties } = operation;
    const changes = kind === "set" || kind === "delete";
    let id = kind === "set" && beforeChange === undefined ? -1 : table.find(key);
    if (id >= 0 && changes) beforeChange?.(id);
    if (kind === "set") {
      id = table.put(key, value, sequence);
      this.expiry.set(id, operation.expires);
    } else if (!changes) {
      if (id >= 0) value = table.value(id);
      properties = encodeUnchanged(this.timeLeft(id, now), this.revision(key), kind === "conflict");
    } else if (id >= 0) {
      this.expiry.set(id, 0);
      table.remove(id);
    }
    this.sequence = sequence;
    const added = this.subtrees.advance(key, sequence);
    if (added !== "") properties = Buffer.concat([properties, Buffer.from(added)]);
    return [key, sequenceFrame(sequence), operation.uuid, properties, value];
  }
}

/** Old deadlines in the heap, besides as many as there are valid ones. */
const SLACK = 1_024;

interface Deadline {
  readonly time: number;
  readonly id: number;
}

/**
 * Deadlines of ephemeral keys, in a heap. Replaced ones are skipped at its top, or removed once they are the majority.
 */
export class Expiry {
  readonly #heap = new Heap<Deadline>((a, b) => a.time < b.time);
  /** Deadlines by id. */
  readonly #times = new Map<number, Deadline>();

  get size(): number {
    return this.#times.size;
  }

  /** @param time when the key ends; 0: never */
  set(id: number, time: number): void {
    if (time === 0) {
      if (this.#times.size > 0) this.#times.delete(id);
      return;
    }
    const deadline = { time, id };
    this.#times.set(id, deadline);
    this.#heap.push(deadline);
    if (this.#heap.size <= 2 * this.#times.size + SLACK) return;
    this.#heap.clear();
    for (const each of this.#times.values()) this.#heap.push(each);
  }

  /** 0: never. */
  timeOf(id: number): number {
    return this.#times.get(id)?.time ?? 0;
  }

  /** Infinite without one. */
  next(): number {
    this.#skipOld();
    return this.#heap.first?.time ?? Number.POSITIVE_INFINITY;
  }

  due(now: number, max: number): number[] {
    const ids: number[] = [];
    for (;;) {
      this.#skipOld();
      const { first } = this.#heap;
      if (first === undefined || first.time > now || ids.length >= max) return ids;
      this.#heap.pop();
      this.#times.delete(first.id);
      ids.push(first.id);
    }
  }

  #skipOld(): void {
    for (let { first } = this.#heap; first !== undefined; first = this.#heap.first) {
      if (this.#times.get(first.id) === first) return;
      this.#heap.pop();
    }
  }
}

const MAX_UUIDS = 262_144;

/**
 * UUIDs of recent updates, to find repetitions: a ring of a table's ids, in which the oldest makes room for the next. Sets
 * of texts take three times as long and 80 MB more.
 */
export class UuidWindow {
  readonly #max: number;
  readonly #table = new CloneTable();
  #oldest = 0;

  constructor(max = MAX_UUIDS) {
    this.#max = max;
  }

  /** @returns whether it is new */
  add(uuid: Buffer): boolean {
    const table = this.#table;
    const before = table.size;
    table.put(uuid, EMPTY, 0);
    if (table.size > this.#max) {
      table.remove(this.#oldest);
      // The next UUID gets the id of the removed one.
      this.#oldest = (this.#oldest + 1) % table.high;
      return true;
    }
    return table.size > before;
  }

  has(uuid: Buffer): boolean {
    return this.#table.find(uuid) >= 0;
  }

  remove(uuid: Buffer): void {
    const id = this.#table.find(uuid);
    if (id >= 0) this.#table.remove(id);
  }

  /** 16 bytes each, the oldest first. Without an object for each: the server that serves must not pause. */
  bytes(except: Iterable<Buffer> = []): Buffer {
    const table = this.#table;
    const omitted = new Set([...except].map((uuid) => table.find(uuid)));
    const bytes = Buffer.allocUnsafe(table.size * UUID_BYTES);
    let end = 0;
    for (let i = 0; i < table.high; i++) {
      const id = (this.#oldest + i) % table.high;
      if (!table.isLive(id) || omitted.has(id)) continue;
      table.writeKey(id, bytes, end);
      end += UUID_BYTES;
    }
    return bytes.subarray(0, end);
  }
}

/** The marks that updates themselves made in the window, not those that they repeat. */
function* marksOf(updates: readonly Operation[]): Generator<Buffer, undefined> {
  for (const { uuid, kind, counted } of updates) {
    if (uuid.length === 0 || kind === "announce") continue;
    if (kind !== "conflict") yield uuid;
    else if (counted) yield conflictMark(uuid);
  }
  return undefined;
}

/**
 * A conflict in the window: its UUID with the first half inverted. A repetition is a conflict again, even if its
 * condition would hold.
 */
export function conflictMark(uuid: Buffer): Buffer {
  const mark = Buffer.from(uuid);
  for (let at = 0; at < UUID_BYTES / 2; at++) mark[at] = ~(mark[at] as number);
  return mark;
}
