/**
 * Which updates were applied lately, by their UUIDs, in 24 bytes each.
 *
 * Two generations take turns, as in common/seen-window.ts: when the younger is
 * full, the older is forgotten whole. So at least half of the bound is remembered.
 */
import { UUID_BYTES } from "./protocol.js";

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

  *uuids(): Generator<Buffer, undefined> {
    for (let index = 0; index < this.count; index++) {
      const uuid = Buffer.allocUnsafe(UUID_BYTES);
      for (let i = 0; i < WORDS; i++) uuid.writeInt32BE(this.#words[index * WORDS + i] as number, i * 4);
      yield uuid;
    }
    return undefined;
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

  /** @returns whether it is new */
  add(uuid: Uint8Array): boolean {
    const a = word(uuid, 0);
    const b = word(uuid, 4);
    const c = word(uuid, 8);
    const d = word(uuid, 12);
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

  /** An update that was refused after all: it may come again. */
  remove(uuid: Uint8Array): void {
    for (const generation of [this.#young, this.#old]) {
      const index = generation.find(word(uuid, 0), word(uuid, 4), word(uuid, 8), word(uuid, 12));
      if (index >= 0) generation.spoil(index);
    }
  }

  /** All of them, the oldest first. */
  *uuids(): Generator<Buffer, undefined> {
    yield* this.#old.uuids();
    yield* this.#young.uuids();
    return undefined;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

function hashOf(a: number, b: number, c: number, d: number): number {
  let hash = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16) ^ d, 0x27d4eb2f);
  return hash ^ (hash >>> 15);
}
