/**
 * A map of strings to values, for keys that others choose: what comes and goes costs the same however often it does.
 *
 * In V8's Map a deleted entry stays in its bucket until the whole map is rebuilt, half its capacity later. Code that
 * sets and deletes one key, again and again, among a million others, makes each look for it pass hundreds of thousands
 * of dead entries. Here a key that is deleted keeps its entry, without a value, until as much was deleted as is left.
 */

/** Deleted entries, and bytes of their keys, that may stay whatever is left. */
const SLACK = 16;
const SLACK_BYTES = 65_536;

export class SteadyMap<V extends object | number | boolean> {
  /** Entries. */
  size = 0;
  /** Length of their keys together. */
  length = 0;
  #map = new Map<string, V | undefined>();
  #deletedLength = 0;

  /** Entries that there is memory for, deleted ones included. */
  get kept(): number {
    return this.#map.size;
  }

  get(key: string): V | undefined {
    return this.#map.get(key);
  }

  has(key: string): boolean {
    return this.#map.get(key) !== undefined;
  }

  set(key: string, value: V): void {
    const before = this.#map.size;
    if (this.#map.get(key) === undefined) {
      this.size += 1;
      this.length += key.length;
      this.#map.set(key, value);
      if (this.#map.size === before) this.#deletedLength -= key.length;
    } else this.#map.set(key, value);
  }

  /** @returns whether there was one */
  delete(key: string): boolean {
    if (this.#map.get(key) === undefined) return false;
    this.#map.set(key, undefined);
    this.size -= 1;
    this.length -= key.length;
    this.#deletedLength += key.length;
    const tooMany = this.#map.size > 2 * this.size + SLACK;
    if (tooMany || this.#deletedLength > this.length + SLACK_BYTES) this.#clean();
    return true;
  }

  *keys(): Generator<string, void> {
    for (const [key, value] of this.#map) if (value !== undefined) yield key;
  }

  *[Symbol.iterator](): Generator<[string, V], void> {
    for (const [key, value] of this.#map) if (value !== undefined) yield [key, value];
  }

  #clean(): void {
    this.#map = new Map(this);
    this.#deletedLength = 0;
  }
}
