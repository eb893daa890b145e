/** The map of a server: its keys, when they end, and which updates it has had. */

import { readUint32 } from "../../core/big-endian.js";
import { type LoadedMap, uuidsOf } from "./loading.js";
import type { Operation } from "./operation.js";
import { encodeUnchanged, SubtreeSequences } from "./properties.js";

import { sequenceFrame, UUID_BYTES } from "./protocol.js";
import type { CloneStoredEntry, CloneStoredState } from "./store.js";
import { CloneTable } from "./table.js";

export class ServerMap {
  readonly subtrees = new SubtreeSequences();
  #table = new CloneTable();
  #expiry = new Expiry(this.#table);
  #window = new UuidWindow();
  /** Of the last update that was applied. */
  #applied = 0;
  #updates = 0;

  get table(): CloneTable {
    return this.#table;
  }

  get expiry(): Expiry {
    return this.#expiry;
  }

  /** Updates that were applied lately, or are on their way. */
  get window(): UuidWindow {
    return this.#window;
  }

  get sequence(): number {
    return this.#applied;
  }

  /** The sequence of the update that set a key; 0: it is not there. */
  revision(key: Buffer): number {
    const id = this.#table.find(key);
    return id < 0 ? 0 : this.#table.sequence(id);
  }

  /** Of clients, that were applied. */
  get updates(): number {
    return this.#updates;
  }

  /** An entry of the store. @param expires in the rules' time; 0: never */
  restore(entry: CloneStoredEntry, expires: number): void {
    const id = this.#table.put(entry.key, entry.value, entry.sequence);
    this.#expiry.set(id, expires);
  }

  /** All of the store was read. */
  restored({ sequence, uuids }: CloneStoredState): void {
    this.#applied = sequence;
    for (const uuid of uuids) this.#window.add(uuid);
  }

  /** The map is the other server's from now on, but for what came after it. */
  adopt(loaded: LoadedMap): void {
    this.#table = loaded.table;
    this.#expiry = new Expiry(this.#table);
    for (const [id, time] of loaded.expires) this.#expiry.set(id, time);
    this.#window = new UuidWindow();
    for (const uuid of uuidsOf(loaded.seen)) this.#window.add(uuid);
    this.#applied = loaded.sequence;
    this.subtrees.restart(loaded.sequence);
  }

  /**
   * An update takes effect.
   *
   * @param beforeChange called for a key that is there and about to change; may be left out
   * @returns the KVPUB of it
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

/** Old deadlines that may stay in addition to as many others. */
const SLACK = 1_024;

interface Deadline {
  readonly time: number;
  readonly id: number;
  /** Of the update that set it: another one means that the deadline is old. */
  readonly sequence: number;
}

/**
 * When ephemeral keys end: a heap by time. A key that was set again has another
 * deadline, and its old one is skipped when it comes up, or when the old ones are
 * more than the others.
 */
export class Expiry {
  readonly #table: CloneTable;
  #heap: Deadline[] = [];
  /** The deadline of each ephemeral key, by id. */
  readonly #times = new Map<number, Deadline>();

  constructor(table: CloneTable) {
    this.#table = table;
  }

  /** Ephemeral keys. */
  get size(): number {
    return this.#times.size;
  }

  /** A key was set. @param time when it ends; 0: never */
  set(id: number, time: number): void {
    if (time === 0) {
      if (this.#times.size > 0) this.#times.delete(id);
      return;
    }
    const deadline = { time, id, sequence: this.#table.sequence(id) };
    this.#times.set(id, deadline);
    this.#push(deadline);
    if (this.#heap.length > 2 * this.#times.size + SLACK) this.#rebuild();
  }

  /** A key is gone. */
  remove(id: number): void {
    if (this.#times.size > 0) this.#times.delete(id);
  }

  /** When a key ends; 0: never. */
  timeOf(id: number): number {
    return this.#times.get(id)?.time ?? 0;
  }

  next(): number | undefined {
    this.#skipOld();
    return this.#heap[0]?.time;
  }

  /** The keys that are due, at most `max`. Each is returned once and then forgotten; {@link set} has it returned again. */
  due(now: number, max: number): number[] {
    const ids: number[] = [];
    for (;;) {
      this.#skipOld();
      const first = this.#heap[0];
      if (first === undefined || first.time > now || ids.length >= max) return ids;
      this.#pop();
      this.#times.delete(first.id);
      ids.push(first.id);
    }
  }

  clear(): void {
    this.#heap = [];
    this.#times.clear();
  }

  #skipOld(): void {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#times.get(first.id) === first) return;
      this.#pop();
    }
  }

  #rebuild(): void {
    this.#heap = [];
    for (const deadline of this.#times.values()) this.#push(deadline);
  }

  #push(deadline: Deadline): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(deadline);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as Deadline).time <= deadline.time) break;
      heap[at] = heap[parent] as Deadline;
      at = parent;
    }
    heap[at] = deadline;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Deadline;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Deadline).time < (heap[child] as Deadline).time)
        child += 1;
      if ((heap[child] as Deadline).time >= last.time) break;
      heap[at] = heap[child] as Deadline;
      at = child;
    }
    heap[at] = last;
  }
}

/** Updates of one generation; there are two. 6 MiB each, taken as they are needed. */
const GENERATION = 262_144;
const FIRST_CAPACITY = 1_024;
const WORDS = UUID_BYTES / 4;

class Generation {
  #words: Int32Array;
  #slots: Int32Array;
  count = 0;

  constructor(capacity: number) {
    this.#words = new Int32Array(capacity * WORDS);
    this.#slots = new Int32Array(capacity * 2);
  }

  get full(): boolean {
    return this.count * WORDS === this.#words.length;
  }

  grow(): void {
    const old = this.#words;
    this.#words = new Int32Array(old.length * 2);
    this.#words.set(old);
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let index = 0; index < this.count; index++) this.#link(index);
  }

  find(a: number, b: number, c: number, d: number): number {
    const words = this.#words;
    const mask = this.#slots.length - 1;
    for (let slot = hashOf(a, b, c, d) & mask; ; slot = (slot + 1) & mask) {
      const index = (this.#slots[slot] as number) - 1;
      if (index < 0) return -1;
      const at = index * WORDS;
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return index;
    }
  }

  add(a: number, b: number, c: number, d: number): void {
    const at = this.count * WORDS;
    this.#words[at] = a;
    this.#words[at + 1] = b;
    this.#words[at + 2] = c;
    this.#words[at + 3] = d;
    this.#link(this.count);
    this.count += 1;
  }

  /** It stays in its place, as one that nobody asks for. */
  spoil(index: number): void {
    this.#words.fill(-1, index * WORDS, (index + 1) * WORDS);
  }

  /** Writes the UUIDs from one on. @returns how many found room */
  write(index: number, into: Buffer, at: number): number {
    const count = Math.min(this.count - index, Math.floor((into.length - at) / UUID_BYTES));
    const [first, words] = [index * WORDS, this.#words];
    for (let i = 0; i < count * WORDS; i++) into.writeInt32BE(words[first + i] as number, at + i * 4);
    return count;
  }

  #link(index: number): void {
    const words = this.#words;
    const at = index * WORDS;
    const mask = this.#slots.length - 1;
    let slot =
      hashOf(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number) &
      mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = index + 1;
  }
}

/**
 * Which updates were applied lately, by their UUIDs, in 24 bytes each. Two generations: when the younger is full, the
 * older is forgotten whole, so at least half of the bound is remembered.
 */
export class UuidWindow {
  readonly #max: number;
  #young = new Generation(FIRST_CAPACITY);
  #old = new Generation(FIRST_CAPACITY);

  /** @param generation updates remembered at least, twice as many at most; a power of two from 1,024 */
  constructor(generation = GENERATION) {
    this.#max = generation;
  }

  get size(): number {
    return this.#young.count + this.#old.count;
  }

  /** @param at where the UUID begins. @returns whether it is new */
  add(uuid: Uint8Array, at = 0): boolean {
    const a = word(uuid, at);
    const b = word(uuid, at + 4);
    const c = word(uuid, at + 8);
    const d = word(uuid, at + 12);
    if (this.#young.find(a, b, c, d) >= 0 || this.#old.find(a, b, c, d) >= 0) return false;
    if (this.#young.count >= this.#max) {
      this.#old = this.#young;
      this.#young = new Generation(FIRST_CAPACITY);
    } else if (this.#young.full) this.#young.grow();
    this.#young.add(a, b, c, d);
    return true;
  }

  has(uuid: Uint8Array): boolean {
    const a = word(uuid, 0);
    const b = word(uuid, 4);
    const c = word(uuid, 8);
    const d = word(uuid, 12);
    return this.#young.find(a, b, c, d) >= 0 || this.#old.find(a, b, c, d) >= 0;
  }

  /** Whether an update was refused by its condition. */
  hasConflict(uuid: Uint8Array): boolean {
    return this.has(conflictMark(uuid));
  }

  /** An update that was refused after all: it may come again. */
  remove(uuid: Uint8Array): void {
    for (const generation of [this.#young, this.#old]) {
      const index = generation.find(word(uuid, 0), word(uuid, 4), word(uuid, 8), word(uuid, 12));
      if (index >= 0) generation.spoil(index);
    }
  }

  /**
   * The last of them, a generation at most, the oldest first: as many as are remembered in any case. 262,144 of them as Buffers kept a
   * server that another one joined busy for longer than its heartbeats may be late.
   */
  latest(): Buffer {
    const count = Math.min(this.size, this.#max);
    const buffer = Buffer.allocUnsafe(count * UUID_BYTES);
    for (let index = this.size - count, at = 0; index < this.size; ) {
      const old = this.#old.count;
      const written =
        index < old ? this.#old.write(index, buffer, at) : this.#young.write(index - old, buffer, at);
      index += written;
      at += written * UUID_BYTES;
    }
    return buffer;
  }
}

/** A UUID as the key of a map. */
export function nameOf(uuid: Buffer): string {
  return uuid.toString("latin1");
}

/**
 * What is remembered of an update that its condition refused, in place of its UUID: the UUID with the first half inverted.
 * It must be refused again when it comes again, even when its condition would hold by then.
 */
export function conflictMark(uuid: Uint8Array): Buffer {
  const mark = Buffer.from(uuid);
  for (let at = 0; at < UUID_BYTES / 2; at++) mark[at] = ~(mark[at] as number);
  return mark;
}

function word(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) | 0;
}

function hashOf(a: number, b: number, c: number, d: number): number {
  let hash = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16) ^ d, 0x27d4eb2f);
  return hash ^ (hash >>> 15);
}
