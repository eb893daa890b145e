/**
 * A simulation of pure rules: virtual time, and messages between nodes. A seed repeats the order of events, and a trace
 * records them. Synchronous; world.ts is for programs.
 */
import { Heap } from "../core/collections/queues.js";
import type { TimedRules } from "../core/timers.js";
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

  constructor(random: Random, { maxEvents = MAX_EVENTS, traceLines = MAX_TRACE }: SimulationOptions = {}) {
    this.random = random;
    this.#maxEvents = maxEvents;
    this.#trace = new Trace(traceLines);
  }

  /** ms since the simulation began. */
  get now(): number {
    return this.#now;
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
      first.run();
    }
    this.#now = Math.max(this.#now, until);
  }
}

/** Ticks rules in virtual time; core/timers.ts does so in real time. */
export class RulesTimer {
  readonly #simulation: Simulation;
  readonly #rules: TimedRules;
  #cancel: (() => void) | undefined;
  #due = Number.POSITIVE_INFINITY;

  constructor(simulation: Simulation, rules: TimedRules) {
    this.#simulation = simulation;
    this.#rules = rules;
    this.update();
  }

  /** Call after every call of the rules. */
  update(): void {
    const next = this.#rules.nextWakeUp();
    if (next === undefined || next >= this.#due) return;
    this.#cancel?.();
    this.#due = next;
    this.#cancel = this.#simulation.at(next, () => {
      this.#due = Number.POSITIVE_INFINITY;
      this.#cancel = undefined;
      this.#rules.tick(this.#simulation.now);
      this.update();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#due = Number.NEGATIVE_INFINITY;
  }
}

// --- Network ---------------------------------------------------------------------------------------------------------

export interface Faults {
  /** ms, least and most. */
  readonly delay: readonly [number, number];
  /** Probability that a message is lost. */
  readonly loss: number;
  /** Probability that a message arrives twice. */
  readonly duplication: number;
  /** Lets messages of a link overtake each other, like datagrams. Default false. */
  readonly reordering?: boolean;
}

export const NO_FAULTS: Faults = { delay: [0.1, 5], loss: 0, duplication: 0 };

interface Node {
  readonly receive: (from: string, frames: Buffer[]) => void;
  waiting: (() => void)[] | undefined;
}

const SHOWN = 64;

/** Text for the trace if readable, else hexadecimal; long frames are cut. */
export function readable(frame: Uint8Array | string): string {
  if (frame.length > SHOWN) return `${readable(frame.slice(0, SHOWN))}… ${frame.length} bytes`;
  const text = typeof frame === "string" ? frame : Buffer.from(frame).toString("latin1");
  if (text === "") return '""';
  return /^[\x20-\x7e]+$/.test(text) ? text : Buffer.from(text, "latin1").toString("hex");
}

/**
 * Messages between nodes in a simulation of pure rules. Links keep order unless set to reorder. Faults lose, duplicate
 * and delay whole messages. Messages to a crashed node are lost, even if a later one has its name.
 *
 * @example
 * ```ts
 * import { Network, Random, Simulation } from "shoal/testing";
 *
 * const simulation = new Simulation(new Random(7));
 * const network = new Network(simulation, { delay: [1, 50], loss: 0, duplication: 0 });
 * let heard = false;
 * network.join("b", () => {
 *   heard = true;
 * });
 * network.send("a", "b", ["hello"]);
 * console.log(simulation.runUntil(() => heard, 1_000)); // true
 * ```
 */
export class Network {
  faults: Faults;
  readonly counts = { sent: 0, delivered: 0, lost: 0, duplicated: 0 };
  readonly #simulation: Simulation;
  readonly #nodes = new Map<string, Node>();
  readonly #cuts = new Cuts();
  readonly #arrivals = new Map<string, number>();

  constructor(simulation: Simulation, faults: Faults = NO_FAULTS) {
    this.#simulation = simulation;
    this.faults = faults;
  }

  /** The name must be unused. */
  join(name: string, receive: (from: string, frames: Buffer[]) => void): void {
    if (this.#nodes.has(name)) throw new Error(`Node ${name} exists already`);
    this.#simulation.note(`${name} is up`);
    this.#nodes.set(name, { receive, waiting: undefined });
  }

  /** Stops a node without notice. */
  crash(name: string): void {
    if (this.#nodes.delete(name)) this.#simulation.note(`${name} is down`);
  }

  /** Holds back a node's messages until `resume`; its driver handles its timers. */
  stall(name: string): void {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`Unknown node ${name}`);
    this.#simulation.note(`${name} stalls`);
    node.waiting ??= [];
  }

  /** Delivers a stalled node's messages. */
  resume(name: string): void {
    const node = this.#nodes.get(name);
    const waiting = node?.waiting;
    if (node === undefined || waiting === undefined) return;
    this.#simulation.note(`${name} goes on`);
    node.waiting = undefined;
    for (const deliver of waiting) deliver();
  }

  /** Blocks messages between two nodes until `heal`; `oneWay`: only from the first to the second. */
  cut(a: string, b: string, { oneWay = false }: { readonly oneWay?: boolean } = {}): void {
    this.#simulation.note(oneWay ? `${a} > ${b}: cut one way` : `${a} | ${b}: cut`);
    this.#cuts.cut(a, b, oneWay);
  }

  /** Blocks messages between groups until `healAll`; nodes in none reach all. */
  split(...groups: readonly (readonly string[])[]): void {
    this.#simulation.note(() => `split: ${groups.map((group) => group.join(" ")).join(" | ")}`);
    this.#cuts.split(groups);
  }

  heal(a: string, b: string): void {
    this.#simulation.note(`${a} | ${b}: healed`);
    this.#cuts.heal(a, b);
  }

  healAll(): void {
    this.#simulation.note("all links healed");
    this.#cuts.healAll();
  }

  /** @returns whether the node exists, as a ROUTER knows */
  send(from: string, to: string, frames: readonly (Uint8Array | string)[]): boolean {
    const node = this.#nodes.get(to);
    const { random } = this.#simulation;
    this.counts.sent += 1;
    const what = (): string => `${from} -> ${to}: ${frames.map(readable).join(" | ")}`;
    if (node === undefined || this.#cuts.has(from, to) || random.chance(this.faults.loss)) {
      this.#simulation.note(() => `${what()}  LOST`);
      this.counts.lost += 1;
      return node !== undefined;
    }
    this.#simulation.note(what);
    const copy = (): Buffer[] => frames.map((frame) => Buffer.from(frame as Uint8Array));
    this.#deliver(from, to, node, copy());
    if (random.chance(this.faults.duplication)) {
      this.counts.duplicated += 1;
      // The receiver may change its frames.
      this.#deliver(from, to, node, copy());
    }
    return true;
  }

  #deliver(from: string, to: string, node: Node, frames: Buffer[]): void {
    const { delay, reordering } = this.faults;
    const [least, most] = delay;
    const { random, now } = this.#simulation;
    const link = `${from}>${to}`;
    let arrival = now + least + random.next() * (most - least);
    if (reordering !== true) {
      arrival = Math.max(arrival, this.#arrivals.get(link) ?? 0);
      this.#arrivals.set(link, arrival);
    }
    const receive = (): void => {
      if (this.#nodes.get(to) !== node) this.counts.lost += 1;
      else if (node.waiting !== undefined) node.waiting.push(receive);
      else {
        this.counts.delivered += 1;
        node.receive(from, frames);
      }
    };
    this.#simulation.at(arrival, () => {
      if (this.#cuts.has(from, to)) this.counts.lost += 1;
      else receive();
    });
  }
}

export class Cuts {
  readonly #ways = new Set<string>();

  has(from: string, to: string): boolean {
    return this.#ways.size > 0 && this.#ways.has(`${from}>${to}`);
  }

  cut(a: string, b: string, oneWay: boolean): void {
    this.#ways.add(`${a}>${b}`);
    if (!oneWay) this.#ways.add(`${b}>${a}`);
  }

  split(groups: readonly (readonly string[])[]): void {
    for (const [i, group] of groups.entries())
      for (const other of groups.slice(i + 1))
        for (const a of group) for (const b of other) this.cut(a, b, false);
  }

  heal(a: string, b: string): void {
    this.#ways.delete(`${a}>${b}`);
    this.#ways.delete(`${b}>${a}`);
  }

  healAll(): void {
    this.#ways.clear();
  }
}
