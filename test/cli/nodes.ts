/** `shoal node start` in this process: its JSON lines, what they see, and networks for them. */
import { execFileSync } from "node:child_process";
import { expect } from "vitest";
import { type Command, run, startWithout } from "./in-process.js";
import type { Ended, Watched } from "./support.js";

/** A line of a node. */
export interface NodeLine {
  readonly event: string;
  readonly name: string;
  readonly [member: string]: unknown;
}

const startOf = (name: string): string[] => ["node", "start", "--name", name, "--json"];

/** A node that runs: what it prints and answers. */
export class NodeRun {
  readonly name: string;
  readonly run: Watched;

  constructor(name: string, run: Watched) {
    this.name = name;
    this.run = run;
  }

  static start(name: string, args: readonly string[]): NodeRun {
    return new NodeRun(name, startWithout(...startOf(name), ...args));
  }

  get ended(): Promise<Ended> {
    return this.run.ended;
  }

  signal(name: "SIGINT" | "SIGTERM"): void {
    this.run.signal(name);
  }

  /** Its lines so far. */
  get lines(): NodeLine[] {
    return String(this.run.stdout)
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as NodeLine);
  }

  /** What it said of another. */
  eventsOf(name: string): string[] {
    return this.lines.filter((line) => line.name === name).map(({ event }) => event);
  }

  /** The members that it sees, without itself. */
  get sees(): string[] {
    const seen = new Set<string>();
    for (const { event, name } of this.lines) {
      if (name === this.name) continue;
      if (event === "joined" || event === "back") seen.add(name);
      else if (event === "lost" || event === "left" || event === "removed") seen.delete(name);
    }
    return [...seen].sort();
  }

  /** Waits until its lines are as wanted. */
  async untilLines(holds: (lines: readonly NodeLine[]) => boolean): Promise<void> {
    const { run } = this;
    for (let length = -1; !holds(this.lines); length = run.stdout.length) {
      if (length === run.stdout.length) await run.until("stdout", new RegExp(`[^]{${length + 1},}\\n$`));
    }
  }

  /** Waits until it sees exactly these. */
  untilSees(...names: string[]): Promise<void> {
    const wanted = names.toSorted().join();
    return this.untilLines(() => this.sees.join() === wanted);
  }

  /** Waits until it printed this of a member. */
  untilSaid(event: string, name: string): Promise<void> {
    return this.untilLines((lines) => lines.some((line) => line.event === event && line.name === name));
  }

  ready(): Promise<void> {
    return this.untilSaid("ready", this.name);
  }
}

let clusters = 0;

/** A cluster of a test alone. */
export function newCluster(): string {
  return `test-${process.pid}-${++clusters}`;
}

/** A node of these arguments that is ready, and what it said then. */
export async function startReady<L>(...args: string[]): Promise<L & { node: Command }> {
  const node = startWithout("node", "start", "--json", ...args);
  const [line] = await node.until("stdout", /^.*"ready".*$/m);
  return { node, ...(JSON.parse(line) as L) };
}

/** A node of these arguments that is ready. */
export async function readyNode(...args: string[]): Promise<Command> {
  const node = startWithout("node", "start", ...args);
  await node.until("stdout", /is ready|"ready"/);
  return node;
}

/** The reply to a command of a running node. */
export async function replyTo(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run("", "node", ...args, "--json");
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(String(stdout)) as Record<string, unknown>;
}

let networks = 0;

/** Networks of hosts at one switch. */
export class HostNetworks {
  readonly hosts: readonly string[];
  readonly #hub: string;
  readonly #made: string[] = [];

  constructor(hosts: number) {
    const prefix = `shoal-n-${process.pid}-${networks++}`;
    this.#hub = `${prefix}-hub`;
    this.hosts = Array.from({ length: hosts }, (_, host) => `${prefix}-${host}`);
    try {
      this.#add(this.#hub);
      ip(`-n ${this.#hub} link add switch type bridge mcast_snooping 0`);
      ip(`-n ${this.#hub} link set switch up`);
      for (const [host, name] of this.hosts.entries()) {
        this.#add(name);
        ip(`-n ${name} link set lo up`);
        ip(`-n ${name} link add eth0 type veth peer name host${host} netns ${this.#hub}`);
        ip(`-n ${this.#hub} link set host${host} master switch up`);
        ip(`-n ${name} addr add 10.214.9.${host + 1}/24 broadcast 10.214.9.255 dev eth0`);
        ip(`-n ${name} link set eth0 up`);
        ip(`-n ${name} route add default dev eth0`);
      }
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  remove(): void {
    for (const name of this.#made.splice(0)) ip(`netns del ${name}`);
  }

  #add(name: string): void {
    ip(`netns add ${name}`);
    this.#made.push(name);
  }
}

function ip(line: string): void {
  execFileSync("ip", line.split(" "), { stdio: ["ignore", "ignore", "pipe"], timeout: 10_000 });
}
