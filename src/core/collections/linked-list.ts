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
