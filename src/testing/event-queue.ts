/** Future events, by time, rank, creation. */
import { Heap } from "../core/collections/heap.js";

export interface Happening {
  /** ms since the world began. */
  readonly time: number;
  readonly rank: number;
  readonly order: number;
  /** `undefined`: cancelled. */
  run: (() => void) | undefined;
}

export class EventQueue<H extends Happening = Happening> extends Heap<H> {
  constructor() {
    super(before);
  }
}

function before(a: Happening, b: Happening): boolean {
  if (a.time !== b.time) return a.time < b.time;
  return a.rank !== b.rank ? a.rank < b.rank : a.order < b.order;
}
