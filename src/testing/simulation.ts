/**
 * Virtual time for pure rules: events happen at times, in an order that a seed
 * repeats, and a trace records them. Synchronous: no promise, no timer, no node.
 * world.ts is the same for programs.
 */
import { EventQueue } from "./event-queue.js";
import type { Random } from "./random.js";
import { Trace } from "./trace.js";

/** Lines of a trace that are kept. */
const MAX_TRACE = 2_000;

/** Events of one run; more means that the rules chase their own tail. */
const MAX_EVENTS = 200_000;

/** Options of a {@link Simulation}. */
export interface SimulationOptions {
  /** Events of one call of `run` at most. Default 200,000. */
  readonly maxEvents?: number;
  /** Lines of the trace that are kept, the last ones. Default 2,000; 0: none, which is fastest. */
  readonly traceLines?: number;
}

/**
 * A schedule in virtual time, for rules that get the time as an argument.
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
  /** What makes the choices of this run. */
  readonly random: Random;
  readonly #queue = new EventQueue();
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

  /** Events that have happened so far. */
  get events(): number {
    return this.#events;
  }

  /** The last lines of what happened. */
  get trace(): string {
    return this.#trace.text;
  }

  /** Adds a line to the trace; one that is costly to make is a function, called when the trace is read. */
  note(what: string | (() => string)): void {
    this.#trace.add(this.#now, what);
  }

  /** Lets time pass until something holds, checked every `step` ms, or `until`. @returns whether it holds */
  runUntil(holds: () => boolean, until: number, step = 100): boolean {
    while (!holds() && this.#now < until) this.run(Math.min(this.#now + step, until));
    return holds();
  }

  /** Lets something happen at a time, or now if that is past. @returns call it to prevent it */
  at(time: number, run: () => void): () => void {
    const happening = { time: Math.max(time, this.#now), rank: 0, order: this.#order++, run } as {
      time: number;
      rank: number;
      order: number;
      run: (() => void) | undefined;
    };
    this.#queue.push(happening);
    return () => {
      happening.run = undefined;
    };
  }

  /** The same, `delay` ms from now. */
  after(delay: number, run: () => void): () => void {
    return this.at(this.#now + delay, run);
  }

  /** Lets time pass up to `until`. @throws Error when more than `maxEvents` happen before */
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
