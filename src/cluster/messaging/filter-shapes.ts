/**
 * Shapes of a table's filters: which levels are "+", the number of levels, and whether "#" ends them. A tree of them,
 * with the edges "a text", "+" and "#":
 *
 *   a/+/x   b/+/y   a/#          root ─text─> ─┬─ + ─> ─text─> two filters
 *                                              └─ # ─> one filter
 *
 * A match is as deep as the topic, and probes one filter for each shape on its way.
 */
import type { TopicScan } from "./topic-scan.js";

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
