/**
 * Values by numbers that are given out one after the other, and mostly go in about
 * that order: request ids, tags of deliveries.
 *
 *   number & mask:   0     1     2     3  …
 *   ring           [ 96 |   - |  98 |  99 ]      others  { 34 }  its place is taken
 *
 * A ring of places by the lowest bits. Two numbers of one place are as far apart as
 * the ring is long: it grows while it is well filled, and else the later one, of a
 * straggler or of a peer that counts as it likes, is in a Map.
 *
 * Not a Map alone: V8 gives one a new table each time that deletions have used the
 * old one up, and the old one points to the new one and to all that it held. As soon
 * as one of them is in the old generation, all that follow stay until the next full
 * collection: that was half of a broker's time.
 */

/** Places of a ring at first, and where shrinking ends: a power of two. */
const LEAST = 16;
/** A ring of more places shrinks when it is nearly empty. */
const ROOMY = 256;
/** One of no more places shrinks when it has been nearly empty for as many deletions as it has places: what comes in bursts needs them again. */
const BURST = 2_048;
/** Places for each value, at most, when the ring grows. */
const SPREAD = 4;

const NONE = -1;

export class NumberTable<T> {
  #keys = new Float64Array(LEAST).fill(NONE);
  #values: (T | undefined)[] = new Array(LEAST).fill(undefined);
  #mask = LEAST - 1;
  #inRing = 0;
  /** Deletions in a row after which it was nearly empty. */
  #spare = 0;
  #others: Map<number, T> | undefined = undefined;

  get size(): number {
    return this.#inRing + (this.#others === undefined ? 0 : this.#others.size);
  }

  /** @param key a whole number from 0 on */
  get(key: number): T | undefined {
    const at = key & this.#mask;
    return this.#keys[at] === key ? this.#values[at] : this.#others?.get(key);
  }

  has(key: number): boolean {
    return this.#keys[key & this.#mask] === key || this.#others?.has(key) === true;
  }

  set(key: number, value: T): void {
    if (this.#others?.has(key) === true) {
      this.#others.set(key, value);
      return;
    }
    let at = key & this.#mask;
    while (this.#keys[at] !== key && this.#keys[at] !== NONE) {
      if ((this.size + 1) * SPREAD <= this.#values.length) {
        this.#others ??= new Map();
        this.#others.set(key, value);
        return;
      }
      this.#resize(this.#values.length * 2);
      at = key & this.#mask;
    }
    if (this.#keys[at] === NONE) this.#inRing += 1;
    this.#keys[at] = key;
    this.#values[at] = value;
  }

  delete(key: number): boolean {
    const at = key & this.#mask;
    if (this.#keys[at] !== key) {
      if (this.#others?.delete(key) !== true) return false;
      if (this.#others.size === 0) this.#others = undefined;
      return true;
    }
    this.#keys[at] = NONE;
    this.#values[at] = undefined;
    this.#inRing -= 1;
    const places = this.#values.length;
    // By all that it has, as it grows: a peer that counts as it likes would let a ring with little in it grow and shrink by turns.
    if (places <= ROOMY || this.size * 4 * SPREAD >= places) this.#spare = 0;
    else if (places > BURST || ++this.#spare >= places) this.#resize(places / 2);
    return true;
  }

  /** Gives back what a burst has left: nobody expects another one. */
  trim(): void {
    let places = this.#values.length;
    while (places > ROOMY && this.size * 4 * SPREAD < places) places /= 2;
    if (places < this.#values.length) this.#resize(places);
  }

  /** All values at this moment, in no order. */
  values(): T[] {
    const values: T[] = [];
    for (let at = 0; at <= this.#mask; at++) {
      if (this.#keys[at] !== NONE) values.push(this.#values[at] as T);
    }
    // One by one: as arguments of one call, some hundred thousand overflow the stack.
    if (this.#others !== undefined) for (const value of this.#others.values()) values.push(value);
    return values;
  }

  /** How many places and values `between` looks at. */
  costOfBetween(first: number, end: number): number {
    return Math.min(Math.max(0, end - first), this.#mask + 1) + (this.#others?.size ?? 0);
  }

  /** The values from `first` up to and without `end`, at this moment. Costs no more than the table is long. */
  between(first: number, end: number): T[] {
    const values: T[] = [];
    const places = Math.min(end - first, this.#mask + 1);
    // By places, not by numbers: past 2 ** 53 a number plus 1 is the same number.
    for (let i = 0, at = first & this.#mask; i < places; i++, at = (at + 1) & this.#mask) {
      const key = this.#keys[at] as number;
      if (key !== NONE && key >= first && key < end) values.push(this.#values[at] as T);
    }
    for (const [key, value] of this.#others ?? []) if (key >= first && key < end) values.push(value);
    return values;
  }

  clear(): void {
    this.#keys.fill(NONE);
    this.#values.fill(undefined);
    this.#inRing = 0;
    this.#others = undefined;
  }

  #resize(places: number): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Float64Array(places).fill(NONE);
    this.#values = new Array(places).fill(undefined);
    this.#mask = places - 1;
    this.#inRing = 0;
    this.#spare = 0;
    for (let at = 0; at < keys.length; at++) {
      const key = keys[at] as number;
      if (key === NONE) continue;
      const place = key & this.#mask;
      if (this.#keys[place] !== NONE) {
        this.#others ??= new Map();
        this.#others.set(key, values[at] as T);
        continue;
      }
      this.#keys[place] = key;
      this.#values[place] = values[at];
      this.#inRing += 1;
    }
    // What is left behind points to nothing, or it would do what a Map's does.
    values.fill(undefined);
  }
}
