/** The map of a server: its keys, when they end, and which updates it has had. */

import { Heap } from "../../core/collections/heap.js";
import { seededHash } from "../../core/hash.js";
import { randomSeed } from "../../core/random.js";
import type { Operation } from "./operation.js";
import { encodeUnchanged, SubtreeSequences } from "./properties.js";
import { EMPTY, sequenceFrame, UUID_BYTES } from "./protocol.js";
import type { Standing } from "./standing.js";
import type { CloneStoredEntry, CloneStoredState } from "./store.js";
import { CloneTable } from "./table.js";

/** A whole map of the other server. */
export interface LoadedMap {
  readonly table: CloneTable;
  /** When keys end. */
  readonly expires: ReadonlyMap<number, number>;
  /** UUIDs of recent updates, 16 bytes each. */
  readonly seen: Buffer;
  readonly sequence: number;
  readonly standing: Standing;
}

export function uuidsOf(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.floor(bytes.length / UUID_BYTES) }, (_, i) =>
    bytes.subarray(i * UUID_BYTES, (i + 1) * UUID_BYTES),
  );
}

export class ServerMap {
  readonly subtrees = new SubtreeSequences();
  #table = new CloneTable();
  #expiry = new Expiry();
  #window = new UuidWindow();
  #applied = 0;
  #updates = 0;

  get table(): CloneTable {
    return this.#table;
  }

  get expiry(): Expiry {
    return this.#expiry;
  }

  /** UUIDs of recent updates and of those in flight. */
  get window(): UuidWindow {
    return this.#window;
  }

  get sequence(): number {
    return this.#applied;
  }

  /** 0 for a missing key. */
  revision(key: Buffer): number {
    const id = this.#table.find(key);
    return id < 0 ? 0 : this.#table.sequence(id);
  }

  get updates(): number {
    return this.#updates;
  }

  /** @param expires ms of the rules' clock; 0: never */
  restore(entry: CloneStoredEntry, expires: number): void {
    const id = this.#table.put(entry.key, entry.value, entry.sequence);
    this.#expiry.set(id, expires);
  }

  restored({ sequence, uuids }: CloneStoredState): void {
    this.#applied = sequence;
    for (const uuid of uuids) this.#window.add(uuid);
  }

  adopt(loaded: LoadedMap): void {
    this.#table = loaded.table;
    this.#expiry = new Expiry();
    for (const [id, time] of loaded.expires) this.#expiry.set(id, time);
    this.#window = new UuidWindow();
    for (const uuid of uuidsOf(loaded.seen)) this.#window.add(uuid);
    this.#applied = loaded.sequence;
    this.subtrees.restart(loaded.sequence);
  }

  /** Takes updates without effect out of the window: a repetition is a new update. */
  forget(updates: readonly Operation[]): void {
    for (const uuid of marksOf(updates)) this.#window.remove(uuid);
  }

  /** UUIDs of recent updates, 16 bytes each. @param except updates in flight */
  seen(except: readonly Operation[]): Buffer {
    return this.#window.latest(marksOf(except));
  }

  /**
   * @param beforeChange called before an existing key changes
   * @returns its KVPUB
   */
  apply(operation: Operation, now: number, beforeChange?: (id: number) => void): Buffer[] {
    const table = this.#table;
    const { key, sequence, kind } = operation;
    let { value, properties } = operation;
    const changes = kind === "set" || kind === "delete";
    let id = kind === "set" && beforeChange === undefined ? -1 : table.find(key);
    if (id >= 0 && changes) beforeChange?.(id);
    if (kind === "set") {
      id = table.put(key, value, sequence);
      this.#expiry.set(id, operation.expires);
    } else if (!changes) {
      const time = id < 0 ? 0 : this.#expiry.timeOf(id);
      if (id >= 0) value = table.value(id);
      const left = time === 0 ? 0 : Math.max(1, Math.ceil(time - now));
      properties = encodeUnchanged(left, this.revision(key), kind === "conflict");
    } else if (id >= 0) {
      this.#expiry.remove(id);
      table.remove(id);
    }
    this.#applied = sequence;
    if (operation.counted && changes) this.#updates += 1;
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

  remove(id: number): void {
    if (this.#times.size > 0) this.#times.delete(id);
  }

  /** 0: never. */
  timeOf(id: number): number {
    return this.#times.get(id)?.time ?? 0;
  }

  next(): number | undefined {
    this.#skipOld();
    return this.#heap.first?.time;
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

/** UUIDs of one generation: 6 MiB. */
const GENERATION = 262_144;
const REMOVED = 0xff;

/** UUIDs in a row, and a hash table of their places with open addressing, at most half full. */
class Generation {
  readonly #bytes: Buffer;
  readonly #slots: Int32Array;
  readonly #seed = randomSeed();
  count = 0;

  /** @param max UUIDs; a power of two */
  constructor(max: number) {
    this.#bytes = Buffer.alloc(max * UUID_BYTES);
    this.#slots = new Int32Array(max * 2);
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.count * UUID_BYTES);
  }

  has(uuid: Uint8Array): boolean {
    return this.#slots[this.#slotOf(uuid)] !== 0;
  }

  /** @returns whether it is new */
  add(uuid: Uint8Array): boolean {
    const slot = this.#slotOf(uuid);
    if (this.#slots[slot] !== 0) return false;
    this.#bytes.set(uuid, this.count * UUID_BYTES);
    this.count += 1;
    this.#slots[slot] = this.count;
    return true;
  }

  /** @param bytes of this generation, or a copy */
  remove(uuid: Uint8Array, bytes: Buffer = this.#bytes): void {
    const place = this.#slots[this.#slotOf(uuid)] as number;
    if (place > 0) bytes.fill(REMOVED, (place - 1) * UUID_BYTES, place * UUID_BYTES);
  }

  /** The slot of a UUID, or the free one for it. */
  #slotOf(uuid: Uint8Array): number {
    const mask = this.#slots.length - 1;
    let slot = seededHash(uuid, this.#seed) & mask;
    while (!this.#isAt(slot, uuid)) slot = (slot + 1) & mask;
    return slot;
  }

  #isAt(slot: number, uuid: Uint8Array): boolean {
    const place = this.#slots[slot] as number;
    if (place === 0) return true;
    const at = (place - 1) * UUID_BYTES;
    // From the end, since the UUIDs of one client begin alike.
    for (let i = UUID_BYTES - 1; i >= 0; i--) if (this.#bytes[at + i] !== uuid[i]) return false;
    return true;
  }
}

/**
 * UUIDs of recent updates, to find repetitions. When the younger generation is full, the older one is dropped. Two
 * sets of strings took 0.8 µs more for each update, three times as much.
 */
export class UuidWindow {
  readonly #max: number;
  #young: Generation;
  #old: Generation | undefined;

  /** @param generation UUIDs remembered at least; a power of two */
  constructor(generation = GENERATION) {
    this.#max = generation;
    this.#young = new Generation(generation);
  }

  /** @returns whether it is new */
  add(uuid: Buffer): boolean {
    if (this.#old?.has(uuid) === true) return false;
    if (this.#young.count >= this.#max) {
      if (this.#young.has(uuid)) return false;
      this.#old = this.#young;
      this.#young = new Generation(this.#max);
    }
    return this.#young.add(uuid);
  }

  has(uuid: Buffer): boolean {
    return this.#young.has(uuid) || this.#old?.has(uuid) === true;
  }

  hasConflict(uuid: Buffer): boolean {
    return this.has(conflictMark(uuid));
  }

  remove(uuid: Buffer): void {
    this.#young.remove(uuid);
    this.#old?.remove(uuid);
  }

  /** The last UUIDs, the oldest first. Removed ones are bytes of 255. */
  latest(except: Iterable<Buffer> = []): Buffer {
    const old = this.#old?.bytes ?? EMPTY;
    const all = Buffer.concat([old, this.#young.bytes]);
    for (const uuid of except) {
      this.#old?.remove(uuid, all);
      this.#young.remove(uuid, all.subarray(old.length));
    }
    return all.subarray(-this.#max * UUID_BYTES);
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
