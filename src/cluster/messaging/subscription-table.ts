/**
 * The subscriptions of a node's own clients: filters → values. The first of a filter begins the node's interest in it;
 * the last one ends it.
 */
import { InvalidStateError } from "../../core/errors.js";
import { MAX_SHAPES_OF_NODE } from "./bounds.js";
import { FilterIndex } from "./filter-index.js";
import { WORD_MASK } from "./record-arena.js";
import { checkFilter } from "./topics.js";

/** The subscriptions of one filter, mostly one. Ages are numbers that grow with each subscription. */
interface Entry<T> {
  readonly filter: string;
  value: T;
  age: number;
  /** Further ones, in order of age. */
  more: Map<T, number> | undefined;
}

export class SubscriptionTable<T> {
  readonly #index = new FilterIndex();
  /** By the payload of the filter's record. */
  readonly #entries: (Entry<T> | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #onLast: ((filter: string) => void) | undefined;
  readonly #maxShapes: number;
  size = 0;
  #nextAge = 0;

  /** @param onLast called when the last subscription of a filter was deleted @param maxShapes of filters */
  constructor(onLast?: (filter: string) => void, maxShapes: number = MAX_SHAPES_OF_NODE) {
    this.#onLast = onLast;
    this.#maxShapes = maxShapes;
  }

  /** Distinct filters. */
  get filters(): number {
    return this.#index.size;
  }

  /**
   * The same value with the same filter counts once.
   *
   * @throws InvalidArgumentError `EINVAL` for an invalid filter
   * @throws InvalidStateError `EFSM` for one more shape of filters than `maxShapes`
   */
  add(filter: string, value: T): void {
    const index = this.#index;
    if (index.find(filter) !== undefined) checkFilter(filter);
    const entry = this.#found();
    if (entry !== undefined) {
      if (entry.value === value || entry.more?.has(value) === true) return;
      entry.more ??= new Map();
      entry.more.set(value, this.#nextAge++);
      this.size++;
      return;
    }
    const shape = index.shape();
    if (shape.count === 0 && index.shapes.size >= this.#maxShapes) {
      shape.prune();
      throw new InvalidStateError(
        "EFSM",
        `A node's filters have at most ${this.#maxShapes.toLocaleString("en")} shapes: which levels are "+", where "#" is`,
      );
    }
    const number = this.#free.pop() ?? this.#entries.length;
    this.#entries[number] = { filter, value, age: this.#nextAge++, more: undefined };
    index.useShape(shape);
    const ref = index.insert(1);
    index.words(ref)[(ref & WORD_MASK) + 1] = number;
    this.size++;
  }

  /** `false` if there was no such subscription. */
  delete(filter: string, value: T): boolean {
    const index = this.#index;
    if (index.find(filter) !== undefined) return false;
    const ref = index.ref;
    const entry = this.#found();
    if (entry === undefined) return false;
    if (entry.value !== value) {
      if (entry.more?.delete(value) !== true) return false;
      this.size--;
      return true;
    }
    this.size--;
    for (const [next, age] of entry.more ?? []) {
      entry.value = next;
      entry.age = age;
      entry.more?.delete(next);
      return true;
    }
    const number = this.#numberOf(ref);
    this.#entries[number] = undefined;
    this.#free.push(number);
    index.shapes.delete(index.shape(), 1);
    index.delete(ref);
    index.tidy();
    this.#onLast?.(filter);
    return true;
  }

  /**
   * Appends each matching subscription, the oldest first: a value with two matching filters comes twice. Nothing for an
   * invalid topic.
   *
   * @returns the number of appended ones
   */
  match(topic: string, into: T[]): number {
    const index = this.#index;
    const hits = index.match(topic);
    if (hits === 0) return 0;
    if (hits === 1) {
      const { value, more } = this.#entryOf(index.hits[0] as number);
      into.push(value);
      if (more !== undefined) for (const other of more.keys()) into.push(other);
      return 1 + (more?.size ?? 0);
    }
    const found: [value: T, age: number][] = [];
    for (let hit = 0; hit < hits; hit++) {
      const { value, age, more } = this.#entryOf(index.hits[hit] as number);
      found.push([value, age]);
      if (more !== undefined) for (const other of more) found.push(other);
    }
    found.sort(([, one], [, other]) => one - other);
    for (const [value] of found) into.push(value);
    return found.length;
  }

  *keys(): IterableIterator<string> {
    for (const entry of this.#entries) if (entry !== undefined) yield entry.filter;
  }

  #found(): Entry<T> | undefined {
    return this.#index.ref === 0 ? undefined : this.#entryOf(this.#index.ref);
  }

  #entryOf(ref: number): Entry<T> {
    return this.#entries[this.#numberOf(ref)] as Entry<T>;
  }

  #numberOf(ref: number): number {
    return this.#index.words(ref)[(ref & WORD_MASK) + 1] as number;
  }
}
