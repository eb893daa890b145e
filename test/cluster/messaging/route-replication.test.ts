/** Route replication in virtual time: what it costs, how long it takes, and what large tables, slow peers and lost items do to it. */
import { describe, expect, it } from "vitest";
import { type RouteNode, RouteWorld } from "./route-world.js";

function worldOf(count: number, seed = 1, options: object = {}): RouteWorld {
  const world = new RouteWorld({ seed, ...options });
  for (let i = 0; i < count; i++) world.add();
  world.meet();
  world.run(1_000);
  return world;
}

const sum = (world: RouteWorld, of: "sentBytes" | "sentItems"): number =>
  world.nodes.reduce((all, node) => all + node[of], 0);

describe("a change of interest", () => {
  it("reaches all others of a small cluster within milliseconds, is acknowledged, and is taken back", () => {
    const world = worldOf(5);
    const [a] = world.nodes as [RouteNode];
    const ticket = a.subscribe("t/+/x");
    expect(a.rules.acked(ticket)).toBe(false);
    expect(world.until(() => world.agree(), 100, 1)).toBeLessThan(20);
    expect(world.until(() => a.rules.acked(ticket), 100, 1)).toBeLessThan(20);
    a.unsubscribe("t/+/x");
    world.run(20);
    expect(world.agree()).toBe(true);
    expect((world.nodes[1] as RouteNode).routesOf(a).size).toBe(0);
  });

  for (const count of [34, 100, 1_000])
    it(`costs the same for each of ${count} nodes, and comes to each of them once`, () => {
      const world = worldOf(count, 7, { digestInterval: 1e9 });
      world.run(5_000);
      const [items, bytes] = [sum(world, "sentItems"), sum(world, "sentBytes")];
      const before = world.nodes.map((node) => node.sentItems);
      const [a] = world.nodes as [RouteNode];
      const ticket = a.subscribe("sensors/1/temperature");
      const took = world.until(() => a.rules.acked(ticket), 10_000, 1);
      expect(world.nodes.every((each) => each === a || each.routesOf(a).size === 1)).toBe(true);
      // Up to log2(N) steps there, and as many back, of 5 ms at most.
      expect(took).toBeLessThanOrEqual(5 + 2 * 5 * Math.ceil(Math.log2(count)));
      // One push and one acknowledgement for each.
      expect(sum(world, "sentItems") - items).toBe(2 * (count - 1));
      expect((sum(world, "sentBytes") - bytes) / count).toBeLessThan(300);
      const most = Math.max(...world.nodes.map((node, i) => node.sentItems - (before[i] as number)));
      expect(most).toBeLessThanOrEqual(2 + Math.ceil(Math.log2(count)));
    });
});
