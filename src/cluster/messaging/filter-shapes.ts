/**
 * Shapes of a table's filters: which levels are "+", the number of levels, and whether "#" ends them. A tree of them,
 * with the edges "a text" and "+":
 *
 *   a/+/x   b/+/y   a/#          root ─text→ 1 (tails 1) ─+→ 2 ─text→ 3 (ends 2)
 *
 * `ends` counts filters that end there, `tails` those with "#" after it, in a table of routes once for each node. A
 * match is as deep as the topic, and probes one filter for each shape on its way.
 */

/** No such child: no node has the root as child. */
const NONE = 0;
const FIRST_ROOM = 64;
/** A bit for each of `MAX_TOPIC_LEVELS`. */
export const MASK_WORDS = 4;

export class FilterShapes {
  /** Children by a text, and by "+". */
  text = new Int32Array(FIRST_ROOM);
  plus = new Int32Array(FIRST_ROOM);
  ends = new Uint32Array(FIRST_ROOM);
  tails = new Uint32Array(FIRST_ROOM);
  #parent = new Int32Array(FIRST_ROOM);
  /** Number of levels up to a node, and `MASK_WORDS` words of it with a bit for each level that is "+". */
  levels = new Uint8Array(FIRST_ROOM);
  masks = new Int32Array(MASK_WORDS * FIRST_ROOM);
  /** Number of levels up to a node that are "+". */
  #pluses = new Uint8Array(FIRST_ROOM);
  #next = 1;
  #free: number[] = [];
  size = 0;

  makeChild(node: number, isPlus: boolean): number {
    const known = (isPlus ? this.plus : this.text)[node] as number;
    if (known !== NONE) return known;
    const made = this.#free.pop() ?? this.#append();
    // Perhaps grown by now.
    (isPlus ? this.plus : this.text)[node] = made;
    this.#parent[made] = node;
    const level = this.levels[node] as number;
    this.levels[made] = level + 1;
    this.masks.copyWithin(MASK_WORDS * made, MASK_WORDS * node, MASK_WORDS * (node + 1));
    const word = MASK_WORDS * made + (level >>> 5);
    if (isPlus) this.masks[word] = (this.masks[word] as number) | (1 << level);
    this.#pluses[made] = (this.#pluses[node] as number) + (isPlus ? 1 : 0);
    return made;
  }

  add(node: number, tail: boolean): void {
    const counts = tail ? this.tails : this.ends;
    const before = counts[node] as number;
    counts[node] = before + 1;
    if (before === 0) this.size++;
  }

  /** Nodes without a shape below are freed. */
  delete(node: number, tail: boolean, count: number): void {
    const counts = tail ? this.tails : this.ends;
    const left = (counts[node] as number) - count;
    counts[node] = left;
    if (left === 0) {
      this.size--;
      this.prune(node);
    }
  }

  /** Frees a node without a shape below, and such nodes above it. */
  prune(node: number): void {
    let at = node;
    while (at !== 0 && this.ends[at] === 0 && this.tails[at] === 0) {
      if (this.text[at] !== NONE || this.plus[at] !== NONE) return;
      const parent = this.#parent[at] as number;
      if (this.text[parent] === at) this.text[parent] = NONE;
      else this.plus[parent] = NONE;
      this.#free.push(at);
      at = parent;
    }
  }

  /** Whether the levels up to a node are all texts. */
  isText(node: number): boolean {
    return this.#pluses[node] === 0;
  }

  bytes(): number {
    return (
      this.text.byteLength * 5 + this.masks.byteLength + this.levels.byteLength * 2 + this.#free.length * 8
    );
  }

  #append(): number {
    if (this.#next === this.text.length) {
      this.text = doubled(this.text);
      this.plus = doubled(this.plus);
      this.#parent = doubled(this.#parent);
      this.levels = doubled(this.levels);
      this.masks = doubled(this.masks);
      this.#pluses = doubled(this.#pluses);
      this.ends = doubled(this.ends);
      this.tails = doubled(this.tails);
    }
    return this.#next++;
  }
}

export function doubled<A extends { readonly length: number; set(from: A): void }>(array: A): A {
  const copy = new (array.constructor as new (length: number) => A)(array.length * 2);
  copy.set(array);
  return copy;
}
