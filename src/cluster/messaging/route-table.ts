/**
 * Which nodes are interested in which topics: filters → nodes. What a publisher looks up for each message.
 */
import { filterFault, matches, type TopicFault } from "./topics.js";

/** What came of adding a route. */
export type AddResult =
  /** It is new. */
  | "added"
  /** It was there. */
  | "known"
  /** Refused: not a filter. */
  | TopicFault
  /** Refused: more shapes of filters than a node, or all of them, may have (`MAX_SHAPES_OF_NODE`, `MAX_SHAPES`). */
  | "shapes";

/**
 * Routes: pairs of a filter and a node. A node is a small whole number (0 … 65,535) that the caller gives out.
 * Nothing here throws, whatever filters come from peers.
 */
export class RouteTable {
  readonly #routes = new Map<string, Set<number>>();
  #size = 0;

  /** Routes: a filter of three nodes counts three times. */
  get size(): number {
    return this.#size;
  }

  /** Filters, each once. */
  get filters(): number {
    return this.#routes.size;
  }

  add(filter: string, node: number): AddResult {
    const fault = filterFault(filter);
    if (fault !== undefined) return fault;
    const nodes = this.#routes.get(filter);
    if (nodes === undefined) this.#routes.set(filter, new Set([node]));
    else if (nodes.has(node)) return "known";
    else nodes.add(node);
    this.#size++;
    return "added";
  }

  /** `false` where there was no such route. */
  delete(filter: string, node: number): boolean {
    const nodes = this.#routes.get(filter);
    if (nodes?.delete(node) !== true) return false;
    if (nodes.size === 0) this.#routes.delete(filter);
    this.#size--;
    return true;
  }

  /** Takes all routes of a node away; how many there were. The number may be given to another node at once. */
  deleteNode(node: number): number {
    let deleted = 0;
    for (const filter of this.#routes.keys()) if (this.delete(filter, node)) deleted++;
    return deleted;
  }

  has(filter: string, node: number): boolean {
    return this.#routes.get(filter)?.has(node) === true;
  }

  /** Routes of one node. */
  sizeOf(node: number): number {
    let count = 0;
    for (const nodes of this.#routes.values()) if (nodes.has(node)) count++;
    return count;
  }

  /**
   * Appends the nodes that a message to `topic` goes to, each once, in no order. A text that is not a topic has none.
   *
   * @returns how many were appended
   */
  match(topic: string, into: number[]): number {
    const found = new Set<number>();
    for (const [filter, nodes] of this.#routes) {
      if (matches(filter, topic)) for (const node of nodes) found.add(node);
    }
    into.push(...found);
    return found.size;
  }

  /**
   * The filters of one node, in no order. Routes may be added and deleted between two steps: a filter that is there from
   * the first step to the last comes exactly once; others once or not at all.
   */
  *filtersOf(node: number): IterableIterator<string> {
    for (const [filter, nodes] of this.#routes) if (nodes.has(node)) yield filter;
  }

  /** Memory of the table, about. */
  bytes(): number {
    let bytes = 0;
    for (const [filter, nodes] of this.#routes) bytes += 200 + filter.length + nodes.size * 16;
    return bytes;
  }
}
