/**
 * The schedule of a world, and the trace of a run. The seed orders simultaneous events of different owners; an owner's
 * keep their order.
 *
 *   at(time, owner) --> queue --its time comes--> run
 *                                 |  owner paused --> its waiting list --resume--> run
 *                                 +  owner gone   --> dropped
 */
import { Heap } from "../core/collections/heap.js";
import type { Random } from "./random.js";
import { Digest, Trace } from "./trace.js";

/** Future events, by time, rank, creation. */
export interface Happening {
  /** ms since the world began. */
  readonly time: number;
  readonly rank: number;
  readonly order: number;
  /** `undefined`: cancelled or past. */
  run: (() => void) | undefined;
}

/** The order of a queue of events. */
export function before(a: Happening, b: Happening): boolean {
  if (a.time !== b.time) return a.time < b.time;
  return a.rank !== b.rank ? a.rank < b.rank : a.order < b.order;
}

export interface Owner {
  readonly name: string;
  /** Unique; orders simultaneous events. */
  readonly rank: number;
  readonly gone: boolean;
  /** Its events while paused. */
  readonly waiting: Event[] | undefined;
  run(what: () => void): void;
}

export interface Event extends Happening {
  readonly owner: Owner | undefined;
  readonly kind: string;
}

export class Schedule {
  readonly random: Random;
  readonly digest = new Digest();
  readonly #trace: Trace;
  readonly #queue = new Heap<Event>(before);
  #now = 0;
  #order = 0;
  #events = 0;

  constructor(random: Random, traceLines: number) {
    this.random = random;
    this.#trace = new Trace(traceLines);
  }

  get now(): number {
    return this.#now;
  }

  get events(): number {
    return this.#events;
  }

  get trace(): string {
    return this.#trace.text;
  }

  get isEmpty(): boolean {
    return this.#queue.first === undefined;
  }

  note(what: string): void {
    this.digest.text(what);
    this.#trace.add(this.#now, what);
  }

  at(time: number, owner: Owner | undefined, kind: string, run: () => void): Event {
    const at = Math.max(time, this.#now);
    // Equal for an owner's events of one time.
    const rank = owner === undefined ? 0 : Math.imul(owner.rank ^ Math.floor(at * 1_024), 0x9e3779b1) >>> 0;
    const event: Event = { time: at, rank, order: this.#order++, owner, kind, run };
    this.#queue.push(event);
    return event;
  }

  /** Runs as an owner, now or when it resumes. */
  runAs(owner: Owner, kind: string, run: () => void): void {
    if (owner.gone) return;
    if (owner.waiting === undefined) owner.run(run);
    else owner.waiting.push({ time: this.#now, rank: 0, order: this.#order++, owner, kind, run });
  }

  /** One event may cancel another. */
  release(events: readonly Event[]): void {
    for (const event of events) {
      if (event.run === undefined) continue;
      this.at(this.#now, event.owner, event.kind, () => {
        const { run } = event;
        event.run = undefined;
        run?.();
      });
    }
  }

  /** Runs the next event due by `until`. @returns whether there was one */
  step(until: number): boolean {
    for (;;) {
      const event = this.#queue.first;
      if (event === undefined || event.time > until) return false;
      this.#queue.pop();
      const { run, owner } = event;
      if (run === undefined || owner?.gone === true) continue;
      this.#now = event.time;
      if (owner?.waiting !== undefined) {
        owner.waiting.push(event);
        continue;
      }
      event.run = undefined;
      this.#events += 1;
      this.digest.number(event.time);
      this.digest.text(event.kind);
      if (owner === undefined) run();
      else {
        this.digest.text(owner.name);
        owner.run(run);
      }
      return true;
    }
  }
}
