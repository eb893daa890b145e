/** The network between the machines of a world: which machines reach each other, how long it takes, and what is lost on the way. */
import { Cuts } from "./network.js";
import type { Schedule } from "./schedule.js";

/** What a link between two nodes does; each way by itself. */
export interface LinkOptions {
  /** ms from one to the other: at least, and at most. Default [0.1, 1]. */
  readonly latency?: readonly [number, number];
  /** Probability that a packet is lost: a datagram is gone, a connection sends it again 200 ms later. Default 0. */
  readonly loss?: number;
  /** Probability that a datagram comes twice. Default 0. */
  readonly duplication?: number;
  /** Probability that a datagram takes up to ten times as long, and is overtaken. Default 0. */
  readonly reordering?: number;
  /** Bytes per ms. Default: no limit. */
  readonly bandwidth?: number;
}

/** Their names. */
export const LINK_OPTIONS: readonly (keyof LinkOptions)[] = [
  "latency",
  "loss",
  "duplication",
  "reordering",
  "bandwidth",
];

const DEFAULTS: Required<LinkOptions> = {
  latency: [0.1, 1],
  loss: 0,
  duplication: 0,
  reordering: 0,
  bandwidth: Number.POSITIVE_INFINITY,
};

/** ms between two programs of one machine. */
const LOCAL: Required<LinkOptions> = { ...DEFAULTS, latency: [0.02, 0.05] };

/** How much longer a datagram takes that is overtaken, at most. */
const OVERTAKEN = 9;

/** ms until a lost packet of a connection is sent again. */
export const RETRANSMIT_TIME = 200;

export class Fabric {
  readonly schedule: Schedule;
  readonly cuts = new Cuts();
  #options: Required<LinkOptions> = DEFAULTS;
  readonly #links = new Map<string, Required<LinkOptions>>();
  /** When a way is free again, where it has a bandwidth. */
  readonly #free = new Map<string, number>();

  constructor(schedule: Schedule) {
    this.schedule = schedule;
  }

  /** @param options of every link, but those with options of their own */
  configure(options: LinkOptions): void {
    this.#options = { ...this.#options, ...options };
  }

  /** The options of one way. */
  configureLink(from: string, to: string, options: LinkOptions): void {
    this.#links.set(`${from}>${to}`, { ...this.link(from, to), ...options });
  }

  link(from: string, to: string): Required<LinkOptions> {
    if (from === to) return LOCAL;
    return this.#links.size === 0 ? this.#options : (this.#links.get(`${from}>${to}`) ?? this.#options);
  }

  /** Whether packets get from one machine to another now. */
  passes(from: string, to: string): boolean {
    return !this.cuts.has(from, to);
  }

  /** ms that a packet takes now. */
  delay(from: string, to: string, bytes: number): number {
    const { latency, bandwidth } = this.link(from, to);
    const [least, most] = latency;
    const delay = least + this.schedule.random.next() * (most - least);
    if (bandwidth === Number.POSITIVE_INFINITY) return delay;
    const way = `${from}>${to}`;
    const { now } = this.schedule;
    const free = Math.max(now, this.#free.get(way) ?? 0) + bytes / bandwidth;
    this.#free.set(way, free);
    return free - now + delay;
  }

  /** The same for a part of a connection, which is never lost but late. */
  streamDelay(from: string, to: string, bytes: number): number {
    const delay = this.delay(from, to, bytes);
    return this.#happens(this.link(from, to).loss) ? delay + RETRANSMIT_TIME : delay;
  }

  /** The delays of a datagram's copies: none where it is lost. */
  datagramDelays(from: string, to: string, bytes: number): number[] {
    const { loss, duplication, reordering } = this.link(from, to);
    if (this.#happens(loss)) return [];
    const delays = [this.delay(from, to, bytes)];
    if (this.#happens(duplication)) delays.push(this.delay(from, to, bytes));
    return delays.map((delay) =>
      this.#happens(reordering) ? delay * (1 + OVERTAKEN * this.schedule.random.next()) : delay,
    );
  }

  #happens(probability: number): boolean {
    return probability > 0 && this.schedule.random.chance(probability);
  }
}
