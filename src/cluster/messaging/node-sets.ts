/**
 * Sets of node numbers (0 … 65,534) as the payload of a record, in the smaller form:
 *
 *   LIST   two numbers a word, 0xffff where there is none: one or two nodes are one word
 *   BITS   a bit for each number up to the largest: a hundred nodes are four words
 */
import { payloadKind, payloadWords } from "./filter-index.js";

export const LIST = 0;
export const BITS = 1;

export const NO_NODE = 0xffff;

/** A view of one record's set after another. */
export class NodeSet {
  #words: Uint32Array = new Uint32Array(1);
  /** Where the payload begins, and its words. */
  #at = 0;
  length = 0;
  #isBits = false;

  /** @param words of records @param at the header of one, valid until it is moved */
  open(words: Uint32Array, at: number): this {
    const header = words[at] as number;
    this.#words = words;
    this.#at = at + 1;
    this.length = payloadWords(header);
    this.#isBits = payloadKind(header) === BITS;
    return this;
  }

  has(node: number): boolean {
    const words = this.#words;
    const at = this.#at;
    const { length } = this;
    if (this.#isBits)
      return node >>> 5 < length && (((words[at + (node >>> 5)] as number) >>> (node & 31)) & 1) === 1;
    for (let i = at; i < at + length; i++) {
      const word = words[i] as number;
      if ((word & 0xffff) === node || word >>> 16 === node) return true;
    }
    return false;
  }

  /** Adds a new node; `false`: no room. */
  put(node: number): boolean {
    const words = this.#words;
    const at = this.#at;
    const { length } = this;
    if (this.#isBits) {
      if (node >>> 5 >= length) return false;
      words[at + (node >>> 5)] = (words[at + (node >>> 5)] as number) | (1 << (node & 31));
      return true;
    }
    for (let i = at; i < at + length; i++) {
      const word = words[i] as number;
      if ((word & 0xffff) === NO_NODE) {
        words[i] = (word & 0xffff_0000) | node;
        return true;
      }
      if (word >>> 16 === NO_NODE) {
        words[i] = (word & 0xffff) | (node << 16);
        return true;
      }
    }
    return false;
  }

  /** Removes a node that is there. */
  take(node: number): void {
    const words = this.#words;
    const at = this.#at;
    if (this.#isBits) words[at + (node >>> 5)] = (words[at + (node >>> 5)] as number) & ~(1 << (node & 31));
    else
      for (let i = at; i < at + this.length; i++) {
        const word = words[i] as number;
        if ((word & 0xffff) === node) words[i] = word | 0xffff;
        else if (word >>> 16 === node) words[i] = word | 0xffff_0000;
      }
  }

  /** Replaces the nodes of a new payload, which is 0. */
  fill(nodes: readonly number[]): void {
    if (!this.#isBits) this.#words.fill(0xffff_ffff, this.#at, this.#at + this.length);
    for (const node of nodes) this.put(node);
  }

  read(into: number[]): void {
    for (let i = 0; i < this.length; i++) {
      let word = this.#words[this.#at + i] as number;
      if (this.#isBits) {
        for (; word !== 0; word &= word - 1) into.push(i * 32 + 31 - Math.clz32(word & -word));
      } else {
        if ((word & 0xffff) !== NO_NODE) into.push(word & 0xffff);
        if (word >>> 16 !== NO_NODE) into.push(word >>> 16);
      }
    }
  }
}

/** The form and the words for these nodes, with room for some more in a list. */
export function formOf(nodes: readonly number[]): { kind: number; length: number } {
  let largest = 0;
  for (const node of nodes) if (node > largest) largest = node;
  const bits = (largest >>> 5) + 1;
  let list = 1;
  while (list * 2 < nodes.length) list *= 2;
  return bits <= list ? { kind: BITS, length: bits } : { kind: LIST, length: list };
}
