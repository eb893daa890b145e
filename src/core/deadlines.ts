/**
 * Deadlines in O(1): equal durations share one list in the order of expiry. Durations are rounded up to one
 * of eight steps per power of two (at most 12.5 % longer).
 */
import { type Link, LinkedList } from "./collections/linked-list.js";

export interface Due {
  /** Rules' time in ms. */
  deadline: number;
}

export class Deadlines<T extends Due> {
  readonly #lists = new Map<number, LinkedList<T>>();
  /** Most calls repeat the last duration. */
  #duration = Number.NaN;
  #rounded = 0;
  #list = new LinkedList<T>();

  set(link: Link<T>, now: number, duration: number): void {
    if (duration !== this.#duration) this.#select(duration);
    link.value.deadline = now + this.#rounded;
    this.#list.push(link);
  }

  next(): number | undefined {
    let next: number | undefined;
    for (const [duration, list] of this.#lists) {
      const first = list.first;
      if (first === undefined) {
        if (list !== this.#list) this.#lists.delete(duration);
      } else if (next === undefined || first.deadline < next) next = first.deadline;
    }
    return next;
  }

  /** Deadlines may be set during the iteration. */
  *take(now: number): Generator<T, undefined> {
    for (const list of [...this.#lists.values()]) {
      for (let first = list.first; first !== undefined && first.deadline <= now; first = list.first) {
        list.shift();
        yield first;
      }
    }
    return undefined;
  }

  #select(duration: number): void {
    const rounded = roundUp(duration);
    let list = this.#lists.get(rounded);
    if (list === undefined) {
      list = new LinkedList();
      this.#lists.set(rounded, list);
    }
    this.#duration = duration;
    this.#rounded = rounded;
    this.#list = list;
  }
}

function roundUp(duration: number): number {
  if (duration <= 8) return Math.max(1, Math.ceil(duration));
  const step = 2 ** (Math.floor(Math.log2(duration)) - 3);
  return Math.ceil(duration / step) * step;
}
