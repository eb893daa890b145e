/**
 * A hash table with byte keys, such as those of updates in flight or of topics.
 *
 *   hash & mask:   0     1     2     3  …
 *   values       [ b  |  -  |  c  |  d ]      d hashes to place 2, which c has: it is in the next free place
 *
 * Deletion moves later entries up, so lookups never pass an empty place. A lookup in a Map makes a string of the key: a
 * last value cache takes 0.8 of the processor time of one with a Map.
 */
import { randomSeed, seededHash } from "../bytes.js";

/** A power of two. */
const LEAST = 16;
/** Larger tables shrink when nearly empty. */
const ROOMY = 256;

export interface Keyed {
  readonly key: Uint8Array;
}

export class KeyTable<T extends Keyed> {
  #values: (T | undefined)[] = new Array<undefined>(LEAST).fill(undefined);
  #hashes = new Int32Array(LEAST);
  #mask = LEAST - 1;
  #size = 0;
  /** Keys may be untrusted: collisions differ in each table. */
  readonly #seed: number;

  /** @param seed for tests */
  constructor(seed = randomSeed()) {
    this.#seed = seed;
  }

  get size(): number {
    return this.#size;
  }

  get(key: Uint8Array): T | undefined {
    return this.#values[this.#find(key, this.#hashOf(key))];
  }

  /** The value whose key is the bytes between two positions. */
  getAt(bytes: Uint8Array, start: number, end: number): T | undefined {
    return this.#values[this.#find(bytes, seededHash(bytes, this.#seed, start, end), start, end)];
  }

  /** Replaces any value with the same key. */
  set(value: T): void {
    const hash = this.#hashOf(value.key);
    let at = this.#find(value.key, hash);
    if (this.#values[at] === undefined) {
      if ((this.#size + 1) * 2 > this.#values.length) {
        this.#resize(this.#values.length * 2);
        at = this.#find(value.key, hash);
      }
      this.#size += 1;
    }
    this.#values[at] = value;
    this.#hashes[at] = hash;
  }

  /** @returns whether the key was present */
  delete(key: Uint8Array): boolean {
    let free = this.#find(key, this.#hashOf(key));
    if (this.#values[free] === undefined) return false;
    this.#size -= 1;
    const mask = this.#mask;
    for (let at = (free + 1) & mask; this.#values[at] !== undefined; at = (at + 1) & mask) {
      const wanted = (this.#hashes[at] as number) & mask;
      // An entry may not move before its hash's place.
      if (((at - wanted) & mask) < ((at - free) & mask)) continue;
      this.#values[free] = this.#values[at];
      this.#hashes[free] = this.#hashes[at] as number;
      free = at;
    }
    this.#values[free] = undefined;
    const places = this.#values.length;
    if (places > ROOMY && this.#size * 16 < places) this.#resize(places / 2);
    return true;
  }

  clear(): void {
    this.#values.fill(undefined);
    this.#size = 0;
  }

  /** The key's place, or the free one for it. */
  #find(bytes: Uint8Array, hash: number, start = 0, end = bytes.length): number {
    const mask = this.#mask;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const value = this.#values[at];
      if (value === undefined || (this.#hashes[at] === hash && isKey(value.key, bytes, start, end)))
        return at;
    }
  }

  #hashOf(key: Uint8Array): number {
    return seededHash(key, this.#seed);
  }

  #resize(places: number): void {
    const values = this.#values;
    const hashes = this.#hashes;
    this.#values = new Array<undefined>(places).fill(undefined);
    this.#hashes = new Int32Array(places);
    this.#mask = places - 1;
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (value === undefined) continue;
      const hash = hashes[i] as number;
      const at = this.#find(value.key, hash);
      this.#values[at] = value;
      this.#hashes[at] = hash;
    }
    // Old arrays must not keep values alive.
    values.fill(undefined);
  }
}

function isKey(key: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (key.length !== end - start) return false;
  for (let i = 0; i < key.length; i++) if (key[i] !== bytes[start + i]) return false;
  return true;
}
