/** A binary heap of future events, by time, rank, creation. */

export interface Happening {
  /** ms since the world began. */
  readonly time: number;
  readonly rank: number;
  readonly order: number;
  /** `undefined`: cancelled. */
  run: (() => void) | undefined;
}

export class EventQueue<H extends Happening = Happening> {
  readonly #heap: H[] = [];

  get size(): number {
    return this.#heap.length;
  }

  get first(): H | undefined {
    return this.#heap[0];
  }

  push(happening: H): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(happening);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(happening, heap[parent] as H)) break;
      heap[index] = heap[parent] as H;
      index = parent;
    }
    heap[index] = happening;
  }

  pop(): H | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop() as H;
    if (heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as H, heap[child] as H)) child++;
      if (!before(heap[child] as H, last)) break;
      heap[index] = heap[child] as H;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function before(a: Happening, b: Happening): boolean {
  if (a.time !== b.time) return a.time < b.time;
  return a.rank !== b.rank ? a.rank < b.rank : a.order < b.order;
}
