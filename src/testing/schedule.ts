/**
 * The schedule of a world: what is going to happen, in virtual time, and whose it is. Events of one time happen in an
 * order that the seed chooses among their owners; those of one owner keep theirs.
 *
 *   at(time, owner) --> queue --its time comes--> run
 *                                 |  owner stands still --> its waiting list --resume--> run
 *                                 +  owner is gone      --> forgotten
 */
import { EventQueue } from "./event-queue.js";
import type { Random } from "./random.js";
import { Digest, Trace } from "./trace.js";

/** A process, as the schedule sees it. */
export interface Owner {
  readonly name: string;
  /** Differs between owners: orders what happens at one time. */
  readonly rank: number;
  /** It has ended: nothing of it happens any more. */
  readonly gone: boolean;
  /** Its events while it stands still; `undefined`: it runs. */
  readonly waiting: Event[] | undefined;
  /** Runs a function as the owner. What it throws is the owner's failure. */
  run(what: () => void): void;
}

export interface Event {
  readonly time: number;
  readonly rank: number;
  readonly order: number;
  readonly owner: Owner | undefined;
  readonly kind: string;
  /** `undefined`: it was prevented, or has happened. */
  run: (() => void) | undefined;
}

export class Schedule {
  /** What chooses latencies and losses. */
  readonly random: Random;
  readonly digest = new Digest();
  readonly #trace: Trace;
  readonly #queue = new EventQueue<Event>();
  #now = 0;
  #order = 0;
  #events = 0;

  constructor(random: Random, traceLines: number) {
    this.random = random;
    this.#trace = new Trace(traceLines);
  }

  /** ms since the world began. */
  get now(): number {
    return this.#now;
  }

  /** Events that have happened. */
  get events(): number {
    return this.#events;
  }

  get trace(): string {
    return this.#trace.text;
  }

  /** Nothing is going to happen. */
  get isEmpty(): boolean {
    return this.#queue.first === undefined;
  }

  /** Adds a line to the trace. */
  note(what: string): void {
    this.digest.text(what);
    this.#trace.add(this.#now, what);
  }

  /** @param kind what it is, for the digest */
  at(time: number, owner: Owner | undefined, kind: string, run: () => void): Event {
    const at = Math.max(time, this.#now);
    // The same for all events that an owner has at a time, so that they keep their order.
    const rank = owner === undefined ? 0 : Math.imul(owner.rank ^ Math.floor(at * 1_024), 0x9e3779b1) >>> 0;
    const event: Event = { time: at, rank, order: this.#order++, owner, kind, run };
    this.#queue.push(event);
    return event;
  }

  /** Runs something as an owner now, or when it goes on. */
  runAs(owner: Owner, kind: string, run: () => void): void {
    if (owner.gone) return;
    if (owner.waiting === undefined) owner.run(run);
    else owner.waiting.push({ time: this.#now, rank: 0, order: this.#order++, owner, kind, run });
  }

  /** What an owner had waiting happens now, unless it is prevented: by what happens before it, too. */
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

  /** Lets the next thing happen, if it happens by `until`. @returns whether there was one */
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
