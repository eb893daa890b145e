/**
 * Remembers the newest of what was seen, within a bound of entries and of bytes.
 *
 * Two maps take turns: what is new goes into the younger; when that holds half of
 * the bound, the older is forgotten whole. So forgetting costs nothing per entry,
 * and at least half of the bound is always remembered.
 */
export class SeenWindow<V> {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #youngBytes = 0;
  #oldBytes = 0;

  /**
   * @param maxEntries entries remembered at most; 0: none at all
   * @param maxBytes bytes at most, as they are given to `grow`
   */
  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  get(key: string): V | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }

  set(key: string, value: V): void {
    if (this.#maxEntries === 0) return;
    if (2 * this.#young.size >= this.#maxEntries) this.#turn();
    this.#young.set(key, value);
  }

  delete(key: string): void {
    if (!this.#young.delete(key)) this.#old.delete(key);
  }

  /** Something remembered has become larger. @returns whether there is room for so much at all */
  grow(bytes: number): boolean {
    if (2 * bytes > this.#maxBytes) return false;
    if (2 * (this.#youngBytes + bytes) > this.#maxBytes) this.#turn();
    this.#youngBytes += bytes;
    return true;
  }

  #turn(): void {
    this.#old = this.#young;
    this.#oldBytes = this.#youngBytes;
    this.#young = new Map();
    this.#youngBytes = 0;
  }
}
