/**
 * A world: its nodes, their network, and the loop of virtual time.
 *
 *   story awaits --> the next event --> its effects: promises, ticks --> the next event ...
 *
 * Time passes while the story waits, and stops while code runs. The story runs on its own node, `test`.
 */

import { checkKeys, thrownText } from "../core/arguments.js";
import { InvalidArgumentError, TimeoutError } from "../core/errors.js";
import { place } from "./engine.js";
import { Fabric, LINK_OPTIONS, type LinkOptions } from "./fabric.js";
import { real } from "./globals.js";
import { type Machine, Machines } from "./machine.js";
import { SimulatedNode } from "./node.js";
import { Random, seedFor } from "./random.js";
import { Schedule } from "./schedule.js";
import { NodeClock, Scope, scopes } from "./scope.js";

export type NodeOrName = SimulatedNode | string;

/** @internal */
export interface WorldSettings {
  readonly seed: number;
  readonly random: Random;
  readonly network: Random;
  readonly links: LinkOptions;
  readonly startTime: number;
  readonly limit: number;
  readonly maxEvents: number;
  readonly traceLines: number;
}

/** Real ms without a possible event until a story counts as stuck. */
const STUCK_AFTER = 2_000;
const STORY = "test";

/**
 * A simulated world, for a story of `simulate`.
 *
 * @example
 * ```ts
 * import { Reply, Request } from "shoal";
 * import { simulate } from "shoal/testing";
 *
 * await simulate({ seed: 1, runs: 2 }, async (world) => {
 *   const server = world.node("server");
 *   server.start(async () => {
 *     const reply = new Reply();
 *     await reply.bind("tcp://*:7000");
 *     for await (const message of reply) await reply.send(message);
 *   });
 *   const client = new Request();
 *   client.connect("tcp://server:7000");
 *   await client.request("hello", { timeout: 60_000, retries: 3 });
 *   server.stall(500); // And so on: kill, crash, cut, heal.
 * });
 * ```
 */
export class World {
  readonly seed: number;
  /** Repeatable, shrinkable choices: which fault, when, how long. */
  readonly random: Random;
  /** @internal */
  readonly schedule: Schedule;
  /** @internal */
  readonly startTime: number;
  readonly #settings: WorldSettings;
  readonly #fabric: Fabric;
  readonly #machines: Machines;
  readonly #nodes = new Map<string, SimulatedNode>();
  readonly #scope: Scope;
  #failure: { readonly error: unknown } | undefined = undefined;
  #holds = 0;
  readonly #conditions = new Set<() => void>();

  /** @internal */
  constructor(settings: WorldSettings) {
    const { seed, random, network, links, startTime, traceLines } = settings;
    this.#settings = settings;
    this.seed = seed;
    this.random = random;
    this.startTime = startTime;
    this.schedule = new Schedule(network, traceLines);
    this.#fabric = new Fabric(this.schedule);
    this.#fabric.configure(links);
    this.#machines = new Machines(this.#fabric);
    const clock = new NodeClock(this.schedule, startTime, () => this.#scope.retime());
    const own = new Random(seedFor(seed, STORY));
    this.#scope = new Scope(STORY, this.schedule, clock, own, (error) => this.fail(error, "the story"));
    place(this.#scope, this.#machines.add(STORY, "10.255.255.254"));
  }

  /** Virtual ms. */
  get now(): number {
    return this.schedule.now;
  }

  get events(): number {
    return this.schedule.events;
  }

  /** Last lines of the trace: starts, faults, connections, notes. */
  get trace(): string {
    return this.schedule.trace;
  }

  /** Digest of all events and received bytes; equal for equal runs. */
  get digest(): string {
    return this.schedule.digest.toString();
  }

  get nodes(): readonly SimulatedNode[] {
    return [...this.#nodes.values()];
  }

  /** Makes the node at the first call. @throws InvalidArgumentError `EINVAL` for an invalid host name */
  node(name: string): SimulatedNode {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    if (!/^[a-z][a-z0-9-]{0,62}$/i.test(name) || name === STORY || name === "localhost")
      throw new InvalidArgumentError(
        `A node's name must be a host name other than "${STORY}"; got ${JSON.stringify(name)}`,
      );
    const count = this.#nodes.size + 1;
    const node = new SimulatedNode(this, this.#machines.add(name, `10.0.${count >> 8}.${count & 255}`));
    this.#nodes.set(name, node);
    return node;
  }

  /** Advances time. @param ms virtual */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Number.POSITIVE_INFINITY))
      throw new InvalidArgumentError(`ms must be a number from 0; got ${ms}`);
    await new Promise<void>((resolve) => {
      this.schedule.at(this.now + ms, undefined, "advance", resolve);
    });
  }

  /**
   * Advances time until a condition, checked after every event, holds.
   *
   * @param timeout virtual ms. Default 60,000
   * @throws TimeoutError `ETIMEDOUT`; InvalidArgumentError `EINVAL`
   */
  async until(holds: () => boolean, timeout = 60_000): Promise<void> {
    if (!(timeout >= 0)) throw new InvalidArgumentError(`timeout must be a number from 0; got ${timeout}`);
    if (holds()) return;
    const end = this.now + timeout;
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        try {
          if (!holds()) return;
          resolve();
        } catch (error) {
          reject(error as Error);
        }
        this.#conditions.delete(settle);
      };
      this.#conditions.add(settle);
      this.schedule.at(end, undefined, "until", () => {
        if (!this.#conditions.delete(settle)) return;
        reject(new TimeoutError("ETIMEDOUT", `Not within ${timeout} ms: ${String(holds).slice(0, 200)}`));
      });
    });
  }

  /** Stops virtual time for real work, such as reading a file, which takes a different time in each run. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.#holds += 1;
    try {
      return await work;
    } finally {
      this.#holds -= 1;
    }
  }

  note(what: string): void {
    this.schedule.note(what);
  }

  /** Sets options of every link without its own; omitted options stay. */
  network(options: LinkOptions): void {
    this.#fabric.configure(checkLink(options));
    this.note(`network: ${JSON.stringify(options)}`);
  }

  /** @param options `oneWay`: only from the first to the second */
  link(
    a: NodeOrName,
    b: NodeOrName,
    { oneWay = false, ...options }: LinkOptions & { readonly oneWay?: boolean },
  ): void {
    const [from, to] = [this.#machineOf(a).name, this.#machineOf(b).name];
    checkLink(options);
    this.#fabric.configureLink(from, to, options);
    if (!oneWay) this.#fabric.configureLink(to, from, options);
    this.note(`${from} ${oneWay ? ">" : "|"} ${to}: ${JSON.stringify(options)}`);
  }

  /**
   * Blocks packets between two nodes until `heal`, without an error.
   *
   * @param options `oneWay`: only from the first to the second
   */
  cut(a: NodeOrName, b: NodeOrName, { oneWay = false }: { readonly oneWay?: boolean } = {}): void {
    const [from, to] = [this.#machineOf(a).name, this.#machineOf(b).name];
    this.note(`${from} ${oneWay ? ">" : "|"} ${to}: cut`);
    this.#fabric.cuts.cut(from, to, oneWay);
  }

  /** Blocks packets between groups until `heal`; nodes in none reach all. */
  split(...groups: readonly (readonly NodeOrName[])[]): void {
    const names = groups.map((group) => group.map((node) => this.#machineOf(node).name));
    this.note(`split: ${names.map((group) => group.join(" ")).join(" | ")}`);
    this.#fabric.cuts.split(names);
  }

  /** Resets connections between two nodes, as a firewall does: both ends notice at once and may reconnect. */
  reset(a: NodeOrName, b: NodeOrName): void {
    const [from, to] = [this.#machineOf(a), this.#machineOf(b)];
    this.note(`${from.name} | ${to.name}: ${from.reset(to)} connections reset`);
  }

  /** Ends the cut between two nodes, or every cut. Blocked data arrives with the next retransmission. */
  heal(a?: NodeOrName, b?: NodeOrName): void {
    if (a === undefined || b === undefined) {
      this.note("all cuts healed");
      this.#fabric.cuts.healAll();
    } else {
      const [from, to] = [this.#machineOf(a).name, this.#machineOf(b).name];
      this.note(`${from} | ${to}: healed`);
      this.#fabric.cuts.heal(from, to);
    }
  }

  /** The first failure counts. @internal */
  fail(error: unknown, where: string): void {
    if (this.#failure !== undefined) return;
    this.note(`${where} FAILED: ${thrownText(error)}`);
    this.#failure = { error };
  }

  /** @internal */
  run<T>(story: (world: World) => Promise<T> | T): Promise<T> {
    return new Promise((resolve, reject) => {
      let outcome: { readonly value: T } | undefined;
      const run = async (): Promise<T> => story(this);
      const begin = (): void =>
        void run().then(
          (value) => {
            outcome = { value };
          },
          (error: unknown) => this.fail(error, "the story"),
        );
      const end = (settle: () => void): void => {
        for (const node of this.#nodes.values()) node.dispose();
        this.#scope.end();
        settle();
      };
      let stuckSince: number | undefined;
      /** One event: what it settled runs before the next one. */
      const slice = (): void => {
        if (this.#failure !== undefined) {
          const { error } = this.#failure;
          end(() => reject(error));
          return;
        }
        if (outcome !== undefined) {
          const { value } = outcome;
          end(() => resolve(value));
          return;
        }
        if (this.#holds > 0) {
          real.setTimeout(slice, 1);
          return;
        }
        if (!this.#settled() && !this.#step()) {
          stuckSince ??= real.now();
          if (real.now() - stuckSince > STUCK_AFTER)
            this.fail(new Error("The story is stuck: no event is left"), "the world");
          real.setTimeout(slice, 1);
          return;
        }
        stuckSince = undefined;
        real.setImmediate(slice);
      };
      // The loop belongs to no process.
      scopes.exit(() => {
        real.setImmediate(() => {
          this.#scope.run(begin);
          real.setImmediate(slice);
        });
      });
    });
  }

  #machineOf(node: NodeOrName): Machine {
    const name = typeof node === "string" ? node : node.name;
    const machine = this.#machines.find(name);
    if (machine === undefined) throw new InvalidArgumentError(`Unknown node ${name}`);
    return machine;
  }

  #settled(): boolean {
    const { size } = this.#conditions;
    for (const settle of this.#conditions) this.#scope.run(settle);
    return this.#conditions.size < size;
  }

  #step(): boolean {
    const { limit, maxEvents } = this.#settings;
    try {
      if (this.events >= maxEvents)
        throw new Error(`More than ${maxEvents} events, by ${this.now.toFixed(0)} ms (maxEvents)`);
      if (this.schedule.step(limit)) return true;
      if (this.schedule.isEmpty) return false;
      throw new Error(`The story has not ended within ${limit} virtual ms (limit)`);
    } catch (error) {
      this.fail(error, "the world");
      return true;
    }
  }
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkLink(options: LinkOptions): LinkOptions {
  checkKeys("a link", options, LINK_OPTIONS);
  const { latency = [0, 0], bandwidth = 1 } = options;
  const [least = -1, most = -1]: readonly number[] = Array.isArray(latency) ? latency : [];
  if (!(least >= 0 && most >= least && most < Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError(`latency must be [least, most] in ms; got ${JSON.stringify(latency)}`);
  for (const name of ["loss", "duplication", "reordering"] as const) {
    const value = options[name] ?? 0;
    if (!(value >= 0 && value <= 1))
      throw new InvalidArgumentError(`${name} must be from 0 to 1; got ${value}`);
  }
  if (!(bandwidth > 0))
    throw new InvalidArgumentError(`bandwidth must be a number of bytes per ms; got ${bandwidth}`);
  return options;
}
