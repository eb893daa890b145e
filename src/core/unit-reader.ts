/**
 * Cuts a stream's chunks into units, each of which begins with a head that has its size. A unit within a chunk is a view
 * of it; another one is gathered in memory of its own, which grows with what came, not with the size that was claimed.
 */

const NOTHING: Buffer = Buffer.alloc(0);

export class UnitReader {
  /** Bytes of a head, and most bytes of a unit. */
  head: number;
  most: number;
  /** Size of a unit that is too large, which ends the reading; 0: none. */
  excess = 0;
  readonly #sizeOf: (bytes: Buffer, at: number) => number;
  readonly #atOnce: number;
  #chunk: Buffer = NOTHING;
  /** Bytes of the chunk that are read. */
  #at = 0;
  /** Of a unit that comes in pieces. */
  #memory: Buffer = NOTHING;
  #filled = 0;
  /** 0: the head has not come. */
  #size = 0;

  /**
   * @param sizeOf bytes of a unit, with its head, which begins at `at`
   * @param atOnce memory that a claim may take
   */
  constructor(head: number, most: number, sizeOf: (bytes: Buffer, at: number) => number, atOnce = 65_536) {
    this.head = head;
    this.most = most;
    this.#sizeOf = sizeOf;
    this.#atOnce = atOnce;
  }

  /** Bytes that wait for the rest of their unit. */
  get length(): number {
    return this.#filled + this.#chunk.length - this.#at;
  }

  /** Memory for a direct read of bytes that are missing, which `fill` then counts; empty: none. */
  get target(): Buffer {
    return this.#size > 0 && this.#chunk.length === 0 ? this.#memory.subarray(this.#filled) : NOTHING;
  }

  fill(length: number): void {
    this.#filled += length;
  }

  /** @param chunk must not change */
  push(chunk: Buffer): void {
    this.#chunk = this.#chunk.length === 0 ? chunk : Buffer.concat([this.#chunk.subarray(this.#at), chunk]);
    this.#at = 0;
  }

  /** @returns the next whole unit, with its head */
  next(): Buffer | undefined {
    if (this.#size === 0) {
      const isThere = this.#has(this.head);
      if (!isThere && !this.#gather(this.head)) return undefined;
      const size = isThere ? this.#sizeOf(this.#chunk, this.#at) : this.#sizeOf(this.#memory, 0);
      if (size > this.most) {
        this.excess = size;
        return undefined;
      }
      this.#size = size;
    }
    let unit: Buffer;
    if (this.#has(this.#size)) {
      unit = this.#chunk.subarray(this.#at, this.#at + this.#size);
      this.#skip(this.#size);
    } else {
      if (!this.#gather(this.#size)) return undefined;
      unit = this.#memory;
      this.#memory = NOTHING;
      this.#filled = 0;
    }
    this.#size = 0;
    return unit;
  }

  /** Whether the chunk has the first bytes of a unit. */
  #has(bytes: number): boolean {
    return this.#filled === 0 && this.#chunk.length - this.#at >= bytes;
  }

  /** Moves the first bytes of a unit into the memory. @returns whether all are there */
  #gather(wanted: number): boolean {
    const there = Math.min(wanted, this.length);
    if (there === 0) return false;
    if (this.#memory.length < Math.min(wanted, there + 1)) {
      const larger = Buffer.allocUnsafeSlow(Math.min(wanted, Math.max(this.#atOnce, 2 * there)));
      this.#memory.copy(larger, 0, 0, this.#filled);
      this.#memory = larger;
    }
    this.#skip(this.#chunk.copy(this.#memory, this.#filled, this.#at, this.#at + there - this.#filled));
    this.#filled = there;
    return there === wanted;
  }

  #skip(bytes: number): void {
    this.#at += bytes;
    if (this.#at < this.#chunk.length) return;
    this.#chunk = NOTHING;
    this.#at = 0;
  }
}
