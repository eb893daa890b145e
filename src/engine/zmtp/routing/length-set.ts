/** The lengths that occur among a collection of prefixes, ascending: a topic is looked up once for each. Pure. */

/** Lengths that there is room for at first. */
const FIRST_ROOM = 8;

export class LengthSet {
  /** How many different lengths there are. */
  size = 0;
  #sorted = new Uint32Array(FIRST_ROOM);
  /** How many prefixes have each of them. */
  #counts = new Uint32Array(FIRST_ROOM);

  /** The `index`-th shortest. */
  at(index: number): number {
    return this.#sorted[index] as number;
  }

  has(length: number): boolean {
    const at = this.#find(length);
    return at < this.size && this.at(at) === length;
  }

  add(length: number): void {
    const at = this.#find(length);
    if (at < this.size && this.at(at) === length) {
      this.#counts[at] = (this.#counts[at] as number) + 1;
      return;
    }
    if (this.size === this.#sorted.length) {
      this.#sorted = grown(this.#sorted);
      this.#counts = grown(this.#counts);
    }
    // Put in its place: a peer decides how often lengths come and go, so none may cost a sort.
    this.#sorted.copyWithin(at + 1, at, this.size);
    this.#counts.copyWithin(at + 1, at, this.size);
    this.#sorted[at] = length;
    this.#counts[at] = 1;
    this.size += 1;
  }

  remove(length: number): void {
    const at = this.#find(length);
    if (at >= this.size || this.at(at) !== length) return;
    const count = (this.#counts[at] as number) - 1;
    this.#counts[at] = count;
    if (count > 0) return;
    this.#sorted.copyWithin(at, at + 1, this.size);
    this.#counts.copyWithin(at, at + 1, this.size);
    this.size -= 1;
  }

  /** The index of the first that is not shorter. */
  #find(length: number): number {
    let from = 0;
    let to = this.size;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.at(middle) < length) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

function grown(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * array.length);
  larger.set(array);
  return larger;
}
