/**
 * Topics and filters as tables compare them: bytes and levels, each level with a hash, and the shapes of filters.
 *
 *   sensors/+/temperature   levels 3, starts 0 8 10 22, hashes h("sensors") h("+") h("temperature")
 *
 * The hash of a filter is made of those of its levels ({@link combine}): a topic's hash with some levels replaced by "+"
 * needs no second pass. Levels are hashed with a random seed, since peers choose topics.
 */
import { Buffer } from "node:buffer";
import { randomSeed, seededHash } from "../../core/bytes.js";
import { MAX_TOPIC, MAX_TOPIC_LEVELS } from "./bounds.js";
import { filterFault, type TopicFault, topicFault } from "./topics.js";

export const SLASH = 0x2f;
export const PLUS = 0x2b;
export const HASH = 0x23;

const ENCODER = new TextEncoder();

/** A topic or filter as bytes and levels. Reused for one after another. */
export class TopicScan {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1_024);
  /** The last word is padded with 0. */
  words: Uint32Array<ArrayBuffer> = new Uint32Array(this.bytes.buffer);
  length = 0;
  levels = 0;
  /** Start of each level; one more, as if another followed. */
  readonly starts = new Uint32Array(MAX_TOPIC_LEVELS + 1);
  readonly hashes = new Int32Array(MAX_TOPIC_LEVELS);
  readonly plusHash: number;
  readonly tailHash: number;
  readonly #seed = randomSeed();

  constructor() {
    this.plusHash = seededHash(Uint8Array.of(PLUS), this.#seed);
    this.tailHash = seededHash(Uint8Array.of(HASH), this.#seed);
  }

  topic(text: string): TopicFault | undefined {
    if (!this.#copy(text)) return topicFault(text) ?? this.#encode(text);
    const wild = this.#hash(this.bytes, 0, this.length);
    return wild === 0 ? undefined : topicFault(text);
  }

  filter(text: string): TopicFault | undefined {
    if (!this.#copy(text)) return filterFault(text) ?? this.#encode(text);
    const wild = this.#hash(this.bytes, 0, this.length);
    // Shared subscriptions begin with "$", and wildcards may be misplaced: the slow check decides.
    return wild === 0 && this.bytes[0] !== 0x24 ? undefined : filterFault(text);
  }

  /** Reads a known filter: a record's text. */
  record(bytes: Uint8Array, start: number, end: number): void {
    this.#hash(bytes, start, end);
  }

  /** Not for records. */
  isPlus(level: number): boolean {
    return this.hashes[level] === this.plusHash && this.bytes[this.starts[level] as number] === PLUS;
  }

  /** Whether the last level is "#"; not for records. */
  isTail(): boolean {
    return this.bytes[this.length - 1] === HASH;
  }

  hashOfLevels(): number {
    let hash = 0;
    for (let i = 0; i < this.levels; i++) hash = combine(hash, this.hashes[i] as number);
    return hash;
  }

  /** `false` for text that is empty, long, or has NUL or a character that is not ASCII. */
  #copy(text: string): boolean {
    if (typeof text !== "string") return false;
    const length = text.length;
    if (length === 0 || length > MAX_TOPIC) return false;
    this.#grow(length);
    this.length = length;
    const bytes = this.bytes;
    if (length > 64) {
      // A loop copies fewer characters faster than a native call.
      // Every other character has more bytes than it is long.
      const { read, written } = ENCODER.encodeInto(text, bytes.subarray(0, length));
      return read === length && written === length && !text.includes("\0");
    }
    let all = 0;
    for (let i = 0; i < length; i++) {
      const character = text.charCodeAt(i);
      // All bits above the seventh, and the sign where the character is 0.
      all |= character | (character - 1);
      bytes[i] = character;
    }
    return all >>> 7 === 0;
  }

  /** For valid text that `#copy` refuses. */
  #encode(text: string): undefined {
    this.#grow(Buffer.byteLength(text));
    this.length = ENCODER.encodeInto(text, this.bytes).written;
    this.#hash(this.bytes, 0, this.length);
  }

  #grow(length: number): void {
    if (length > this.bytes.length) {
      this.bytes = new Uint8Array(MAX_TOPIC + 1);
      this.words = new Uint32Array(this.bytes.buffer);
    }
    this.words[(length - 1) >>> 2] = 0;
  }

  /** Splits into levels and hashes each; not 0 for a wildcard or too many levels. */
  #hash(bytes: Uint8Array, start: number, end: number): number {
    const { starts, hashes } = this;
    let levels = 0;
    let wild = 0;
    let from = start;
    starts[0] = 0;
    for (let i = start; i <= end; i++) {
      const byte = i === end ? SLASH : (bytes[i] as number);
      if (byte === PLUS || byte === HASH) wild = 1;
      if (byte !== SLASH) continue;
      if (levels === MAX_TOPIC_LEVELS) return 1;
      hashes[levels++] = seededHash(bytes, this.#seed, from, i);
      from = i + 1;
      starts[levels] = from - start;
    }
    this.levels = levels;
    return wild;
  }
}

/** The hash of some levels, and one more. Never 0, an empty place of a table. */
export function combine(before: number, level: number): number {
  const mixed = Math.imul(((before << 13) | (before >>> 19)) ^ level, 0x9e37_79b1);
  const hash = mixed ^ (mixed >>> 15);
  return hash === 0 ? 1 : hash;
}

/** Which levels of a filter are "+", how many there are, and whether "#" ends them. */
export class Shape {
  readonly #parent: Shape | undefined;
  readonly #edge: "text" | "plus" | "tail";
  text: Shape | undefined = undefined;
  plus: Shape | undefined = undefined;
  tail: Shape | undefined = undefined;
  /** Filters that end here; in a table of routes once for each node. */
  count = 0;
  /** While there are some: of each level but "#", whether it is "+"; and whether all levels are texts. */
  pluses: readonly boolean[] = [];
  isPlain = false;

  constructor(parent?: Shape, edge: "text" | "plus" | "tail" = "text") {
    this.#parent = parent;
    this.#edge = edge;
  }

  get isTail(): boolean {
    return this.#edge === "tail";
  }

  child(edge: "text" | "plus" | "tail"): Shape {
    const child = this[edge] ?? new Shape(this, edge);
    this[edge] = child;
    return child;
  }

  begin(): void {
    const pluses: boolean[] = [];
    for (let at: Shape = this; at.#parent !== undefined; at = at.#parent)
      if (!at.isTail) pluses.unshift(at.#edge === "plus");
    this.pluses = pluses;
    this.isPlain = !this.isTail && !pluses.includes(true);
  }

  /** Leaves the tree if no filter ends here or below, and so do such shapes above it. */
  prune(): void {
    const parent = this.#parent;
    if (parent === undefined || this.count > 0 || (this.text ?? this.plus ?? this.tail) !== undefined) return;
    parent[this.#edge] = undefined;
    parent.prune();
  }
}

/**
 * Shapes of a table's filters: a tree with the edges "a text", "+" and "#".
 *
 *   a/+/x   b/+/y   a/#          root ─text─> ─┬─ + ─> ─text─> two filters
 *                                              └─ # ─> one filter
 *
 * A match is as deep as the topic, and probes one filter for each shape on its way.
 */
export class FilterShapes {
  readonly root = new Shape();
  /** Shapes that have filters. */
  size = 0;

  /** The shape of a filter, perhaps new. */
  of(filter: TopicScan): Shape {
    const last = filter.isTail() ? filter.levels - 1 : -1;
    let shape = this.root;
    for (let level = 0; level < filter.levels; level++)
      shape = shape.child(level === last ? "tail" : filter.isPlus(level) ? "plus" : "text");
    return shape;
  }

  add(shape: Shape): void {
    if (shape.count === 0) {
      this.size++;
      shape.begin();
    }
    shape.count += 1;
  }

  delete(shape: Shape, count: number): void {
    shape.count -= count;
    if (shape.count > 0) return;
    this.size--;
    shape.prune();
  }
}
