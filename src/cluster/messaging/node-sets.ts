/**
 * Sets of node numbers (0 … 65,534) as the payload of a record, in the smaller form:
 *
 *   LIST   two numbers a word, 0xffff where there is none: one or two nodes are one word
 *   BITS   a bit for each number up to the largest: a hundred nodes are four words
 *
 * Pure functions over a record's words: `at` is where the payload begins, `length` its words.
 */

export const LIST = 0;
export const BITS = 1;

export const NO_NODE = 0xffff;

export function clearList(words: Uint32Array, at: number, length: number): void {
  words.fill(0xffff_ffff, at, at + length);
}

export function hasNode(words: Uint32Array, at: number, length: number, kind: number, node: number): boolean {
  if (kind === BITS)
    return node >>> 5 < length && (((words[at + (node >>> 5)] as number) >>> (node & 31)) & 1) === 1;
  for (let i = at; i < at + length; i++) {
    const word = words[i] as number;
    if ((word & 0xffff) === node || word >>> 16 === node) return true;
  }
  return false;
}

/** Adds a new node; `false`: no room. */
export function putNode(words: Uint32Array, at: number, length: number, kind: number, node: number): boolean {
  if (kind === BITS) {
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

/** Removes a node; `false`: missing. */
export function takeNode(
  words: Uint32Array,
  at: number,
  length: number,
  kind: number,
  node: number,
): boolean {
  if (!hasNode(words, at, length, kind, node)) return false;
  if (kind === BITS) {
    words[at + (node >>> 5)] = (words[at + (node >>> 5)] as number) & ~(1 << (node & 31));
    return true;
  }
  for (let i = at; i < at + length; i++) {
    const word = words[i] as number;
    if ((word & 0xffff) === node) words[i] = word | 0xffff;
    else if (word >>> 16 === node) words[i] = word | 0xffff_0000;
  }
  return true;
}

/** Removes all nodes whose bits are set in `marks`, which has one for each number; `false`: none was there. */
export function takeMarked(
  words: Uint32Array,
  at: number,
  length: number,
  kind: number,
  marks: Uint32Array,
): boolean {
  let taken = false;
  if (kind === BITS) {
    for (let i = 0; i < length; i++) {
      const word = words[at + i] as number;
      const marked = word & (marks[i] as number);
      if (marked === 0) continue;
      words[at + i] = word ^ marked;
      taken = true;
    }
    return taken;
  }
  for (let i = at; i < at + length; i++) {
    const word = words[i] as number;
    let left = word;
    if (isMarked(marks, word & 0xffff)) left |= 0xffff;
    if (isMarked(marks, word >>> 16)) left |= 0xffff_0000;
    if (left === word) continue;
    words[i] = left;
    taken = true;
  }
  return taken;
}

function isMarked(marks: Uint32Array, node: number): boolean {
  return node !== NO_NODE && (((marks[node >>> 5] as number) >>> (node & 31)) & 1) === 1;
}

export function readNodes(
  words: Uint32Array,
  at: number,
  length: number,
  kind: number,
  into: number[],
): void {
  for (let i = 0; i < length; i++) {
    let word = words[at + i] as number;
    if (kind === BITS) {
      for (; word !== 0; word &= word - 1) into.push(i * 32 + 31 - Math.clz32(word & -word));
    } else {
      if ((word & 0xffff) !== NO_NODE) into.push(word & 0xffff);
      if (word >>> 16 !== NO_NODE) into.push(word >>> 16);
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
