/**
 * A map for untrusted string keys with steady costs under insertion and deletion.
 *
 * V8's Map keeps deleted entries in their bucket until a rebuild, and lookups pass them all. Here deleted keys
 * keep an entry without a value until as many entries are deleted as are left.
 */

/** Deleted entries, and letters of their keys, that may stay. */
const SLACK = 16;
const SLACK_BYTES = 65_536;

export class SteadyMap<V extends object | number | boolean> {
  size = 0;
  length = 0;
  #map = new Map<string, V | undefined>();
  #deletedLength = 0;

  /** With deleted entries. */
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
