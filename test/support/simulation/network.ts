/**
 * A network between the nodes of a simulation. A link keeps its order, as a
 * connection does; links overtake each other. It loses, repeats and delays what
 * the faults say, whole messages only. A node that crashed hears nothing; one
 * that comes back under its name is another incarnation, and what was on its way
 * to the old one is gone.
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
}

export const NO_FAULTS: Faults = { delay: [0.1, 5], loss: 0, duplication: 0 };

type Frames = readonly (Uint8Array | string)[];
type Receive = (from: string, frames: Buffer[]) => void;

interface Node {
  readonly receive: Receive;
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

export class Network {
  faults: Faults;
  readonly counts = { sent: 0, delivered: 0, lost: 0, duplicated: 0 };
  readonly #simulation: Simulation;
  readonly #nodes = new Map<string, Node>();
  readonly #cuts = new Set<string>();
  /** When the last message of a link arrives: nothing arrives before it. */
  readonly #arrivals = new Map<string, number>();

  constructor(simulation: Simulation, faults: Faults = NO_FAULTS) {
    this.#simulation = simulation;
    this.faults = faults;
  }

  /** A node comes up, under a name that nobody has now. */
  join(name: string, receive: Receive): void {
    if (this.#nodes.has(name)) throw new Error(`There is a node ${name} already`);
    this.#simulation.note(`${name} is up`);
    this.#nodes.set(name, { receive });
  }

  /** A node goes without a word. */
  crash(name: string): void {
    if (this.#nodes.delete(name)) this.#simulation.note(`${name} is down`);
  }

  isUp(name: string): boolean {
    return this.#nodes.has(name);
  }

  /** Nothing passes between two nodes, in either direction, until `heal`. */
  cut(a: string, b: string): void {
    this.#simulation.note(`${a} | ${b}: cut`);
    this.#cuts.add(linkOf(a, b)).add(linkOf(b, a));
  }

  heal(a: string, b: string): void {
    this.#simulation.note(`${a} | ${b}: healed`);
    this.#cuts.delete(linkOf(a, b));
    this.#cuts.delete(linkOf(b, a));
  }

  healAll(): void {
    this.#simulation.note("all links healed");
    this.#cuts.clear();
  }

  /** Sends a message. @returns whether there is such a node now, as a ROUTER can tell */
  send(from: string, to: string, frames: Frames): boolean {
    const node = this.#nodes.get(to);
    const { random } = this.#simulation;
    this.counts.sent += 1;
    const what = (): string => `${from} -> ${to}: ${frames.map(readable).join(" | ")}`;
    if (node === undefined || this.#cuts.has(linkOf(from, to)) || random.chance(this.faults.loss)) {
      this.#simulation.note(() => `${what()}  LOST`);
      this.counts.lost += 1;
      return node !== undefined;
    }
    this.#simulation.note(what);
    const message = frames.map((frame) => Buffer.from(frame as Uint8Array));
    this.#deliver(from, to, node, message);
    if (random.chance(this.faults.duplication)) {
      this.counts.duplicated += 1;
      this.#deliver(from, to, node, message);
    }
    return true;
  }

  #deliver(from: string, to: string, node: Node, frames: Buffer[]): void {
    const [least, most] = this.faults.delay;
    const { random, now } = this.#simulation;
    const link = linkOf(from, to);
    const arrival = Math.max(now + least + random.next() * (most - least), this.#arrivals.get(link) ?? 0);
    this.#arrivals.set(link, arrival);
    this.#simulation.at(arrival, () => {
      if (this.#nodes.get(to) !== node || this.#cuts.has(link)) {
        this.counts.lost += 1;
        return;
      }
      this.counts.delivered += 1;
      node.receive(from, frames);
    });
  }
}

function linkOf(from: string, to: string): string {
  return `${from}>${to}`;
}
