/**
 * Millions of filters with some words of payload each, and which of them match a topic (docs/internals/messaging.md,
 * Routes). No object is made for a filter.
 *
 *   directory     by the first bits of a hash → segment          (extendible hashing: full segments split, one at a time)
 *   segment       1,024 places, each [hash, ref of the record]; a hash of 0 is an empty place
 *   record        header, payload, text                          (record-arena.ts)
 *
 * Places have whole hashes: a segment splits without touching a record. Its bitmap says which hashes are missing, as most
 * are, in an eighth of the memory: without it a topic among a million filters of sixty shapes takes a third longer
 * (bench/micro/routes.js). A walk in the order of hashes finds each record once.
 */
import { Buffer } from "node:buffer";
import { CHUNK_SHIFT, DEAD, RecordArena, WORD_MASK } from "./record-arena.js";
import { combine, FilterShapes, HASH, PLUS, type Shape, SLASH, TopicScan } from "./topic-scan.js";
import type { TopicFault } from "./topics.js";

const SEGMENT_BITS = 10;
const SEGMENT_MASK = (1 << SEGMENT_BITS) - 1;
/** 1 MiB in one typed array: few arrays, so finding one is no cache miss. */
const PAGE_BITS = 7;
const PAGE_MASK = (1 << PAGE_BITS) - 1;
const PLACE_BITS = 1;
/** 256 words: 8,192 bits, of which a tenth is set when the segment is full. */
const BITMAP_BITS = 8;

/** Past the last hash. */
export const WALKED = 0x1_0000_0000;

export class FilterIndex {
  /** Refs found by the last match. */
  hits = new Uint32Array(16);
  readonly shapes = new FilterShapes();
  readonly #scan: TopicScan;
  readonly #arena = new RecordArena();
  readonly #pages: Int32Array[] = [];
  readonly #bitmaps: Int32Array[] = [];
  /** By segment: used places, and directory bits that lead to it. */
  #counts = new Uint16Array(8);
  #depths = new Uint8Array(8);
  #stale = new Uint8Array(8);
  #segments = 0;
  #directory = new Uint32Array(1);
  #depth = 0;
  /** Reused to avoid garbage. */
  #splitting = new Int32Array(0);
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
  #segment = 0;
  #place = 0;

  /** -1: none. */
  #leaving = -1;
  #leavingAt = 0;

  /** Of the last text passed to `find`. */
  #hash = 0;

  constructor(scan: TopicScan = new TopicScan()) {
    this.#scan = scan;
    this.#addSegment(0);
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
    this.#insertPlace(this.#hash, ref);
    this.size++;
    return ref;
  }

  /** The caller releases the record's shape. */
  delete(ref: number): void {
    this.#locate(ref);
    this.#arena.free(ref, recordWords(this.words(ref)[ref & WORD_MASK] as number));
    this.#unplace();
    this.size--;
  }

  /** Moves a record to one with another payload size, which the caller fills. The old one is readable until `tidy`. */
  resize(ref: number, payloadWords: number): number {
    const header = this.words(ref)[ref & WORD_MASK] as number;
    this.#locate(ref);
    const start = this.#textStart(ref, header);
    const moved = this.#allocate(this.#bytesOf(ref), start, start + (header & 0xffff), payloadWords);
    this.#arena.free(ref, recordWords(header));
    (this.#pages[this.#segment >>> PAGE_BITS] as Int32Array)[this.#at(this.#place) + 1] = moved;
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
   * Appends the refs of the next filters in hash order.
   *
   * @param from 0 at first, then the returned position
   * @returns the next position; `WALKED` at the end
   */
  walk(from: number, into: number[]): number {
    const segment = this.#segmentOf(from | 0);
    const page = this.#pages[segment >>> PAGE_BITS] as Int32Array;
    const base = (segment & PAGE_MASK) << SEGMENT_BITS;
    for (let place = base; place <= base + SEGMENT_MASK; place++)
      if (page[place << PLACE_BITS] !== 0) into.push((page[(place << PLACE_BITS) + 1] as number) >>> 0);
    const width = 2 ** (32 - (this.#depths[segment] as number));
    return (Math.floor(from / width) + 1) * width;
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
      const directory = this.#directory;
      const bitmaps = this.#bitmaps;
      const shift = 31 - this.#depth;
      let kept = 0;
      for (let i = 0; i < candidates; i++) {
        const hash = hashes[i] as number;
        const segment = directory[(hash >>> 1) >>> shift] as number;
        const words = bitmaps[segment >>> PAGE_BITS] as Int32Array;
        const word = words[
          ((segment & PAGE_MASK) << BITMAP_BITS) | ((hash >>> 5) & ((1 << BITMAP_BITS) - 1))
        ] as number;
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
      [...this.#pages, ...this.#bitmaps].reduce((bytes, page) => bytes + page.byteLength, 0) +
      this.#directory.byteLength +
      this.#counts.length * 4 +
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
   * waits for several reads at once: a topic with 28 matching filters takes a tenth less (bench/micro/routes.js).
   */
  #probeTogether(candidates: number): void {
    const hashes = this.#hashes;
    const shapes = this.#shapes;
    const refs = this.#refs;
    const directory = this.#directory;
    const pages = this.#pages;
    const shift = 31 - this.#depth;
    let read = 0;
    for (let i = 0; i < candidates; i++) {
      const hash = hashes[i] as number;
      const segment = directory[(hash >>> 1) >>> shift] as number;
      const page = pages[segment >>> PAGE_BITS] as Int32Array;
      const place = ((segment & PAGE_MASK) << SEGMENT_BITS) + (hash & SEGMENT_MASK);
      read |= page[place << PLACE_BITS] as number;
    }
    let kept = 0;
    for (let i = 0; i < candidates; i++) {
      const hash = hashes[i] as number;
      const segment = directory[(hash >>> 1) >>> shift] as number;
      const page = pages[segment >>> PAGE_BITS] as Int32Array;
      const base = (segment & PAGE_MASK) << SEGMENT_BITS;
      for (let place = hash & SEGMENT_MASK; ; place = (place + 1) & SEGMENT_MASK) {
        const there = page[(base + place) << PLACE_BITS] as number;
        if (there === 0) break;
        if (there !== hash) continue;
        hashes[kept] = hash;
        shapes[kept] = shapes[i] as Shape;
        refs[kept++] = page[((base + place) << PLACE_BITS) + 1] as number;
        break;
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
    const segment = this.#segmentOf(hash);
    const page = this.#pages[segment >>> PAGE_BITS] as Int32Array;
    const base = (segment & PAGE_MASK) << SEGMENT_BITS;
    for (let place = hash & SEGMENT_MASK; ; place = (place + 1) & SEGMENT_MASK) {
      const there = page[(base + place) << PLACE_BITS] as number;
      if (there === 0) return 0;
      if (there !== hash) continue;
      const ref = (page[((base + place) << PLACE_BITS) + 1] as number) >>> 0;
      if (shape === undefined || shape.isPlain ? this.#isText(ref) : this.#isMasked(ref, shape)) return ref;
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
    (this.#pages[this.#segment >>> PAGE_BITS] as Int32Array)[this.#at(this.#place) + 1] = moved;
  }

  /** Also sets the current text to the record's. */
  #hashOf(ref: number): number {
    const header = this.words(ref)[ref & WORD_MASK] as number;
    const start = this.#textStart(ref, header);
    this.#scan.record(this.#bytesOf(ref), start, start + (header & 0xffff));
    return this.#scan.hashOfLevels();
  }

  /** Sets `#segment` and `#place`, and the current text to the record's. */
  #locate(ref: number): void {
    const hash = this.#hashOf(ref);
    const segment = this.#segmentOf(hash);
    this.#segment = segment;
    const page = this.#pages[segment >>> PAGE_BITS] as Int32Array;
    let place = hash & SEGMENT_MASK;
    while ((page[this.#at(place) + 1] as number) >>> 0 !== ref) place = (place + 1) & SEGMENT_MASK;
    this.#place = place;
  }

  #at(place: number): number {
    return (((this.#segment & PAGE_MASK) << SEGMENT_BITS) + place) << PLACE_BITS;
  }

  #segmentOf(hash: number): number {
    // A shift by 32 would be a shift by 0.
    return this.#directory[(hash >>> 1) >>> (31 - this.#depth)] as number;
  }

  #insertPlace(hash: number, ref: number): void {
    let segment = this.#segmentOf(hash);
    while ((this.#counts[segment] as number) >= 0.8 * SEGMENT_MASK) {
      if ((this.#depths[segment] as number) === 22) {
        // Reached only with billions of filters, because the hash key is secret.
        if ((this.#counts[segment] as number) === SEGMENT_MASK)
          throw new RangeError("A table of filters is full");
        break;
      }
      this.#split(segment, hash);
      segment = this.#segmentOf(hash);
    }
    this.#put(segment, hash, ref);
  }

  #put(segment: number, hash: number, ref: number): void {
    const page = this.#pages[segment >>> PAGE_BITS] as Int32Array;
    const base = (segment & PAGE_MASK) << SEGMENT_BITS;
    let place = hash & SEGMENT_MASK;
    while (page[(base + place) << PLACE_BITS] !== 0) place = (place + 1) & SEGMENT_MASK;
    page[(base + place) << PLACE_BITS] = hash;
    page[((base + place) << PLACE_BITS) + 1] = ref;
    this.#mark(segment, hash);
    this.#counts[segment] = (this.#counts[segment] as number) + 1;
  }

  /** Empties the located place and moves later ones up: all stay reachable from their home place. */
  #unplace(): void {
    const segment = this.#segment;
    const page = this.#pages[segment >>> PAGE_BITS] as Int32Array;
    let hole = this.#place;
    for (let place = (hole + 1) & SEGMENT_MASK; ; place = (place + 1) & SEGMENT_MASK) {
      const at = this.#at(place);
      const hash = page[at] as number;
      if (hash === 0) break;
      // Stays if its home is behind the hole.
      if (((place - hash) & SEGMENT_MASK) < ((place - hole) & SEGMENT_MASK)) continue;
      page[this.#at(hole)] = hash;
      page[this.#at(hole) + 1] = page[at + 1] as number;
      hole = place;
    }
    page[this.#at(hole)] = 0;
    page[this.#at(hole) + 1] = 0;
    this.#counts[segment] = (this.#counts[segment] as number) - 1;
    this.#stale[segment] = (this.#stale[segment] as number) + 1;
    // Rebuilt after so many deletions.
    if (this.#stale[segment] !== 64) return;
    this.#clearBitmap(segment);
    for (let place = 0; place <= SEGMENT_MASK; place++) {
      const hash = page[this.#at(place)] as number;
      if (hash !== 0) this.#mark(segment, hash);
    }
  }

  /** Bits of deleted filters stay until a rebuild, and cost a probe. */
  #mark(segment: number, hash: number): void {
    const bitmap = this.#bitmaps[segment >>> PAGE_BITS] as Int32Array;
    const word = ((segment & PAGE_MASK) << BITMAP_BITS) | ((hash >>> 5) & ((1 << BITMAP_BITS) - 1));
    bitmap[word] = (bitmap[word] as number) | (1 << hash);
  }

  #clearBitmap(segment: number): void {
    const start = (segment & PAGE_MASK) << BITMAP_BITS;
    (this.#bitmaps[segment >>> PAGE_BITS] as Int32Array).fill(0, start, start + (1 << BITMAP_BITS));
    this.#stale[segment] = 0;
  }

  #split(segment: number, hash: number): void {
    const depth = this.#depths[segment] as number;
    if (depth === this.#depth) this.#deepen();
    const made = this.#addSegment(depth + 1);
    this.#depths[segment] = depth + 1;
    // The directory entries for the second half of the segment's hashes.
    const spread = this.#depth - depth;
    const first = ((hash >>> 1) >>> (31 - depth)) * 2 ** spread;
    this.#directory.fill(made, first + 2 ** (spread - 1), first + 2 ** spread);

    const page = this.#pages[segment >>> PAGE_BITS] as Int32Array;
    const start = ((segment & PAGE_MASK) << SEGMENT_BITS) << PLACE_BITS;
    const end = start + (1 << (SEGMENT_BITS + PLACE_BITS));
    if (this.#splitting.length === 0) this.#splitting = new Int32Array(end - start);
    const before = this.#splitting;
    before.set(page.subarray(start, end));
    page.fill(0, start, end);
    this.#clearBitmap(segment);
    this.#counts[segment] = 0;
    const shift = 31 - depth;
    for (let at = 0; at < before.length; at += 2) {
      const there = before[at] as number;
      if (there !== 0)
        this.#put(((there >>> shift) & 1) === 1 ? made : segment, there, before[at + 1] as number);
    }
  }

  #deepen(): void {
    const before = this.#directory;
    const after = new Uint32Array(before.length * 2);
    for (let i = 0; i < after.length; i++) after[i] = before[i >>> 1] as number;
    this.#directory = after;
    this.#depth++;
  }

  #addSegment(depth: number): number {
    const segment = this.#segments++;
    room(this.#pages, segment, 1 << (SEGMENT_BITS + PLACE_BITS));
    room(this.#bitmaps, segment, 1 << BITMAP_BITS);
    if (segment === this.#counts.length) {
      this.#counts = doubled(this.#counts);
      this.#depths = doubled(this.#depths);
      this.#stale = doubled(this.#stale);
    }
    this.#depths[segment] = depth;
    return segment;
  }
}

export function payloadWords(header: number): number {
  return (header >>> 16) & 0x3fff;
}

function recordWords(header: number): number {
  return 1 + payloadWords(header) + (((header & 0xffff) + 3) >>> 2);
}

/** The first page grows, so that a small table stays small. */
function room(pages: Int32Array[], segment: number, words: number): void {
  const [first] = pages;
  if (first === undefined) pages.push(new Int32Array(words));
  else if (segment > PAGE_MASK && (segment & PAGE_MASK) === 0) pages.push(new Int32Array(words << PAGE_BITS));
  else if (segment <= PAGE_MASK && segment * words === first.length) pages[0] = doubled(first);
}

export function doubled<A extends { readonly length: number; set(from: A): void }>(array: A): A {
  const copy = new (array.constructor as new (length: number) => A)(array.length * 2);
  copy.set(array);
  return copy;
}
