/**
 * Who hands a change on to whom. All nodes that take part stand in a ring, ordered by id. A node that hands on to the part of the
 * ring between itself and `until` sends to those 1, 2, 4, 8 … places further, each of which hands on to the part up to the next
 * one. So a change reaches N nodes after log2(N) steps at most, each node gets it once, and each has log2(N) nodes that it ever
 * sends to, whatever the change's origin is: the broadcast of Chord.
 *
 * Up to `DIRECT` nodes, a node sends to all others by itself.
 */
import { ROUTE_DIRECT } from "./bounds.js";

/** One that a change is sent to, and the place before which the part that it hands on to ends; `undefined`: it hands on to nobody. */
export interface RingTarget {
  readonly id: string;
  readonly until: string | undefined;
  /** Nodes that it stands for, itself included. */
  readonly count: number;
}

export class RouteRing {
  /** This node's, and those of the others that take part, sorted. */
  readonly #ids: string[];
  readonly #self: string;

  constructor(self: string) {
    this.#self = self;
    this.#ids = [self];
  }

  /** Without this node. */
  get others(): number {
    return this.#ids.length - 1;
  }

  /** Whether changes are sent to all by their origin. */
  get isDirect(): boolean {
    return this.others <= ROUTE_DIRECT;
  }

  add(id: string): void {
    const at = this.#placeOf(id);
    if (this.#ids[at] !== id) this.#ids.splice(at, 0, id);
  }

  delete(id: string): void {
    const at = this.#placeOf(id);
    if (this.#ids[at] === id && id !== this.#self) this.#ids.splice(at, 1);
  }

  /** The one so many places further. */
  after(places: number): string {
    return this.#ids[(this.#placeOf(this.#self) + places) % this.#ids.length] as string;
  }

  /** Places that this node sends to: 1, 2, 4 …, or all. */
  get fingers(): number {
    return this.isDirect ? this.others : Math.floor(Math.log2(this.others)) + 1;
  }

  /** @param index below `fingers` */
  finger(index: number): string {
    return this.after(this.isDirect ? index + 1 : 2 ** index);
  }

  hasFinger(id: string): boolean {
    if (this.isDirect) return true;
    const { length } = this.#ids;
    const places = (this.#placeOf(id) - this.#placeOf(this.#self) + length) % length;
    return (places & (places - 1)) === 0;
  }

  /** Nodes of the part between this node and `until`, without both. */
  between(until: string): number {
    const { length } = this.#ids;
    const places = (this.#placeOf(until) - this.#placeOf(this.#self) + length) % length;
    // Its own place: the whole ring. One that is not in the ring stands before the place that it would have.
    return (places === 0 ? length : places) - 1;
  }

  /**
   * To whom a change goes, for the part of the ring up to `until`; with the own id: the whole.
   *
   * @param takes sends it, and returns whether the one took it; the next one in the ring stands in for one that did not
   * @returns how many nodes get it from nobody
   */
  spread(until: string, takes: (target: RingTarget) => boolean): number {
    const count = this.between(until);
    let missing = 0;
    if (until === this.#self && this.isDirect) {
      for (let i = 1; i <= count; i++)
        if (!takes({ id: this.after(i), until: undefined, count: 1 })) missing += 1;
      return missing;
    }
    for (let first = 1; first <= count; first *= 2) {
      const next = Math.min(2 * first, count + 1);
      const end = next > count ? until : this.after(next);
      missing += this.#spreadPart(first, next, end, takes);
    }
    return missing;
  }

  #spreadPart(first: number, next: number, end: string, takes: (target: RingTarget) => boolean): number {
    for (let at = first; at < next; at++) {
      const left = next - at;
      if (takes({ id: this.after(at), until: left === 1 ? undefined : end, count: left })) return at - first;
    }
    return next - first;
  }

  #placeOf(id: string): number {
    let [low, high] = [0, this.#ids.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ids[middle] as string) < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
