/**
 * The schedule of a world, and the trace of a run. The seed orders simultaneous events of different owners; an owner's
 * keep their order.
 *
 *   at(time, owner) --> queue --its time comes--> run
 *                                 |  owner paused --> its waiting list --resume--> run
 *                                 +  owner gone   --> dropped
 */

import { crc32 } from "node:zlib";
import { Heap } from "../core/collections/queues.js";
import type { Random } from "./random.js";

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

interface Line {
  readonly time: number;
  readonly what: string | (() => string);
}

export class Trace {
  readonly #most: number;
  #lines: Line[] = [];

  /** @param most lines to keep; 0: none */
  constructor(most: number) {
    this.#most = most;
  }

  add(time: number, what: string | (() => string)): void {
    if (this.#most === 0) return;
    if (this.#lines.length >= this.#most) this.#lines = this.#lines.slice(this.#most >> 2);
    this.#lines.push({ time, what });
  }

  get text(): string {
    return this.#lines.map(lineOf).join("\n");
  }
}

function lineOf({ time, what }: Line): string {
  return `${time.toFixed(1).padStart(9)}  ${typeof what === "string" ? what : what()}`;
}

/** FNV-1a over numbers and texts, in two 32-bit halves: fast, and enough to distinguish runs. */
class Digest {
  #a = 0x811c9dc5;
  #b = 0x9747b28c;

  number(value: number): void {
    const whole = Math.floor(value);
    this.#mix(whole | 0);
    this.#mix(Math.round((value - whole) * 1_000_000));
  }

  text(value: string): void {
    for (let i = 0; i < value.length; i++) this.#mix(value.charCodeAt(i));
    this.#mix(value.length);
  }

  bytes(value: Uint8Array): void {
    this.#mix(crc32(value));
    this.#mix(value.length);
  }

  #mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#b = Math.imul(this.#b ^ value, 0x85ebca6b) ^ (this.#b >>> 13);
  }

  toString(): string {
    return [this.#a, this.#b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
