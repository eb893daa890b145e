/**
 * Virtual time for pure rules: a seed repeats the order of events, and a trace records them. Synchronous; world.ts is
 * for programs.
 */
import { Heap } from "../core/collections/heap.js";
import type { Random } from "./random.js";
import { before, type Happening, Trace } from "./schedule.js";

const MAX_TRACE = 2_000;

const MAX_EVENTS = 200_000;

export interface SimulationOptions {
  /** Most events of one `run`. Default 200,000. */
  readonly maxEvents?: number;
  /** Last lines of the trace to keep. Default 2,000; 0, which is fastest: none. */
  readonly traceLines?: number;
}

/**
 * A schedule in virtual time, for rules that take the time as an argument.
 *
 * @example
 * ```ts
 * import { Random, Simulation } from "shoal/testing";
 *
 * const simulation = new Simulation(new Random(7));
 * let rung = false;
 * simulation.after(60_000, () => {
 *   rung = true;
 * });
 * console.log(simulation.runUntil(() => rung, 100_000), simulation.now); // true 60000
 * ```
 */
export class Simulation {
  readonly random: Random;
  readonly #queue = new Heap<Happening>(before);
  readonly #trace: Trace;
  readonly #maxEvents: number;
  #now = 0;
  #order = 0;
  #events = 0;

  constructor(random: Random, { maxEvents = MAX_EVENTS, traceLines = MAX_TRACE }: SimulationOptions = {}) {
    this.random = random;
    this.#maxEvents = maxEvents;
    this.#trace = new Trace(traceLines);
  }

  /** ms since the simulation began. */
  get now(): number {
    return this.#now;
  }

  get events(): number {
    return this.#events;
  }

  get trace(): string {
    return this.#trace.text;
  }

  /** Adds a line to the trace; a function is called only for reading. */
  note(what: string | (() => string)): void {
    this.#trace.add(this.#now, what);
  }

  /** Advances time until a condition, checked every `step` ms, holds, or to `until`. @returns whether it holds */
  runUntil(holds: () => boolean, until: number, step = 100): boolean {
    while (!holds() && this.#now < until) this.run(Math.min(this.#now + step, until));
    return holds();
  }

  /** Schedules an event, now for a past time. @returns cancels it */
  at(time: number, run: () => void): () => void {
    const happening: Happening = { time: Math.max(time, this.#now), rank: 0, order: this.#order++, run };
    this.#queue.push(happening);
    return () => {
      happening.run = undefined;
    };
  }

  after(delay: number, run: () => void): () => void {
    return this.at(this.#now + delay, run);
  }

  /** Advances time to `until`. @throws Error for more than `maxEvents` events */
  run(until: number): void {
    const queue = this.#queue;
    for (let events = 0; ; ) {
      const first = queue.first;
      if (first === undefined || first.time > until) break;
      queue.pop();
      if (first.run === undefined) continue;
      if (++events > this.#maxEvents)
        throw new Error(`More than ${this.#maxEvents} events before ${until} ms`);
      this.#now = first.time;
      this.#events += 1;
      first.run();
    }
    this.#now = Math.max(this.#now, until);
  }
}
