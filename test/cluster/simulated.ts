/** Nodes as programs run them, in virtual time: each on a machine of its name. */
import { test } from "vitest";
import {
  type ClusterEvent,
  ClusterNode,
  type ClusterNodeOptions,
  type MemberResolver,
} from "../../src/cluster/index.js";
import type { EventOf } from "../../src/core/event-stream.js";
import { simulate, type World } from "../../src/testing/index.js";
import { until } from "../contract/support/wait.js";

export const KEY = "01234567890123456789012345678901234567ab";

/** ms, longer than anything that is on its way. */
export const SETTLED = 200;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts one after the other. @returns them by name */
export async function startNodes(
  world: World,
  names: readonly string[],
  options: ClusterNodeOptions | ((name: string) => ClusterNodeOptions) = {},
): Promise<Map<string, ClusterNode>> {
  const nodes = new Map<string, ClusterNode>();
  for (const name of names)
    await world.node(name).start(async () => {
      const own = typeof options === "function" ? options(name) : options;
      const node = new ClusterNode({ name, scope: "link", key: KEY, ...own });
      nodes.set(name, node);
      await node.start();
    });
  return nodes;
}

/** Starts them, and waits until they see each other. */
export async function nodesTogether<const N extends readonly string[]>(
  world: World,
  names: N,
  options: ClusterNodeOptions = {},
): Promise<{ [K in keyof N]: ClusterNode }> {
  const nodes = [...(await startNodes(world, names, options)).values()];
  await world.until(() => nodes.every((each) => each.members().length === names.length), 10_000);
  return nodes as never;
}

/** Tells a story of nodes on one host that know each other. */
export async function onOneHost<const N extends string>(
  names: readonly N[],
  story: (nodes: Record<N, ClusterNode>, world: World) => Promise<void>,
  options: ClusterNodeOptions | ((name: N) => ClusterNodeOptions) = {},
): Promise<void> {
  await simulate({ seed: 1, shrink: false }, async (world) => {
    const nodes = {} as Record<N, ClusterNode>;
    for (const name of names) {
      const own = typeof options === "function" ? options(name) : options;
      nodes[name] = new ClusterNode({ name, ...own });
    }
    const all = Object.values<ClusterNode>(nodes);
    await Promise.all(all.map((node) => node.start()));
    await world.until(() => all.every((node) => node.members().length === all.length), 10_000);
    // Their tags and subscriptions are known, too.
    await world.advance(1_500);
    await story(nodes, world);
  });
}

/** Events of some types, from now on. */
export function eventsOf<T extends ClusterEvent["type"]>(
  node: ClusterNode,
  ...types: readonly T[]
): EventOf<ClusterEvent, T>[] {
  const events: EventOf<ClusterEvent, T>[] = [];
  for (const type of types) node.events.on(type, (event) => void events.push(event));
  return events;
}

type Cluster = <const N extends readonly string[]>(names: N) => Promise<{ [K in keyof N]: ClusterNode }>;

/** Declares a test whose nodes are in virtual time. @param body is given what starts them */
export function simulatedTest(name: string, body: (cluster: Cluster, world: World) => Promise<void>): void {
  test(name, async () => {
    await simulate({ seed: 1 }, async (world) => {
      await body((names) => nodesTogether(world, names), world);
    });
  });
}

/** Declares a test of which all is on one machine in virtual time. */
export function hostTest(name: string, body: () => Promise<void> | void): void {
  test(name, async () => {
    await simulate({ seed: 1 }, (world) => world.node("host").start(body));
  });
}

/** One of the machine on which it is called. */
export async function started(name: string, options: ClusterNodeOptions = {}): Promise<ClusterNode> {
  const made = new ClusterNode({ name, ...options });
  await made.start();
  return made;
}

/** The lists of a resolver as they come. */
export class EndpointLists {
  readonly all: (readonly string[])[] = [];
  ended = false;

  constructor(resolver: MemberResolver) {
    void this.#read(resolver);
  }

  get last(): readonly string[] | undefined {
    return this.all.at(-1);
  }

  /** Until the last list has these and no others, in any order. */
  async are(...endpoints: string[]): Promise<void> {
    const wanted = [...endpoints].sort().join();
    await until(
      () => this.last !== undefined && [...this.last].sort().join() === wanted,
      `the endpoints ${wanted}`,
    );
  }

  async #read(resolver: MemberResolver): Promise<void> {
    for await (const list of resolver.endpoints(new AbortController().signal)) this.all.push(list);
    this.ended = true;
  }
}
