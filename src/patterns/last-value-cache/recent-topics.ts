/**
 * Finds recent topics' values by their bytes, one per slot, without making strings. With 1,000 topics of 12 bytes, the
 * string and its lookup took more time than the rest of an update.
 */
import { fnv1a } from "../../core/hash.js";
import type { CachedValue } from "./cached-value.js";

/** Slots, a power of two. */
const PLACES = 16_384;
/** For longer topics a string is cheaper. */
const MAX_BYTES = 64;

export class RecentTopics {
  readonly #places: (CachedValue | undefined)[] = new Array(PLACES).fill(undefined);

  find(bytes: Uint8Array, start: number, end: number): CachedValue | undefined {
    const length = end - start;
    if (length > MAX_BYTES) return undefined;
    const value = this.#places[placeOf(bytes, start, end)];
    return value !== undefined && isTopic(value, bytes, start, end) ? value : undefined;
  }

  add(value: CachedValue): void {
    const { topic } = value;
    if (topic.length <= MAX_BYTES) this.#places[placeOf(topic, 0, topic.length)] = value;
  }

  remove(value: CachedValue): void {
    const { topic } = value;
    if (topic.length > MAX_BYTES) return;
    const place = placeOf(topic, 0, topic.length);
    if (this.#places[place] === value) this.#places[place] = undefined;
  }
}

function isTopic({ topic }: CachedValue, bytes: Uint8Array, start: number, end: number): boolean {
  if (topic.length !== end - start) return false;
  // Topics differ more at their ends.
  for (let i = topic.length - 1; i >= 0; i--) if (topic[i] !== bytes[start + i]) return false;
  return true;
}

/** Folded FNV-1a. */
function placeOf(bytes: Uint8Array, start: number, end: number): number {
  const hash = fnv1a(bytes, start, end);
  return (hash ^ (hash >>> 15)) & (PLACES - 1);
}
