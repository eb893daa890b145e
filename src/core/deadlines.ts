/**
 * Many deadlines, in O(1) each: those that are equally far away stand in one
 * list, in the order in which they come due. Durations are rounded up to one of
 * eight steps to a power of two (at most 12.5 % longer), so there are few lists.
 */
import { type Link, LinkedList } from "./collections/linked-list.js";

/** What has a deadline. */
export interface Due {
  /** When, in the rules' time. */
  deadline: number;
}

export class Deadlines<T extends Due> {
  readonly #lists = new Map<number, LinkedList<T>>();
  /** The duration that was set last, and its list: most have the same, and to round it again costs more than all else here. */
  #duration = Number.NaN;
  #rounded = 0;
  #list = new LinkedList<T>();

  /** Sets the deadline of the link's value to `duration` ms from now; one set before is forgotten. */
  set(link: Link<T>, now: number, duration: number): void {
    if (duration !== this.#duration) this.#select(duration);
    link.value.deadline = now + this.#rounded;
    this.#list.push(link);
  }

  /** The next deadline of all. */
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

  /** Takes out what is due; the caller may set deadlines meanwhile. */
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
