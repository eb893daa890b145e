/** Queues: a ring buffer, a linked list with O(1) removal, and a binary heap. */

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

/** A doubly linked list with O(1) removal. A value's reusable link is in at most one list at a time. */
export class Link<T> {
  readonly value: T;
  list: LinkedList<T> | undefined = undefined;
  previous: Link<T> | undefined = undefined;
  next: Link<T> | undefined = undefined;

  constructor(value: T) {
    this.value = value;
  }

  get linked(): boolean {
    return this.list !== undefined;
  }

  unlink(): void {
    this.list?.remove(this);
  }
}

export class LinkedList<T> {
  #head: Link<T> | undefined;
  #tail: Link<T> | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get first(): T | undefined {
    return this.#head?.value;
  }

  /** The link first leaves its current list. */
  push(link: Link<T>): void {
    link.list?.remove(link);
    link.list = this;
    link.previous = this.#tail;
    if (this.#tail === undefined) this.#head = link;
    else this.#tail.next = link;
    this.#tail = link;
    this.#length += 1;
  }

  unshift(link: Link<T>): void {
    link.list?.remove(link);
    link.list = this;
    link.next = this.#head;
    if (this.#head === undefined) this.#tail = link;
    else this.#head.previous = link;
    this.#head = link;
    this.#length += 1;
  }

  shift(): T | undefined {
    const head = this.#head;
    if (head === undefined) return undefined;
    this.remove(head);
    return head.value;
  }

  remove(link: Link<T>): void {
    if (link.list !== this) return;
    if (link.previous === undefined) this.#head = link.next;
    else link.previous.next = link.next;
    if (link.next === undefined) this.#tail = link.previous;
    else link.next.previous = link.previous;
    link.previous = undefined;
    link.next = undefined;
    link.list = undefined;
    this.#length -= 1;
  }

  /** The current member may leave. */
  *[Symbol.iterator](): Generator<T, undefined> {
    for (let link = this.#head; link !== undefined; ) {
      const { next } = link;
      yield link.value;
      link = next;
    }
    return undefined;
  }
}

/** A binary heap. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** @param before a strict order */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  get first(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(item, items[parent] as T)) break;
      items[at] = items[parent] as T;
      at = parent;
    }
    items[at] = item;
  }

  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop() as T;
    if (items.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1] as T, items[child] as T)) child += 1;
      if (!this.#before(items[child] as T, last)) break;
      items[at] = items[child] as T;
      at = child;
    }
    items[at] = last;
    return first;
  }

  clear(): void {
    this.#items.length = 0;
  }
}
