/**
 * A growable FIFO queue: `Array.prototype.shift()` moves every element of a long array
 * (bench/micro/ring-buffer.js).
 */
export class RingBuffer<T> {
  #items: (T | undefined)[];
  #mask: number;
  #head = 0;
  #length = 0;

  constructor(capacity = 16) {
    let size = 2;
    while (size < capacity) size *= 2;
    this.#items = new Array<T | undefined>(size);
    this.#mask = size - 1;
  }

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length > this.#mask) this.#grow();
    this.#items[(this.#head + this.#length) & this.#mask] = item;
    this.#length += 1;
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const index = this.#head;
    const item = this.#items[index];
    this.#items[index] = undefined;
    this.#head = (index + 1) & this.#mask;
    this.#length -= 1;
    return item;
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#items[this.#head];
  }

  /** The item at a position from the head. */
  at(index: number): T {
    return this.#items[(this.#head + index) & this.#mask] as T;
  }

  /** The order stays. */
  retain(keep: (item: T) => boolean): void {
    for (let i = this.#length; i > 0; i--) {
      const item = this.shift() as T;
      if (keep(item)) this.push(item);
    }
  }

  /** Also releases extra memory. */
  clear(): void {
    if (this.#length === 0 && this.#mask < 16) return;
    this.#items = new Array<T | undefined>(16);
    this.#mask = 15;
    this.#head = 0;
    this.#length = 0;
  }

  #grow(): void {
    const old = this.#items;
    const size = old.length * 2;
    const items = new Array<T | undefined>(size);
    for (let i = 0; i < this.#length; i++) items[i] = old[(this.#head + i) & this.#mask];
    this.#items = items;
    this.#mask = size - 1;
    this.#head = 0;
  }
}
