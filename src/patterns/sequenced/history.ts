/** The newest messages of one topic, in an unbroken row of sequence numbers. Pure. */

/** Places before the first that are cleared together. */
const SLACK = 64;

export class History<T> {
  #items: T[] = [];
  #start = 0;
  /** The sequence of the next message. */
  #next = 1;

  get length(): number {
    return this.#items.length - this.#start;
  }

  /** The newest sequence; 0: none was pushed. */
  get newest(): number {
    return this.#next - 1;
  }

  /** The oldest sequence that is kept; 0: none is. */
  get oldest(): number {
    return this.length === 0 ? 0 : this.#next - this.length;
  }

  /** @returns the sequence of the message */
  push(item: T): number {
    this.#items.push(item);
    this.#next += 1;
    return this.#next - 1;
  }

  /** Forgets the oldest. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#start];
    (this.#items as (T | undefined)[])[this.#start] = undefined;
    this.#start += 1;
    if (this.#start > SLACK && 2 * this.#start > this.#items.length) {
      this.#items = this.#items.slice(this.#start);
      this.#start = 0;
    }
    return item;
  }

  at(sequence: number): T | undefined {
    const index = sequence - this.oldest;
    return this.length === 0 || index < 0 ? undefined : this.#items[this.#start + index];
  }
}
