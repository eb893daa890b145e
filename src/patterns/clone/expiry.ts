/**
 * When ephemeral keys end: a heap by time. A key that was set again has another
 * deadline, and its old one is skipped when it comes up, or when the old ones are
 * more than the others.
 */
import type { CloneTable } from "./table.js";

/** Old deadlines that may stay beside as many others. */
const SLACK = 1_024;

interface Deadline {
  readonly time: number;
  readonly id: number;
  /** Of the update that set it: another one means that the deadline is old. */
  readonly sequence: number;
}

export class Expiry {
  readonly #table: CloneTable;
  #heap: Deadline[] = [];
  /** The deadline of each ephemeral key, by id. */
  readonly #times = new Map<number, Deadline>();

  constructor(table: CloneTable) {
    this.#table = table;
  }

  /** Ephemeral keys. */
  get size(): number {
    return this.#times.size;
  }

  /** A key was set. @param time when it ends; 0: never */
  set(id: number, time: number): void {
    if (time === 0) {
      if (this.#times.size > 0) this.#times.delete(id);
      return;
    }
    const deadline = { time, id, sequence: this.#table.sequence(id) };
    this.#times.set(id, deadline);
    this.#push(deadline);
    if (this.#heap.length > 2 * this.#times.size + SLACK) this.#rebuild();
  }

  /** A key is gone. */
  remove(id: number): void {
    if (this.#times.size > 0) this.#times.delete(id);
  }

  /** When a key ends; 0: never. */
  timeOf(id: number): number {
    return this.#times.get(id)?.time ?? 0;
  }

  next(): number | undefined {
    this.#skipOld();
    return this.#heap[0]?.time;
  }

  /** The keys that are due, at most `max`. They are told once, and known no more: {@link set} has one told again. */
  due(now: number, max: number): number[] {
    const ids: number[] = [];
    for (;;) {
      this.#skipOld();
      const first = this.#heap[0];
      if (first === undefined || first.time > now || ids.length >= max) return ids;
      this.#pop();
      this.#times.delete(first.id);
      ids.push(first.id);
    }
  }

  clear(): void {
    this.#heap = [];
    this.#times.clear();
  }

  #skipOld(): void {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#times.get(first.id) === first) return;
      this.#pop();
    }
  }

  #rebuild(): void {
    this.#heap = [];
    for (const deadline of this.#times.values()) this.#push(deadline);
  }

  #push(deadline: Deadline): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(deadline);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as Deadline).time <= deadline.time) break;
      heap[at] = heap[parent] as Deadline;
      at = parent;
    }
    heap[at] = deadline;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Deadline;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Deadline).time < (heap[child] as Deadline).time)
        child += 1;
      if ((heap[child] as Deadline).time >= last.time) break;
      heap[at] = heap[child] as Deadline;
      at = child;
    }
    heap[at] = last;
  }
}
