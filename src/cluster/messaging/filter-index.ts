/**
 * Millions of filters with some words of payload each, and which of them match a topic (docs/internals/messaging.md,
 * Routes). No object is made for a filter.
 *
 *   part      one of 64, by the first bits of the hash
 *   places    each [hash, ref of the record], by the last bits of the hash, else the next one that is free
 *   record    header, payload, text          (record-arena.ts)
 *
 * Places have whole hashes: a part grows without touching a record, and each at its own time, so that a million filters
 * grow in pauses below 1 ms in place of one of 20. A bitmap says which hashes are missing, as most are, in an eighth of
 * the memory: without it a topic among a million filters of sixty shapes takes a fifth longer (bench/micro/routes.js).
 */
import { Buffer } from "node:buffer";
import { CHUNK_SHIFT, DEAD, RecordArena, WORD_MASK } from "./record-arena.js";
import { combine, FilterShapes, HASH, PLUS, type Shape, SLASH, TopicScan } from "./topic-scan.js";
import type { TopicFault } from "./topics.js";

/** 8 bits of the bitmap for each place, of which a tenth is set when the table is full: so many places a word. */
const PLACES_OF_WORD = 4;
/** In a place without a hash: that of a deleted filter, which does not end a search. */
const DELETED = 1;

/** Bits of a hash that do not choose its part. */
const PART_SHIFT = 26;
/** Positions of a walk in a part. */
export const PART = 2 ** PART_SHIFT;
/** Past the last place of the last part. */
export const WALKED = 2 ** 32;

class Part {
  places = new Int32Array(2 * 16);
  bitmap = new Int32Array(16 / PLACES_OF_WORD);
  /** The number of places, a power of two, less 1. */
  mask = 15;
  /** Places of filters and of deleted ones. */
  used = 0;
  /** Places of filters. */
  size = 0;

  get isFull(): boolean {
    return this.used >= 0.8 * this.mask;
  }

  put(hash: number, ref: number): void {
    const { places, bitmap, mask } = this;
    let place = hash & mask;
    while (places[place << 1] !== 0) place = (place + 1) & mask;
    const at = place << 1;
    if (places[at + 1] !== DELETED) this.used++;
    places[at] = hash;
    places[at + 1] = ref;
    const word = (hash >>> 5) & (bitmap.length - 1);
    bitmap[word] = (bitmap[word] as number) | (1 << hash);
    this.size++;
  }

  /** Empties a place. The bits of deleted filters stay until the part is rehashed, and cost a probe. */
  remove(place: number): void {
    const { places } = this;
    const at = place << 1;
    const next = ((place + 1) & this.mask) << 1;
    const isEnd = places[next] === 0 && places[next + 1] !== DELETED;
    places[at] = 0;
    places[at + 1] = isEnd ? 0 : DELETED;
    if (isEnd) this.used--;
    this.size--;
  }

  /** Without deleted places; twice as large if half of the others are used. */
  rehash(): void {
    const before = this.places;
    const isLarge = this.size >= 0.4 * this.mask;
    const count = (this.mask + 1) * (isLarge ? 2 : 1);
    this.places = new Int32Array(2 * count);
    this.bitmap = new Int32Array(count / PLACES_OF_WORD);
    this.mask = count - 1;
    this.used = 0;
    this.size = 0;
    for (let at = 0; at < before.length; at += 2) {
      const hash = before[at] as number;
      if (hash !== 0) this.put(hash, before[at + 1] as number);
    }
  }
}

export class FilterIndex {
  /** Refs found by the last match. */
  hits = new Uint32Array(16);
  readonly shapes = new FilterShapes();
  readonly #scan: TopicScan;
  readonly #arena = new RecordArena();
  readonly #parts = Array.from({ length: WALKED / PART }, () => new Part());
  /** Rises when all places of a part change: a walk begins with the part again. */
  generation = 0;
  size = 0;

  #found = 0;
  #isDollar = false;
  /** Candidates. */
  #hashes = new Int32Array(16);
  readonly #shapes: Shape[] = [];
  #candidates = 0;
  #refs = new Uint32Array(16);
  // biome-ignore lint/correctness/noUnusedPrivateClassMembers: V8 keeps the reads that prefetch records
  #read = 0;

  /** Of the located record. */
  #part = this.#parts[0] as Part;
  #place = 0;

  /** -1: none. */
  #leaving = -1;
  #leavingAt = 0;

  /** Of the last text passed to `find`. */
  #hash = 0;

  constructor(scan: TopicScan = new TopicScan()) {
    this.#scan = scan;
  }

  /**
   * Sets `ref` to the filter's record, or to 0: then `insert` may follow.
   *
   * @returns the fault of an invalid filter, or `undefined`
   */
  find(filter: string): TopicFault | undefined {
    this.ref = 0;
    const fault = this.#scan.filter(filter);
    if (fault !== undefined) return fault;
    this.#hash = this.#scan.hashOfLevels();
    this.ref = this.#search(this.#hash, undefined);
    return undefined;
  }

  ref = 0;

  /** The shape of the filter looked up, perhaps new. The caller uses or prunes it. */
  shape(): Shape {
    return this.shapes.of(this.#scan);
  }

  /** Counts one use of a shape. */
  useShape(shape: Shape): void {
    this.shapes.add(shape);
    if (this.shapes.size <= this.hits.length) return;
    this.hits = new Uint32Array(this.hits.length * 2);
    this.#hashes = new Int32Array(this.hits.length);
    this.#refs = new Uint32Array(this.hits.length);
  }

  /** Inserts the filter that `find` did not find. Its payload is 0. */
  insert(payloadWords: number): number {
    const scan = this.#scan;
    const ref = this.#allocate(scan.bytes, 0, scan.length, payloadWords);
    const part = this.#partOf(this.#hash);
    if (part.isFull) {
      part.rehash();
      this.generation++;
    }
    part.put(this.#hash, ref);
    this.size++;
    return ref;
  }

  /** The caller releases the record's shape. */
  delete(ref: number): void {
    this.#locate(ref);
    this.#arena.free(ref, recordWords(this.words(ref)[ref & WORD_MASK] as number));
    this.#part.remove(this.#place);
    this.size--;
  }

  /** Moves a record to one with another payload size, which the caller fills. The old one is readable until `tidy`. */
  resize(ref: number, payloadWords: number): number {
    const header = this.words(ref)[ref & WORD_MASK] as number;
    this.#locate(ref);
    const start = this.#textStart(ref, header);
    const moved = this.#allocate(this.#bytesOf(ref), start, start + (header & 0xffff), payloadWords);
    this.#arena.free(ref, recordWords(header));
    this.#part.places[(this.#place << 1) + 1] = moved;
    return moved;
  }

  /** The array that contains a record: header at `ref & WORD_MASK`, then the payload. */
  words(ref: number): Uint32Array {
    return this.#arena.words[ref >>> CHUNK_SHIFT] as Uint32Array;
  }

  text(ref: number): string {
    const header = this.words(ref)[ref & WORD_MASK] as number;
    const start = this.#textStart(ref, header);
    const { buffer, byteOffset } = this.#bytesOf(ref);
    return Buffer.from(buffer, byteOffset + start, header & 0xffff).toString();
  }

  /** Moves some records if too many are dead. Call after a change, when no ref is in use: one adds fewer dead ones. */
  tidy(most: number = 2): void {
    if (this.#leaving === -1) {
      this.#leaving = this.#arena.victim();
      if (this.#leaving === -1) return;
      this.#leavingAt = this.#leaving === 0 ? 1 : 0;
    }
    const chunk = this.#leaving;
    const words = this.#arena.words[chunk] as Uint32Array;
    const end = this.#arena.end(chunk);
    let at = this.#leavingAt;
    // Passing over a dead record costs a 32nd of a move.
    let left = most * 32;
    while (at < end && left > 0) {
      const header = words[at] as number;
      const length = recordWords(header);
      const isDead = (header & DEAD) !== 0;
      left -= isDead ? 1 : 32;
      if (!isDead) this.#move(((chunk << CHUNK_SHIFT) | at) >>> 0, length);
      at += length;
    }
    this.#leavingAt = at;
    if (at < end) return;
    this.#arena.drop(chunk);
    this.#leaving = -1;
  }

  /**
   * Appends the refs of the filters in the next places: each once, while `generation` is the same.
   *
   * @param from 0 at first, then the returned position
   * @returns the next position; `WALKED` at the end
   */
  walk(from: number, into: number[]): number {
    const number = Math.floor(from / PART);
    const { places, mask } = this.#parts[number] as Part;
    const begin = from % PART;
    const end = Math.min(begin + 1_024, mask + 1);
    for (let place = begin; place < end; place++)
      if (places[place << 1] !== 0) into.push((places[(place << 1) + 1] as number) >>> 0);
    return end > mask ? (number + 1) * PART : from - begin + end;
  }

  /** The number of matching filters, the first ones of `hits`; 0 for an invalid topic. */
  match(topic: string): number {
    this.#found = 0;
    const scan = this.#scan;
    if (this.size === 0 || scan.topic(topic) !== undefined) return 0;
    this.#isDollar = scan.bytes[0] === 0x24;
    this.#candidates = 0;
    this.#follow(this.shapes.root, 0, 0);
    const hashes = this.#hashes;
    const shapes = this.#shapes;
    let candidates = this.#candidates;
    if (candidates > 1) {
      // Most are absent. Without a branch in the loop, the processor prefetches the next reads.
      const parts = this.#parts;
      let kept = 0;
      for (let i = 0; i < candidates; i++) {
        const hash = hashes[i] as number;
        const { bitmap } = parts[hash >>> PART_SHIFT] as Part;
        const word = bitmap[(hash >>> 5) & (bitmap.length - 1)] as number;
        hashes[kept] = hash;
        shapes[kept] = shapes[i] as Shape;
        kept += (word >>> hash) & 1;
      }
      candidates = kept;
    }
    if (candidates < 4)
      for (let i = 0; i < candidates; i++) this.#probe(hashes[i] as number, shapes[i] as Shape);
    else this.#probeTogether(candidates);
    return this.#found;
  }

  bytes(): number {
    return (
      this.#arena.memory() +
      this.#parts.reduce((sum, { places, bitmap }) => sum + places.byteLength + bitmap.byteLength, 0) +
      this.hits.byteLength * 4 +
      this.#scan.bytes.length
    );
  }

  /** Collects candidates from a shape on: `level` levels precede it, and `hash` is their hash. */
  #follow(from: Shape, atLevel: number, behind: number): void {
    const { hashes, levels, plusHash, tailHash } = this.#scan;
    let shape = from;
    let level = atLevel;
    let hash = behind;
    for (;;) {
      const { text, plus, tail } = shape;
      const wild = level > 0 || !this.#isDollar;
      if (tail !== undefined && wild) this.#note(combine(hash, tailHash), tail);
      if (level === levels) {
        if (shape.count > 0) this.#note(hash, shape);
        return;
      }
      if (plus !== undefined && wild) this.#follow(plus, level + 1, combine(hash, plusHash));
      if (text === undefined) return;
      shape = text;
      hash = combine(hash, hashes[level] as number);
      level++;
    }
  }

  #note(hash: number, shape: Shape): void {
    this.#hashes[this.#candidates] = hash;
    this.#shapes[this.#candidates++] = shape;
  }

  /**
   * Probes many candidates: reads all places, then all records, then compares the texts. Without branches the processor
   * waits for several reads at once: a topic with 28 matching filters takes a third less (bench/micro/routes.js).
   */
  #probeTogether(candidates: number): void {
    const hashes = this.#hashes;
    const shapes = this.#shapes;
    const refs = this.#refs;
    const parts = this.#parts;
    let read = 0;
    for (let i = 0; i < candidates; i++) {
      const hash = hashes[i] as number;
      const { places, mask } = parts[hash >>> PART_SHIFT] as Part;
      read |= places[(hash & mask) << 1] as number;
    }
    let kept = 0;
    for (let i = 0; i < candidates; i++) {
      const hash = hashes[i] as number;
      const { places, mask } = parts[hash >>> PART_SHIFT] as Part;
      for (let place = hash & mask; ; place = (place + 1) & mask) {
        const there = places[place << 1] as number;
        if (there === hash) {
          hashes[kept] = hash;
          shapes[kept] = shapes[i] as Shape;
          refs[kept++] = places[(place << 1) + 1] as number;
          break;
        }
        if (there === 0 && places[(place << 1) + 1] !== DELETED) break;
      }
    }
    const chunks = this.#arena.words;
    for (let i = 0; i < kept; i++) {
      const ref = refs[i] as number;
      read |= (chunks[ref >>> CHUNK_SHIFT] as Uint32Array)[ref & WORD_MASK] as number;
    }
    this.#read = read;
    for (let i = 0; i < kept; i++) {
      const ref = refs[i] as number;
      const shape = shapes[i] as Shape;
      if (shape.isPlain ? this.#isText(ref) : this.#isMasked(ref, shape)) this.hits[this.#found++] = ref;
      // Another filter with the same hash: the searched one may follow.
      else this.#probe(hashes[i] as number, shape);
    }
  }

  #probe(hash: number, shape: Shape): void {
    const ref = this.#search(hash, shape);
    if (ref !== 0) this.hits[this.#found++] = ref;
  }

  /** @param shape `undefined`: the current text's @returns the record of the text, or of the topic in a shape; 0: none */
  #search(hash: number, shape: Shape | undefined): number {
    const { places, mask } = this.#partOf(hash);
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const there = places[place << 1] as number;
      if (there === hash) {
        const ref = (places[(place << 1) + 1] as number) >>> 0;
        if (shape === undefined || shape.isPlain ? this.#isText(ref) : this.#isMasked(ref, shape)) return ref;
      } else if (there === 0 && places[(place << 1) + 1] !== DELETED) return 0;
    }
  }

  #isText(ref: number): boolean {
    const words = this.words(ref);
    const header = words[ref & WORD_MASK] as number;
    const { words: wanted, length } = this.#scan;
    if ((header & 0xffff) !== length) return false;
    // Both texts are padded with 0.
    const start = (ref & WORD_MASK) + 1 + payloadWords(header);
    for (let i = 0; i << 2 < length; i++) if (words[start + i] !== wanted[i]) return false;
    return true;
  }

  /** Whether a record's text is the topic with "+" in place of the shape's levels, and "#" after the last. */
  #isMasked(ref: number, { pluses, isTail }: Shape): boolean {
    const levels = pluses.length;
    const header = this.words(ref)[ref & WORD_MASK] as number;
    const there = this.#bytesOf(ref);
    const { bytes, starts } = this.#scan;
    let at = this.#textStart(ref, header);
    const end = at + (header & 0xffff);
    for (let level = 0; level < levels; level++) {
      if (level > 0 && there[at++] !== SLASH) return false;
      if (pluses[level] === true) {
        if (there[at++] !== PLUS) return false;
        continue;
      }
      const levelEnd = (starts[level + 1] as number) - 1;
      for (let i = starts[level] as number; i < levelEnd; i++) if (there[at++] !== bytes[i]) return false;
    }
    if (isTail) {
      if (levels > 0 && there[at++] !== SLASH) return false;
      if (there[at++] !== HASH) return false;
    }
    return at === end;
  }

  #partOf(hash: number): Part {
    return this.#parts[hash >>> PART_SHIFT] as Part;
  }

  #bytesOf(ref: number): Uint8Array {
    return this.#arena.bytes[ref >>> CHUNK_SHIFT] as Uint8Array;
  }

  #textStart(ref: number, header: number): number {
    return ((ref & WORD_MASK) + 1 + payloadWords(header)) << 2;
  }

  #allocate(text: Uint8Array, start: number, end: number, words: number): number {
    const header = ((end - start) | (words << 16)) >>> 0;
    const ref = this.#arena.allocate(recordWords(header));
    const memory = this.words(ref);
    const at = ref & WORD_MASK;
    memory[at] = header;
    for (let i = 1; i <= words; i++) memory[at + i] = 0;
    const bytes = this.#bytesOf(ref);
    const to = (at + 1 + words) << 2;
    for (let i = start; i < end; i++) bytes[to + i - start] = text[i] as number;
    return ref;
  }

  #move(ref: number, length: number): void {
    this.#locate(ref);
    const moved = this.#arena.allocate(length);
    const from = ref & WORD_MASK;
    this.words(moved).set(this.words(ref).subarray(from, from + length), moved & WORD_MASK);
    this.#arena.free(ref, length);
    this.#part.places[(this.#place << 1) + 1] = moved;
  }

  /** Also sets the current text to the record's. */
  #hashOf(ref: number): number {
    const header = this.words(ref)[ref & WORD_MASK] as number;
    const start = this.#textStart(ref, header);
    this.#scan.record(this.#bytesOf(ref), start, start + (header & 0xffff));
    return this.#scan.hashOfLevels();
  }

  /** Sets `#part` and `#place`, and the current text to the record's. */
  #locate(ref: number): void {
    const hash = this.#hashOf(ref);
    const part = this.#partOf(hash);
    const { places, mask } = part;
    let place = hash & mask;
    while (places[place << 1] !== hash || (places[(place << 1) + 1] as number) >>> 0 !== ref)
      place = (place + 1) & mask;
    this.#part = part;
    this.#place = place;
  }
}

export function payloadWords(header: number): number {
  return (header >>> 16) & 0x3fff;
}

function recordWords(header: number): number {
  return 1 + payloadWords(header) + (((header & 0xffff) + 3) >>> 2);
}

export function doubled<A extends { readonly length: number; set(from: A): void }>(array: A): A {
  const copy = new (array.constructor as new (length: number) => A)(array.length * 2);
  copy.set(array);
  return copy;
}
