/**
 * Finds the values of topics that came before by the topics' bytes, without making
 * a string of them: a table of one value a place, the one that came last. What is not
 * found here is looked up by its key. Measured with 1,000 topics of 12 bytes, a string
 * and its look-up took more time than all else that an update does.
 */
import { fnv1a } from "../../core/hash.js";
import type { CachedValue } from "./cached-value.js";

/** Places, a power of two. */
const PLACES = 16_384;
/** Bytes of a topic; of longer ones the string is cheaper. */
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

  /** The value is forgotten: nothing of it is to be found, or held. */
  remove(value: CachedValue): void {
    const { topic } = value;
    if (topic.length > MAX_BYTES) return;
    const place = placeOf(topic, 0, topic.length);
    if (this.#places[place] === value) this.#places[place] = undefined;
  }
}

/** Whether a value's topic is the bytes between two positions. */
function isTopic({ topic }: CachedValue, bytes: Uint8Array, start: number, end: number): boolean {
  if (topic.length !== end - start) return false;
  // The ends of topics differ more than their beginnings.
  for (let i = topic.length - 1; i >= 0; i--) if (topic[i] !== bytes[start + i]) return false;
  return true;
}

/** FNV-1a, folded. */
function placeOf(bytes: Uint8Array, start: number, end: number): number {
  const hash = fnv1a(bytes, start, end);
  return (hash ^ (hash >>> 15)) & (PLACES - 1);
}
