/**
 * Messages between the nodes of a simulation of pure rules. Ordered, a link keeps
 * its order, as a connection does; unordered, messages overtake each other, as
 * datagrams do. It loses, repeats and delays what the faults say, whole messages
 * only. A crashed node receives nothing; one that comes back under its name is
 * another incarnation, and what was on its way to the old one is gone.
 */
import type { Simulation } from "./simulation.js";

/** What may go wrong on every link. */
export interface Faults {
  /** ms from sending to arrival: at least, and at most. */
  readonly delay: readonly [number, number];
  /** Probability that a message is lost. */
  readonly loss: number;
  /** Probability that a message comes twice. */
  readonly duplication: number;
  /** Messages of one link may overtake each other, as datagrams do. Default false. */
  readonly reordering?: boolean;
}

/** A network that works: 0.1 to 5 ms, nothing lost, nothing twice. */
export const NO_FAULTS: Faults = { delay: [0.1, 5], loss: 0, duplication: 0 };

interface Node {
  readonly receive: (from: string, frames: Buffer[]) => void;
  /** What came while it stood still; `undefined`: it runs. */
  waiting: (() => void)[] | undefined;
}

/** Bytes of a frame that the trace shows. */
const SHOWN = 64;

/** A frame for the trace: text where it is readable, else hexadecimal; a long one is cut. */
export function readable(frame: Uint8Array | string): string {
  if (frame.length > SHOWN) return `${readable(frame.slice(0, SHOWN))}… ${frame.length} bytes`;
  const text = typeof frame === "string" ? frame : Buffer.from(frame).toString("latin1");
  if (text === "") return '""';
  return /^[\x20-\x7e]+$/.test(text) ? text : Buffer.from(text, "latin1").toString("hex");
}

/**
 * The messages, links and faults of one simulation.
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
  /** When the last message of a link arrives: nothing arrives before it. */
  readonly #arrivals = new Map<string, number>();

  constructor(simulation: Simulation, faults: Faults = NO_FAULTS) {
    this.#simulation = simulation;
    this.faults = faults;
  }

  /** A node comes up, under a name that is free. */
  join(name: string, receive: (from: string, frames: Buffer[]) => void): void {
    if (this.#nodes.has(name)) throw new Error(`There is a node ${name} already`);
    this.#simulation.note(`${name} is up`);
    this.#nodes.set(name, { receive, waiting: undefined });
  }

  /** A node goes without a word. */
  crash(name: string): void {
    if (this.#nodes.delete(name)) this.#simulation.note(`${name} is down`);
  }

  /** Whether a node of this name is up. */
  isUp(name: string): boolean {
    return this.#nodes.has(name);
  }

  /** A node receives nothing until `resume`; what comes meanwhile waits. Its timers are its driver's affair. */
  stall(name: string): void {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`There is no node ${name}`);
    this.#simulation.note(`${name} stalls`);
    node.waiting ??= [];
  }

  /** A stalled node receives again, first what came meanwhile. */
  resume(name: string): void {
    const node = this.#nodes.get(name);
    const waiting = node?.waiting;
    if (node === undefined || waiting === undefined) return;
    this.#simulation.note(`${name} goes on`);
    node.waiting = undefined;
    for (const deliver of waiting) deliver();
  }

  /** Nothing passes between two nodes until `heal`; with `oneWay` nothing from the first to the second. */
  cut(a: string, b: string, { oneWay = false }: { readonly oneWay?: boolean } = {}): void {
    this.#simulation.note(oneWay ? `${a} > ${b}: cut one way` : `${a} | ${b}: cut`);
    this.#cuts.cut(a, b, oneWay);
  }

  /** Nothing passes between nodes of different groups until `healAll`; nodes in no group reach all. */
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

  /** Sends a message. @returns whether there is such a node now, as a ROUTER knows */
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
      // Of its own, as on any network: the receiver may take frames off the first, or write to them.
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
      if (this.#nodes.get(to) !== node) {
        this.counts.lost += 1;
        return;
      }
      this.counts.delivered += 1;
      node.receive(from, frames);
    };
    this.#simulation.at(arrival, () => {
      if (this.#cuts.has(from, to)) this.counts.lost += 1;
      else if (node.waiting !== undefined) node.waiting.push(receive);
      else receive();
    });
  }
}

/** Which ways between nodes are cut. */
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
