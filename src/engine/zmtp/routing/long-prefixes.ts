/**
 * Finds long prefixes of a topic without making a string for each length: one
 * pass over the topic computes the hash of all its prefixes, and only what has the
 * same hash is compared. So a peer that subscribes to thousands of prefixes of
 * different lengths costs a publication microseconds, not milliseconds. Pure.
 */
import { randomSeed } from "../../../core/random.js";
import type { LengthSet } from "./length-set.js";

/** Prefixes up to this length are looked up as strings, which is faster for few lengths. */
export const SHORT_PREFIX = 64;

/** FNV-1a's factor. */
const FACTOR = 0x0100_0193;
let chosen: number | undefined;

/**
 * FNV-1a with a shift, from a random start. Without the shift the low 8 bits of the state go their own way, and a peer
 * could make prefixes that collide for one start in 256.
 */
function step(hash: number, byte: number): number {
  const product = Math.imul(hash ^ byte, FACTOR);
  return product ^ (product >>> 15);
}

function start(): number {
  chosen ??= randomSeed() | 0;
  return chosen;
}

/** Hashes without entries that may stay whatever is left. */
const SLACK = 16;

interface Entry {
  readonly key: string;
  readonly bytes: Buffer;
}

export class LongPrefixes {
  #byHash = new Map<number, Entry[]>();
  /** Hashes with entries; the others stay for a while, so that what comes and goes makes no holes (steady-map.ts). */
  #used = 0;

  /** @param key one character a byte, longer than SHORT_PREFIX */
  add(key: string): void {
    const bytes = Buffer.from(key, "latin1");
    const hash = hashOf(bytes);
    const entries = this.#byHash.get(hash);
    if (entries === undefined || entries.length === 0) this.#used += 1;
    if (entries === undefined) this.#byHash.set(hash, [{ key, bytes }]);
    else entries.push({ key, bytes });
  }

  remove(key: string): void {
    const hash = hashOf(Buffer.from(key, "latin1"));
    const entries = this.#byHash.get(hash) ?? [];
    const at = entries.findIndex((entry) => entry.key === key);
    if (at < 0) return;
    entries.splice(at, 1);
    if (entries.length > 0) return;
    this.#used -= 1;
    if (this.#byHash.size <= 2 * this.#used + SLACK) return;
    this.#byHash = new Map([...this.#byHash].filter(([, { length }]) => length > 0));
  }

  /**
   * @param lengths those that occur, ascending; looked at from index `from` on
   * @param wanted whether it matters if this one matches: asked before the costly comparison
   */
  match(
    topic: Uint8Array,
    lengths: LengthSet,
    from: number,
    wanted: (key: string) => boolean,
    found: (key: string) => void,
  ): void {
    let hash = start();
    let at = 0;
    for (let i = from; i < lengths.size; i++) {
      const length = lengths.at(i);
      if (length > topic.length) return;
      for (; at < length; at++) hash = step(hash, topic[at] as number);
      const entries = this.#byHash.get(hash);
      if (entries === undefined) continue;
      for (const { key, bytes } of entries) {
        if (bytes.length === length && wanted(key) && bytes.compare(topic, 0, length) === 0) found(key);
      }
    }
  }
}

function hashOf(bytes: Uint8Array): number {
  let hash = start();
  for (let at = 0; at < bytes.length; at++) hash = step(hash, bytes[at] as number);
  return hash;
}
