/**
 * Finds long prefixes of a topic without making a string for each length: one
 * pass over the topic computes the hash of all its prefixes, and only what has the
 * same hash is compared. So a peer that subscribes to thousands of prefixes of
 * different lengths costs a publication microseconds, not milliseconds. Pure.
 */
import { randomSeed } from "../../../core/random.js";

/** Prefixes up to this length are looked up as strings, which is faster for few lengths. */
export const SHORT_PREFIX = 64;

/** FNV-1a's factor; the start is random, so that no peer can choose prefixes that collide. */
const FACTOR = 0x0100_0193;
let chosen: number | undefined;

function start(): number {
  chosen ??= randomSeed() | 0;
  return chosen;
}

interface Entry {
  readonly key: string;
  readonly bytes: Buffer;
}

export class LongPrefixes {
  readonly #byHash = new Map<number, Entry[]>();

  /** @param key one character a byte, longer than SHORT_PREFIX */
  add(key: string): void {
    const bytes = Buffer.from(key, "latin1");
    const hash = hashOf(bytes);
    const entries = this.#byHash.get(hash);
    if (entries === undefined) this.#byHash.set(hash, [{ key, bytes }]);
    else entries.push({ key, bytes });
  }

  remove(key: string): void {
    const hash = hashOf(Buffer.from(key, "latin1"));
    const left = this.#byHash.get(hash)?.filter((entry) => entry.key !== key) ?? [];
    if (left.length === 0) this.#byHash.delete(hash);
    else this.#byHash.set(hash, left);
  }

  /**
   * @param lengths those that occur, ascending; looked at from index `from` on
   * @param wanted whether it matters if this one matches: asked before the costly comparison
   */
  match(
    topic: Uint8Array,
    lengths: readonly number[],
    from: number,
    wanted: (key: string) => boolean,
    found: (key: string) => void,
  ): void {
    let hash = start();
    let at = 0;
    for (let i = from; i < lengths.length; i++) {
      const length = lengths[i] as number;
      if (length > topic.length) return;
      for (; at < length; at++) hash = Math.imul(hash ^ (topic[at] as number), FACTOR);
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
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ (bytes[at] as number), FACTOR);
  return hash;
}
