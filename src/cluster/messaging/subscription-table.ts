/**
 * The subscriptions of a node's own clients: filters → values. The first of a filter begins the node's interest in it;
 * the last one ends it.
 */
import { InvalidStateError } from "../../core/errors.js";
import { MAX_SHAPES_OF_NODE } from "./bounds.js";
import { FilterIndex } from "./filter-index.js";
import { checkFilter } from "./topics.js";

export class SubscriptionTable<T extends string | object> {
  readonly #index = new FilterIndex();
  /** By filter: mostly one. */
  readonly #values = new Map<string, T | Set<T>>();
  readonly #onLast: ((filter: string) => void) | undefined;
  readonly #maxShapes: number;
  size = 0;

  /** @param onLast called when the last subscription of a filter was deleted @param maxShapes of filters */
  constructor(onLast?: (filter: string) => void, maxShapes: number = MAX_SHAPES_OF_NODE) {
    this.#onLast = onLast;
    this.#maxShapes = maxShapes;
  }

  /** Distinct filters. */
  get filters(): number {
    return this.#values.size;
  }

  /**
   * The same value with the same filter counts once.
   *
   * @throws InvalidArgumentError `EINVAL` for an invalid filter
   * @throws InvalidStateError `EFSM` for one more shape of filters than `maxShapes`
   */
  add(filter: string, value: T): void {
    const known = this.#values.get(filter);
    if (known === undefined) {
      this.#insert(filter);
      this.#values.set(filter, value);
    } else if (!(known instanceof Set)) {
      if (known === value) return;
      this.#values.set(filter, new Set([known, value]));
    } else {
      if (known.has(value)) return;
      known.add(value);
    }
    this.size++;
  }

  #insert(filter: string): void {
    const index = this.#index;
    if (index.find(filter) !== undefined) checkFilter(filter);
    const shape = index.shape();
    if (shape.count === 0 && index.shapes.size >= this.#maxShapes) {
      shape.prune();
      throw new InvalidStateError(
        "EFSM",
        `A node's filters have at most ${this.#maxShapes.toLocaleString("en")} shapes: which levels are "+", where "#" is`,
      );
    }
    index.useShape(shape);
    index.insert(0);
  }

  /** `false` if there was no such subscription. */
  delete(filter: string, value: T): boolean {
    const known = this.#values.get(filter);
    if (known instanceof Set ? !known.delete(value) : known !== value) return false;
    this.size--;
    if (known instanceof Set && known.size > 0) return true;
    this.#values.delete(filter);
    const index = this.#index;
    index.find(filter);
    index.shapes.delete(index.shape(), 1);
    index.delete(index.ref);
    index.tidy();
    this.#onLast?.(filter);
    return true;
  }

  /** Appends each matching subscription: a value with two matching filters comes twice. Nothing for an invalid topic. */
  match(topic: string, into: T[]): void {
    const index = this.#index;
    const hits = index.match(topic);
    for (let hit = 0; hit < hits; hit++) {
      const known = this.#values.get(index.text(index.hits[hit] as number)) as T | Set<T>;
      if (known instanceof Set) for (const each of known) into.push(each);
      else into.push(known);
    }
  }

  keys(): Iterable<string> {
    return this.#values.keys();
  }
}
