/** How whole nodes learn what others subscribe to, in virtual time: what it costs, how long it takes, and what large lists, slow peers and cuts do to it. */
import { expect, it, vi } from "vitest";
import type { ClusterNode, ClusterNodeOptions } from "../../../src/cluster/index.js";
import { RouteTable } from "../../../src/cluster/messaging/route-table.js";
import { ignore } from "../../../src/core/waiter.js";
import { simulate, type World } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { watch } from "../../support/settled.js";
import { startNodes } from "../simulated.js";

const NETWORK = { latency: [1, 5] } as const;
/** Filters of a large list. */
const MANY = LONG ? 100_000 : 20_000;

const routesOf = (node: ClusterNode) =>
  (node.stats().messaging as NonNullable<ReturnType<ClusterNode["stats"]>["messaging"]>).routes;

/** Items that a node has sent to each of the others. */
const sentBy = (node: ClusterNode): number[] =>
  node.stats().messaging?.links.peers.map(({ sent }) => sent) ?? [];

function begin(world: World, nodes: ReadonlyMap<string, ClusterNode>) {
  const at = <T>(name: string, does: (node: ClusterNode) => T): Promise<Awaited<T>> =>
    world.node(name).run(() => does(nodes.get(name) as ClusterNode)) as never;
  /** Subscribes a node to so many filters. */
  const subscribe = (name: string, count: number, prefix = "sensors"): Promise<void> =>
    at(name, (node) => {
      for (let i = 0; i < count; i++) node.subscribe(`${prefix}/${i}/temperature`, ignore);
    });
  return { world, nodes: [...nodes.values()], at, subscribe };
}

/** Nodes that see each other. */
async function together(
  names: string,
  options: ClusterNodeOptions | ((name: string) => ClusterNodeOptions),
  story: (all: ReturnType<typeof begin>) => Promise<void>,
): Promise<void> {
  await simulate({ seed: 1, runs: 1, network: NETWORK }, async (world) => {
    const all = begin(world, await startNodes(world, [...names], options));
    await world.until(() => all.nodes.every((node) => node.members().length === names.length), 10_000);
    await world.advance(1_000);
    await story(all);
  });
}

it("nodes of which none is interested in anything open no links; a change comes to each once, straight from its node", () =>
  together("abcdefgh", {}, async ({ world, nodes, at, subscribe }) => {
    await world.advance(10_000);
    for (const node of nodes) expect(node.stats().messaging?.links.peers).toEqual([]);
    const [a, ...others] = nodes as [ClusterNode, ...ClusterNode[]];
    await subscribe("a", 1);
    await world.until(() => others.every((node) => routesOf(node).routes === 1), 1_000);
    await world.advance(5_000);
    const before = sentBy(a);
    expect(before).toHaveLength(7);
    const start = world.now;
    await at("a", (node) => node.subscribe("b", ignore).ready);
    expect(world.now - start).toBeLessThan(40);
    expect(others.every((node) => routesOf(node).routes === 2)).toBe(true);
    expect(sentBy(a)).toEqual(before.map((count) => count + 1));
    for (const node of others) expect(sentBy(node)).toEqual([]);
  }));

it("a subscription is ready without nodes that take no messages, and without those that are lost", () =>
  together(
    "abc",
    (name) => ({ messaging: name !== "b" }),
    async ({ world, nodes, at }) => {
      await at("a", (node) => node.subscribe("x", ignore).ready);
      world.node("c").crash();
      const ready = watch(at("a", (node) => node.subscribe("y", ignore).ready));
      await world.advance(50);
      expect(ready.state).toBe("pending");
      await world.until(() => nodes[0]?.members().length === 2, 10_000);
      await world.advance(0);
      expect(ready.state).toBe("fulfilled");
    },
  ));

it("the interest of a node that was just met is waited for so long at most: until then it gets everything", async () => {
  for (const settle of [1_000, 200, 0])
    await together("a", { messaging: { settle } }, async ({ world, nodes: [a], at }) => {
      let metAt = -1;
      a?.events.on("joined", () => {
        metAt = world.now;
        world.node("b").stall(1_500);
      });
      void startNodes(world, ["b"], { messaging: { settle } });
      await world.until(() => metAt >= 0, 10_000);
      const publish = () => at("a", (node) => node.publish("t", "x", { self: false }));
      expect(await publish()).toBe(settle === 0 ? 0 : 1);
      await world.advance(Math.max(0, settle - 50));
      expect(await publish()).toBe(settle === 0 ? 0 : 1);
      await world.advance(100);
      expect(await publish()).toBe(0);
    });
});

it("a reader that fell behind gets what it lacks; what it has serves until then", () =>
  together("ab", {}, async ({ world, nodes, subscribe }) => {
    const [a, b] = nodes as [ClusterNode, ClusterNode];
    await subscribe("a", MANY / 4);
    await world.until(() => routesOf(b).routes === MANY / 4, 30_000);
    world.cut("a", "b");
    await world.until(() => nodes.every((node) => node.members().length === 1), 20_000);
    await subscribe("a", MANY, "later");
    await world.advance(10_000);
    world.heal();
    await world.until(() => nodes.every((node) => node.members().length === 2), 20_000);
    let least = Number.POSITIVE_INFINITY;
    await world.until(() => {
      least = Math.min(least, routesOf(b).routes);
      return routesOf(b).routes === (5 * MANY) / 4 && routesOf(a).snapshots === 0;
    }, 60_000);
    expect(least).toBeGreaterThanOrEqual(MANY / 4);
    expect(routesOf(b).refused).toEqual({});
  }));

it.each([
  ["dies", 60_000],
  ["leaves", 1_000],
] as const)("nothing stays of a list whose node %s while it comes", (how, within) => {
  const sweep = vi.spyOn(RouteTable.prototype, "sweep");
  return together("ab", { profile: { autoclean: 5_000 } }, async ({ world, nodes, at, subscribe }) => {
    const b = nodes[1] as ClusterNode;
    await subscribe("a", MANY);
    await world.until(() => routesOf(b).routes > 1_000, 10_000);
    expect(routesOf(b).routes).toBeLessThan(MANY);
    if (how === "dies") world.node("a").kill();
    else void at("a", (node) => node.leave());
    await world.until(() => routesOf(b).routes === 0, within);
    expect(routesOf(b)).toMatchObject({ routes: 0, bytes: 0, nodes: 0 });
    await world.advance(1_000);
    const table = sweep.mock.contexts.at(-1) as RouteTable;
    expect([table.filters, table.unswept]).toEqual([0, 0]);
  });
});
