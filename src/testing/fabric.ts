/** The network between machines: reachability, delays, losses. */

import type { Schedule } from "./schedule.js";
import { Cuts } from "./simulation.js";

/** A link between two nodes, each direction separately. */
export interface LinkOptions {
  /** One-way ms, least and most. Default [0.1, 1]. */
  readonly latency?: readonly [number, number];
  /** Probability of a packet loss: datagrams are gone, connections retransmit after 200 ms. Default 0. */
  readonly loss?: number;
  /** Probability that a datagram arrives twice. Default 0. */
  readonly duplication?: number;
  /** Probability that a datagram takes up to ten times as long. Default 0. */
  readonly reordering?: number;
  /** Bytes per ms. Default: no limit. */
  readonly bandwidth?: number;
}

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

/** ms. */
const LOCAL: Required<LinkOptions> = { ...DEFAULTS, latency: [0.02, 0.05] };

/** Largest extra delay of an overtaken datagram, as a factor. */
const OVERTAKEN = 9;

/** ms. */
const RETRANSMIT_TIME = 200;

export class Fabric {
  readonly schedule: Schedule;
  readonly cuts = new Cuts();
  #options: Required<LinkOptions> = DEFAULTS;
  readonly #links = new Map<string, Required<LinkOptions>>();
  /** The time when a direction with limited bandwidth is free. */
  readonly #free = new Map<string, number>();

  constructor(schedule: Schedule) {
    this.schedule = schedule;
  }

  configure(options: LinkOptions): void {
    this.#options = { ...this.#options, ...options };
  }

  configureLink(from: string, to: string, options: LinkOptions): void {
    this.#links.set(`${from}>${to}`, { ...this.link(from, to), ...options });
  }

  link(from: string, to: string): Required<LinkOptions> {
    if (from === to) return LOCAL;
    return this.#links.size === 0 ? this.#options : (this.#links.get(`${from}>${to}`) ?? this.#options);
  }

  passes(from: string, to: string): boolean {
    return !this.cuts.has(from, to);
  }

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

  /** A connection's segment is delayed instead of lost. */
  streamDelay(from: string, to: string, bytes: number): number {
    const delay = this.delay(from, to, bytes);
    return this.#happens(this.link(from, to).loss) ? delay + RETRANSMIT_TIME : delay;
  }

  /** One per copy; empty for a lost datagram. */
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
