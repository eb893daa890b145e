/**
 * Which nodes are interested in which topics: filters → nodes, for each published message.
 *
 * A route costs some bytes in typed arrays (filter-index.ts): a filter's record has the numbers of its nodes. A node's
 * routes are deleted at once: its number is retired, and matches skip it. Later calls and `sweep` remove it from the
 * records; then the number is free.
 */
import { MAX_NODE_ROUTES, MAX_SHAPES, MAX_SHAPES_OF_NODE } from "./bounds.js";
import { doubled, FilterIndex, PART, payloadWords, WALKED } from "./filter-index.js";
import { WORD_MASK } from "./record-arena.js";
import type { Shape, TopicScan } from "./topic-scan.js";
import type { TopicFault } from "./topics.js";

// --- Sets of nodes -----------------------------------------------------------------------------------------

const NO_NODE = 0xffff;
/** A record's payload has as many words at most. */
const MAX_WORDS = 0x3fff;

/** A view of one record's node numbers after another: two in each word, 0xffff where there is none. */
class NodeSet {
  #words: Uint32Array = new Uint32Array(1);
  /** Where the payload begins, and its words. */
  #at = 0;
  length = 0;

  /** @param words of records @param at the header of one, valid until it is moved */
  open(words: Uint32Array, at: number): this {
    this.#words = words;
    this.#at = at + 1;
    this.length = payloadWords(words[at] as number);
    return this;
  }

  has(node: number): boolean {
    return this.#find(node) !== -1;
  }

  /** Adds a new node; `false`: no room. */
  put(node: number): boolean {
    const place = this.#find(NO_NODE);
    if (place !== -1) this.#set(place, node);
    return place !== -1;
  }

  take(node: number): void {
    this.#set(this.#find(node), NO_NODE);
  }

  #word(i: number): number {
    return this.#words[this.#at + i] as number;
  }

  /** @returns the place of a number; -1: none */
  #find(number: number): number {
    for (let i = 0; i < this.length; i++) {
      const word = this.#word(i);
      if ((word & 0xffff) === number) return 2 * i;
      if (word >>> 16 === number) return 2 * i + 1;
    }
    return -1;
  }

  #set(place: number, number: number): void {
    const word = this.#word(place >>> 1);
    const isHigh = (place & 1) === 1;
    this.#words[this.#at + (place >>> 1)] = isHigh
      ? (word & 0xffff) | (number << 16)
      : (word & 0xffff_0000) | number;
  }

  /** Replaces the nodes of a new payload. */
  fill(nodes: readonly number[]): void {
    this.#words.fill(0xffff_ffff, this.#at, this.#at + this.length);
    for (const [place, node] of nodes.entries()) this.#set(place, node);
  }

  read(into: number[]): void {
    for (let i = 0; i < this.length; i++) {
      const word = this.#word(i);
      if ((word & 0xffff) !== NO_NODE) into.push(word & 0xffff);
      if (word >>> 16 !== NO_NODE) into.push(word >>> 16);
    }
  }
}

/** The words for so many nodes, with room for some more. */
function wordsFor(nodes: number): number {
  let words = 1;
  while (words * 2 < nodes) words *= 2;
  return Math.min(words, MAX_WORDS);
}

// --- The table ---------------------------------------------------------------------------------------------

export type AddResult =
  | "added"
  | "known"
  /** Refused: not a filter. */
  | TopicFault
  /** Refused: too many shapes of filters, of the node or of all (`MAX_SHAPES_OF_NODE`, `MAX_SHAPES`). */
  | "shapes"
  /** Refused: the number belongs to no node. */
  | "numbers";

/** A node in a table, with what it has there. */
export class RouteNode {
  /** In the records, 0 to 32,765; -1: none was free, and its routes are refused. */
  readonly number: number;
  /** Id by which matches find it; `undefined`: they skip it. */
  owner: string | undefined = undefined;
  routes = 0;
  /** Of its filters. */
  bytes = 0;
  /** It was deleted, and its number may be another node's. */
  isFree = false;
  /** Routes by the shape of their filters. */
  readonly shapes = new Map<Shape, number>();

  constructor(number: number) {
    this.number = number;
  }
}

/** Pairs of a filter and a node (`takeNode`). Never throws for peers' filters. */
export class RouteTable {
  readonly #index: FilterIndex;
  /** By number; `undefined`: retired or unused. */
  readonly #nodes: (RouteNode | undefined)[] = [];
  readonly #free: number[] = [];
  /** Nodes with retired numbers, which are in no record after the current sweep, and after the next one. */
  #sweeping: RouteNode[] = [];
  #waiting: RouteNode[] = [];
  /** Routes of retired numbers until the end of their sweep; number from which on sweeps are frequent. */
  unswept = 0;
  readonly #sweepSoonFrom: number;
  #cursor = 0;
  #generation = 0;
  #calls = 0;
  /** A filter of three nodes counts three times, and so do its bytes. */
  size = 0;
  filterBytes = 0;
  /** Nodes that the current match has found: those with its stamp. */
  #stamps = new Uint32Array(16);
  #stamp = 0;
  readonly #set = new NodeSet();
  readonly #numbers: number[] = [];
  readonly #refs: number[] = [];

  /**
   * @param scan hashes topics, with a separate key for each table
   * @param sweepSoonFrom routes of deleted nodes from which on sweeps are frequent
   */
  constructor(scan?: TopicScan, sweepSoonFrom: number = MAX_NODE_ROUTES) {
    this.#sweepSoonFrom = sweepSoonFrom;
    this.#index = new FilterIndex(scan);
  }

  /** Distinct filters; those of deleted nodes count until they are swept. */
  get filters(): number {
    return this.#index.size;
  }

  takeNode(): RouteNode {
    const number = this.#free.pop() ?? (this.#nodes.length < 2 * MAX_WORDS ? this.#nodes.length : -1);
    const node = new RouteNode(number);
    if (number === -1) return node;
    if (number === this.#stamps.length) this.#stamps = doubled(this.#stamps);
    this.#nodes[number] = node;
    return node;
  }

  add(filter: string, node: RouteNode): AddResult {
    return this.#index.find(filter) ?? this.#addFound(node, Buffer.byteLength(filter));
  }

  #addFound(node: RouteNode, bytes: number): AddResult {
    const index = this.#index;
    const { number, shapes } = node;
    if (this.#nodes[number] !== node) {
      // Finishing a sweep here would take too long.
      this.#changed();
      return "numbers";
    }
    const known = index.ref;
    if (known !== 0 && this.#setOf(known).has(number)) return "known";
    const shape = index.shape();
    const before = shapes.get(shape);
    if (
      (before === undefined && shapes.size >= MAX_SHAPES_OF_NODE) ||
      (index.shapes.size >= MAX_SHAPES && shape.count === 0)
    ) {
      shape.prune();
      return "shapes";
    }
    shapes.set(shape, (before ?? 0) + 1);
    index.useShape(shape);
    if (known === 0) {
      const ref = index.insert(1);
      index.words(ref)[(ref & WORD_MASK) + 1] = 0xffff_0000 | number;
    } else if (!this.#setOf(known).put(number)) this.#rewrite(known, [...this.#read(known), number]);
    this.#count(node, 1, bytes);
    this.#changed();
    return "added";
  }

  #count(node: RouteNode, routes: number, bytes: number): void {
    node.routes += routes;
    node.bytes += bytes;
    this.size += routes;
    this.filterBytes += bytes;
  }

  /** `false` if there was no such route. */
  delete(filter: string, node: RouteNode): boolean {
    const index = this.#index;
    const { number, shapes } = node;
    if (this.#nodes[number] !== node || index.find(filter) !== undefined || index.ref === 0) return false;
    const ref = index.ref;
    if (!this.#setOf(ref).has(number)) return false;
    const shape = index.shape();
    const left = (shapes.get(shape) as number) - 1;
    if (left === 0) shapes.delete(shape);
    else shapes.set(shape, left);
    index.shapes.delete(shape, 1);
    this.#setOf(ref).take(number);
    this.#shrink(ref);
    this.#count(node, -1, -Buffer.byteLength(filter));
    this.#changed();
    return true;
  }

  /** Deletes its routes. It is not used again. */
  deleteNode(node: RouteNode): void {
    const { number, routes, bytes, shapes } = node;
    node.owner = undefined;
    node.isFree = routes === 0 || number === -1;
    if (this.#nodes[number] !== node) return;
    this.#nodes[number] = undefined;
    // At once: the shapes of all nodes are for live ones.
    for (const [shape, count] of shapes) this.#index.shapes.delete(shape, count);
    this.unswept += routes;
    this.size -= routes;
    this.filterBytes -= bytes;
    // A node without routes is in no record.
    if (routes === 0) this.#free.push(number);
    else this.#waiting.push(node);
  }

  /**
   * Appends the owners that a message to `topic` goes to, each once, in no order; none for an invalid topic.
   */
  match(topic: string, into: string[]): void {
    const index = this.#index;
    const hits = index.match(topic);
    if (hits === 0) return;
    const nodes = this.#nodes;
    const stamps = this.#stamps;
    const stamp = this.#nextStamp();
    for (let hit = 0; hit < hits; hit++) {
      const ref = index.hits[hit] as number;
      const words = index.words(ref);
      const at = ref & WORD_MASK;
      const length = payloadWords(words[at] as number);
      for (let i = 0; i < length; i++) {
        const word = words[at + 1 + i] as number;
        for (let node = word & 0xffff, half = 0; half < 2; half++, node = word >>> 16) {
          if (node === NO_NODE || stamps[node] === stamp) continue;
          stamps[node] = stamp;
          const owner = nodes[node]?.owner;
          if (owner !== undefined) into.push(owner);
        }
      }
    }
  }

  /**
   * Filters with their owners, in no order.
   *
   * @param topic only filters that match it
   */
  list(most: number, topic?: string): { readonly filter: string; readonly nodes: readonly string[] }[] {
    const index = this.#index;
    const refs: number[] = [];
    if (topic !== undefined) refs.push(...index.hits.subarray(0, index.match(topic)));
    else for (let cursor = 0; cursor < WALKED && refs.length < most; ) cursor = index.walk(cursor, refs);
    const routes: { filter: string; nodes: string[] }[] = [];
    for (const ref of refs) {
      if (routes.length >= most) break;
      const nodes = this.#read(ref).flatMap((number) => this.#nodes[number]?.owner ?? []);
      if (nodes.length > 0) routes.push({ filter: index.text(ref), nodes });
    }
    return routes;
  }

  /**
   * Removes deleted nodes from some hundred records.
   *
   * @returns `false` when nothing is left
   */
  sweep(): boolean {
    if (this.#sweeping.length === 0) {
      if (this.#waiting.length === 0) return false;
      this.#sweeping = this.#waiting;
      this.#waiting = [];
      this.#cursor = 0;
    }
    if (this.#generation !== this.#index.generation) {
      this.#generation = this.#index.generation;
      this.#cursor -= this.#cursor % PART;
    }
    const refs = this.#refs;
    refs.length = 0;
    this.#cursor = this.#index.walk(this.#cursor, refs);
    for (const ref of refs) {
      const gone = this.#read(ref).filter((number) => this.#nodes[number] === undefined);
      if (gone.length === 0) continue;
      const set = this.#setOf(ref);
      for (const number of gone) set.take(number);
      this.#shrink(ref);
    }
    this.#index.tidy(256);
    if (this.#cursor < WALKED) return true;
    for (const node of this.#sweeping) {
      this.unswept -= node.routes;
      this.#free.push(node.number);
      node.isFree = true;
    }
    this.#sweeping = [];
    return this.#waiting.length > 0;
  }

  bytes(): number {
    return this.#index.bytes() + this.#stamps.length * 4;
  }

  #setOf(ref: number): NodeSet {
    return this.#set.open(this.#index.words(ref), ref & WORD_MASK);
  }

  /** Deletes a filter without nodes, and shrinks a set that is much too large. */
  #shrink(ref: number): void {
    const nodes = this.#read(ref);
    const { length } = this.#set;
    if (nodes.length === 0) this.#index.delete(ref);
    else if (wordsFor(nodes.length) * 4 <= length) this.#rewrite(ref, nodes);
  }

  #read(ref: number): number[] {
    this.#numbers.length = 0;
    this.#setOf(ref).read(this.#numbers);
    return this.#numbers;
  }

  #rewrite(ref: number, nodes: readonly number[]): void {
    this.#setOf(this.#index.resize(ref, wordsFor(nodes.length))).fill(nodes);
  }

  #nextStamp(): number {
    if (this.#stamp === 0xffff_ffff) {
      this.#stamps.fill(0);
      this.#stamp = 0;
    }
    return ++this.#stamp;
  }

  #changed(): void {
    this.#index.tidy();
    if (this.#sweeping.length + this.#waiting.length === 0) return;
    // More may be left of deleted nodes than one node may have.
    const every = this.unswept > this.#sweepSoonFrom ? 32 : 256;
    if (++this.#calls % every === 0) this.sweep();
  }
}
