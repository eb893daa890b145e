/**
 * The hashmap in memory: keys, values and the sequence of each key's last update.
 *
 *   slots   open addressing, at most 3/4 full: id + 1, or 0
 *   id      hash | address | key length | value length | sequence     columns of numbers
 *   arena   key and value, one after the other
 *
 * A key costs 21 bytes in addition to its own and its value's, which are rounded up by at most a quarter; a Map with Buffers takes several times the data. A large
 * value has separate memory, which is never rewritten, so that it is passed on without a copy. A key keeps its id while it
 * exists, and scans go over ids.
 */
import { randomSeed, seededHash } from "../../core/bytes.js";

const MIN_CAPACITY = 16;
const FREE = -1;
/** Bytes that are copied in a loop, which is cheaper than a call. */
const SHORT = 32;

/** A key and its value at positions of a chunk. */
export interface EntryBytes {
  readonly bytes: Uint8Array;
  /** The memory of `bytes` and their offset. To read them for each entry takes a tenth of its time. */
  readonly memory: ArrayBufferLike;
  readonly base: number;
  readonly key: number;
  readonly keyEnd: number;
  readonly value: number;
  readonly valueEnd: number;
}

export class CloneTable {
  #capacity = MIN_CAPACITY;
  #slots = new Int32Array(MIN_CAPACITY * 2);
  #hashes = new Int32Array(MIN_CAPACITY);
  #addresses = new Uint32Array(MIN_CAPACITY);
  #keyLengths = new Uint8Array(MIN_CAPACITY);
  #valueLengths = new Uint32Array(MIN_CAPACITY);
  /** {@link FREE} for a free id. */
  #sequences = new Float64Array(MIN_CAPACITY).fill(FREE);
  readonly #arena = new Arena();
  /** Values outside of the arena, by id. */
  readonly #large = new Map<number, Buffer>();
  readonly #freeIds: number[] = [];
  /** Random, so that collisions differ in each table. */
  readonly #seed = randomSeed() | 0;
  /** All ids are below it. */
  high = 0;
  size = 0;
  /** Bytes of keys and values. */
  bytes = 0;

  /** Bytes of memory, about. */
  get memory(): number {
    let large = 0;
    for (const value of this.#large.values()) large += value.length;
    return this.#arena.bytes + large + this.#slots.byteLength + this.#capacity * 21;
  }

  /** @returns the key's id, or -1 */
  find(key: Uint8Array): number {
    return this.#find(key, 0, key.length);
  }

  #find(bytes: Uint8Array, start: number, end: number): number {
    const mask = this.#slots.length - 1;
    const hash = this.#hash(bytes, start, end);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = (this.#slots[slot] as number) - 1;
      if (id < 0) return -1;
      if (
        this.#hashes[id] === hash &&
        this.#keyLengths[id] === end - start &&
        this.#matches(id, bytes, start, end)
      )
        return id;
    }
  }

  /** {@link put} for a key and a non-empty value in a chunk: with views of both an update takes 55 ns more, of 140. */
  putFrom({ bytes, memory, base, key, keyEnd, value, valueEnd }: EntryBytes, sequence: number): void {
    const id = this.#find(bytes, key, keyEnd);
    const length = valueEnd - value;
    if (id < 0 || !this.#fits(id, length)) {
      this.put(bytes.subarray(key, keyEnd), bytes.subarray(value, valueEnd), sequence);
      return;
    }
    const address = this.#addresses[id] as number;
    const slab = this.#arena.slab(address);
    const at = offsetOf(address) + (keyEnd - key);
    if (length > SHORT) slab.set(new Uint8Array(memory, base + value, length), at);
    else for (let i = 0; i < length; i++) slab[at + i] = bytes[value + i] as number;
    this.#sequences[id] = sequence;
  }

  /** Whether a value can be written in the place of the one before, which has its length from now on. */
  #fits(id: number, length: number): boolean {
    const keyLength = this.#keyLengths[id] as number;
    const before = this.#valueLengths[id] as number;
    if (keyLength + Math.max(before, length) > MAX_PIECE) return false;
    if (before !== length) {
      if (unitsOf(keyLength + before) !== unitsOf(keyLength + length)) return false;
      this.bytes += length - before;
      this.#valueLengths[id] = length;
    }
    return true;
  }

  /** Sets a key; key and value are copied. @returns the key's id */
  put(key: Uint8Array, value: Uint8Array, sequence: number): number {
    let id = this.find(key);
    if (id >= 0) {
      if (this.#fits(id, value.length)) {
        const address = this.#addresses[id] as number;
        this.#arena.slab(address).set(value, offsetOf(address) + key.length);
      } else {
        this.bytes += value.length - this.valueLength(id);
        this.#release(id);
        this.#place(id, key, value);
      }
      this.#sequences[id] = sequence;
      return id;
    }
    if ((this.size + 1) * 4 > this.#slots.length * 3) this.#growSlots();
    id = this.#freeIds.pop() ?? this.high++;
    if (id >= this.#capacity) this.#growColumns();
    const hash = this.#hash(key, 0, key.length);
    this.#hashes[id] = hash;
    this.#keyLengths[id] = key.length;
    this.#sequences[id] = sequence;
    this.#place(id, key, value);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = id + 1;
    this.size += 1;
    this.bytes += key.length + value.length;
    return id;
  }

  remove(id: number): void {
    this.#vacate(id);
    this.bytes -= this.keyLength(id) + this.valueLength(id);
    this.#release(id);
    this.#sequences[id] = FREE;
    this.#freeIds.push(id);
    this.size -= 1;
    if (this.size === 0) this.clear();
  }

  clear(): void {
    this.#arena.clear();
    this.#large.clear();
    this.#freeIds.length = 0;
    this.#slots.fill(0);
    this.#sequences.fill(FREE);
    this.high = 0;
    this.size = 0;
    this.bytes = 0;
  }

  isLive(id: number): boolean {
    return this.#sequences[id] !== FREE;
  }

  sequence(id: number): number {
    return this.#sequences[id] as number;
  }

  keyLength(id: number): number {
    return this.#keyLengths[id] as number;
  }

  valueLength(id: number): number {
    return this.#valueLengths[id] as number;
  }

  hasPrefix(id: number, prefix: Uint8Array): boolean {
    if (prefix.length > this.keyLength(id)) return false;
    return this.#matches(id, prefix, 0, prefix.length);
  }

  /** The key's bytes, copied. */
  key(id: number): Buffer {
    return this.#copy(id, 0, this.keyLength(id));
  }

  /** Writes a short key's bytes to a position of `target`. */
  writeKey(id: number, target: Buffer, at: number): void {
    const address = this.#addresses[id] as number;
    const slab = this.#arena.slab(address);
    const from = offsetOf(address);
    for (let i = this.keyLength(id) - 1; i >= 0; i--) target[at + i] = slab[from + i] as number;
  }

  /** The value: a copy, or the memory of a large one, which must not be written to. */
  value(id: number): Buffer {
    const large = this.#large.size === 0 ? undefined : this.#large.get(id);
    return large ?? this.#copy(id, this.keyLength(id), this.valueLength(id));
  }

  #copy(id: number, offset: number, length: number): Buffer {
    const address = this.#addresses[id] as number;
    const from = offsetOf(address) + offset;
    const copy = Buffer.allocUnsafe(length);
    this.#arena.slab(address).copy(copy, 0, from, from + length);
    return copy;
  }

  #place(id: number, key: Uint8Array, value: Uint8Array): void {
    const inside = key.length + value.length <= MAX_PIECE;
    const address = this.#arena.allocate(unitsOf(key.length + (inside ? value.length : 0)));
    const slab = this.#arena.slab(address);
    const at = offsetOf(address);
    slab.set(key, at);
    if (inside) slab.set(value, at + key.length);
    else this.#large.set(id, Buffer.from(value));
    this.#addresses[id] = address;
    this.#valueLengths[id] = value.length;
  }

  #release(id: number): void {
    const large = this.#large.delete(id);
    const length = this.keyLength(id) + (large ? 0 : this.valueLength(id));
    this.#arena.release(this.#addresses[id] as number, unitsOf(length));
  }

  /** Removes a key from the slots, and moves later ones up. */
  #vacate(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = (this.#hashes[id] as number) & mask;
    while (slots[hole] !== id + 1) hole = (hole + 1) & mask;
    for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = (this.#hashes[(slots[slot] as number) - 1] as number) & mask;
      // An entry with its home behind the hole stays.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      slots[hole] = slots[slot] as number;
      hole = slot;
    }
    slots[hole] = 0;
  }

  #growSlots(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let id = 0; id < this.high; id++) {
      if (this.#sequences[id] === FREE) continue;
      let slot = (this.#hashes[id] as number) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = id + 1;
    }
    this.#slots = slots;
  }

  #growColumns(): void {
    // By a half: copying is fast, and unused capacity is memory.
    const capacity = Math.ceil(this.#capacity * 1.5);
    this.#hashes = grown(this.#hashes, new Int32Array(capacity));
    this.#addresses = grown(this.#addresses, new Uint32Array(capacity));
    this.#keyLengths = grown(this.#keyLengths, new Uint8Array(capacity));
    this.#valueLengths = grown(this.#valueLengths, new Uint32Array(capacity));
    this.#sequences = grown(this.#sequences, new Float64Array(capacity).fill(FREE, this.#capacity));
    this.#capacity = capacity;
  }

  /** Whether the key begins with the bytes between two positions. */
  #matches(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    const address = this.#addresses[id] as number;
    const slab = this.#arena.slab(address);
    const at = offsetOf(address) - start;
    for (let i = end - 1; i >= start; i--) if (slab[at + i] !== bytes[i]) return false;
    return true;
  }

  /** A final mix makes the low bits usable. */
  #hash(bytes: Uint8Array, start: number, end: number): number {
    const hash = Math.imul(seededHash(bytes, this.#seed, start, end), 0x2c1b3c6d);
    return hash ^ (hash >>> 13);
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}

const SLAB_BYTES = 1_048_576;
const UNIT = 16;
const UNITS_PER_SLAB = SLAB_BYTES / UNIT;
/** The low bits of an address are the place in the slab. */
const SLAB_BITS = Math.log2(UNITS_PER_SLAB);
/**
 * Every size up to this number of units; above, four sizes per power of two. Pieces of a former size serve that size
 * only, so values that grow step by step leave seven times their bytes behind; with every size to 1 KiB it was 33 times.
 */
const EXACT = 8;
const STEPS = 4;

/** Bytes of the largest piece; larger values have separate memory. */
const MAX_PIECE = 65_536;

/**
 * Memory for many small pieces, without an object for each.
 *
 *   slab 0          slab 1          …      1 MiB each
 *   |piece|piece|…  |piece|free|…
 *
 * A piece is a number of units of 16 bytes, of a few sizes. A released piece is reused for its size, and nothing moves.
 */
class Arena {
  readonly #slabs: Buffer[] = [];
  /** Released pieces by size in units. */
  readonly #free = new Map<number, number[]>();
  #next = 0;
  #end = 0;

  get bytes(): number {
    return this.#slabs.length * SLAB_BYTES;
  }

  /** @param units as `unitsOf` counts them. @returns the piece's address */
  allocate(units: number): number {
    const free = this.#free.get(units);
    const used = free?.pop();
    if (used !== undefined) return used;
    if (this.#next + units > this.#end) {
      // The system provides its memory as it is written.
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

  /** Frees everything. */
  clear(): void {
    this.#slabs.length = 0;
    this.#free.clear();
    this.#next = 0;
    this.#end = 0;
  }

  slab(address: number): Buffer {
    return this.#slabs[address >>> SLAB_BITS] as Buffer;
  }
}

/** Units of a piece. */
function unitsOf(bytes: number): number {
  const units = Math.max(1, (bytes + UNIT - 1) >>> 4);
  if (units <= EXACT) return units;
  const step = 2 ** (31 - Math.clz32(units)) / STEPS;
  return Math.ceil(units / step) * step;
}

/** Offset of a piece in its slab. */
function offsetOf(address: number): number {
  return (address & (UNITS_PER_SLAB - 1)) * UNIT;
}
