/**
 * A world with a time of its own: things happen at times, in an order that a seed
 * repeats, and everything that happened can be read afterwards.
 */
import type { Random } from "./random.js";

interface Happening {
  readonly time: number;
  /** The order of what happens at one time. */
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

interface Line {
  readonly time: number;
  readonly what: string | (() => string);
}

/** Lines of a trace that are kept. */
const MAX_TRACE = 2_000;

/** Happenings of one run; more means that the rules chase their own tail. */
const MAX_STEPS = 200_000;

export class Simulation {
  readonly random: Random;
  readonly #trace: Line[] = [];
  /** A binary heap by time, then order. */
  readonly #heap: Happening[] = [];
  #now = 0;
  #order = 0;

  constructor(random: Random) {
    this.random = random;
  }

  /** ms since the world began. */
  get now(): number {
    return this.#now;
  }

  get trace(): string {
    const text = ({ time, what }: Line): string =>
      `${time.toFixed(1).padStart(9)}  ${typeof what === "string" ? what : what()}`;
    return this.#trace.map(text).join("\n");
  }

  /** Writes a line into the trace; one that is costly to write is a function, called when somebody reads it. */
  note(what: string | (() => string)): void {
    if (this.#trace.length >= MAX_TRACE) this.#trace.splice(0, MAX_TRACE / 4);
    this.#trace.push({ time: this.#now, what });
  }

  /** Lets time pass until something holds, looked at each `step` ms, or `until`. @returns whether it holds */
  runUntil(holds: () => boolean, until: number, step = 100): boolean {
    while (!holds() && this.#now < until) this.run(Math.min(this.#now + step, until));
    return holds();
  }

  /** Lets something happen at a time, or now if that is past. @returns call it to prevent it */
  at(time: number, run: () => void): () => void {
    const happening = { time: Math.max(time, this.#now), order: this.#order++, run, cancelled: false };
    this.#push(happening);
    return () => {
      happening.cancelled = true;
    };
  }

  /** The same, `delay` ms from now. */
  after(delay: number, run: () => void): () => void {
    return this.at(this.#now + delay, run);
  }

  /** Lets time pass up to `until`. */
  run(until: number): void {
    for (let steps = 0; ; steps++) {
      const head = this.#heap[0];
      if (head === undefined || head.time > until) break;
      if (steps > MAX_STEPS) throw new Error(`More than ${MAX_STEPS} happenings before ${until} ms`);
      this.#pop();
      if (head.cancelled) continue;
      this.#now = head.time;
      head.run();
    }
    this.#now = Math.max(this.#now, until);
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(happening);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(happening, heap[parent] as Happening)) break;
      heap[index] = heap[parent] as Happening;
      index = parent;
    }
    heap[index] = happening;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Happening;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Happening, heap[child] as Happening)) child++;
      if (!before(heap[child] as Happening, last)) break;
      heap[index] = heap[child] as Happening;
      index = child;
    }
    heap[index] = last;
  }
}

function before(a: Happening, b: Happening): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
