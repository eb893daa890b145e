/**
 * Memory for very many small pieces of bytes, without an object for each.
 *
 *   slab 0          slab 1          …      1 MiB each
 *   |piece|piece|…  |piece|free|…
 *
 * Pieces are whole units of 16 bytes, of one of a few sizes; one that is given back
 * is used again for the next of its size. So nothing is ever moved.
 */
const SLAB_BYTES = 1_048_576;
/** The first slab begins so small, and grows: a small map takes little. */
const FIRST_BYTES = 4_096;
const UNIT = 16;
const UNITS_PER_SLAB = SLAB_BYTES / UNIT;
/** Units up to which there is a size for each number; above, eight sizes to a power of two. */
const EXACT = 64;
const STEPS = 8;

/** Bytes of the largest piece; what is larger has memory of its own elsewhere. */
export const MAX_PIECE = 65_536;

export class Arena {
  readonly #slabs: Buffer[] = [];
  /** Pieces to be used again, by size in units. */
  readonly #free = new Map<number, number[]>();
  #next = 0;
  #end = 0;

  /** Bytes of its slabs. */
  get bytes(): number {
    const [first] = this.#slabs;
    return first === undefined ? 0 : first.length + (this.#slabs.length - 1) * SLAB_BYTES;
  }

  /** Units that a piece of so many bytes takes. */
  static units(bytes: number): number {
    const units = Math.max(1, (bytes + UNIT - 1) >>> 4);
    if (units <= EXACT) return units;
    const step = 2 ** (31 - Math.clz32(units)) / STEPS;
    return Math.ceil(units / step) * step;
  }

  /** @param units as {@link units} says. @returns the piece's address */
  allocate(units: number): number {
    const free = this.#free.get(units);
    const used = free?.pop();
    if (used !== undefined) return used;
    while (this.#next + units > this.#end && this.#end > 0 && this.#end < UNITS_PER_SLAB) this.#growFirst();
    if (this.#next + units > this.#end) {
      if (this.#slabs.length === 0) {
        this.#slabs.push(Buffer.allocUnsafeSlow(FIRST_BYTES));
        this.#end = FIRST_BYTES / UNIT;
        return this.allocate(units);
      }
      this.#next = this.#slabs.length * UNITS_PER_SLAB;
      this.#end = this.#next + UNITS_PER_SLAB;
      this.#slabs.push(Buffer.allocUnsafeSlow(SLAB_BYTES));
    }
    const address = this.#next;
    this.#next += units;
    return address;
  }

  release(address: number, units: number): void {
    const free = this.#free.get(units);
    if (free === undefined) this.#free.set(units, [address]);
    else free.push(address);
  }

  /** Everything is free, and the slabs are given back. */
  clear(): void {
    this.#slabs.length = 0;
    this.#free.clear();
    this.#next = 0;
    this.#end = 0;
  }

  #growFirst(): void {
    const old = this.#slabs[0] as Buffer;
    const first = Buffer.allocUnsafeSlow(Math.min(old.length * 4, SLAB_BYTES));
    first.set(old);
    this.#slabs[0] = first;
    this.#end = first.length / UNIT;
  }

  slab(address: number): Buffer {
    return this.#slabs[(address / UNITS_PER_SLAB) | 0] as Buffer;
  }

  /** Where a piece begins in its slab. */
  static offset(address: number): number {
    return (address % UNITS_PER_SLAB) * UNIT;
  }
}
