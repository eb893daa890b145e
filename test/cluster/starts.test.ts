/** Many nodes that start at once at one seed, which is late for all of them: nobody takes the wait for a cut, or the seed's death for a fact. */
import { describe, expect, it } from "vitest";
import { PROFILES } from "../../src/cluster/profiles.js";
import { LONG } from "../support/long.js";
import { Sides } from "./sides.js";
import { type SimulatedNode, World } from "./simulation/world.js";

const SEEDS = Array.from({ length: LONG ? 100 : 2 }, (_, i) => i + 1);

/** A cluster that starts: a node every 10 ms, while the seed stands still most of the time. */
function start(seed: number, count: number, stall: number): { world: World; sides: Sides } {
  const world = new World({ seed, profile: PROFILES.local, seeds: 1 });
  const sides = new Sides(world);
  const first = sides.add();
  for (let i = 1; i < count; i++) {
    world.join(sides.add());
    sides.run(10, 10);
    if (first.stalledUntil <= world.now && world.random() < 0.2) world.stall(first, stall);
  }
  return { world, sides };
}

describe("many nodes that start at once at a seed that is late", () => {
  it("take themselves for no minority, and end in one cluster", { timeout: LONG ? 600_000 : 60_000 }, () => {
    for (const seed of SEEDS) {
      const { world, sides } = start(seed, 100, 2_000);
      sides.run(10_000);
      // A few that know each other and had the seed for a while may go on without it, which is no harm.
      const others = sides.changes.filter(({ type }) => type !== "split");
      expect(others, `seed ${seed}`).toEqual([]);
      expect(world.agree(), `seed ${seed}`).toBe(true);
    }
  });
});

describe("a node that knew one other only, and lost it", () => {
  /** A cluster, and a node that is cut off when it and the first one have just met. */
  function lonely(seed: number, count: number): { world: World; sides: Sides; node: SimulatedNode } {
    const world = new World({ seed, profile: PROFILES.local, seeds: 1 });
    const sides = new Sides(world);
    for (let i = 0; i < count; i++) world.join(sides.add());
    expect(world.runUntil(() => world.agree(), 10_000)).toBeGreaterThanOrEqual(0);
    sides.run(2_000);
    const node = sides.add();
    world.join(node);
    const [first] = world.nodes as [SimulatedNode];
    const met = (): boolean => first.rules.size > count && node.rules.live.length > 0;
    expect(world.runUntil(met, 1_000, 1)).toBeGreaterThanOrEqual(0);
    expect(node.rules.live.length).toBe(1);
    world.blocks = (from, to) => from === node || to === node;
    return { world, sides, node };
  }

  it("does not report it as dead to the others, which it meets before that one", () => {
    for (const seed of SEEDS) {
      const { world, sides, node } = lonely(seed, 30);
      sides.run(5_000);
      expect(node.rules.live).toEqual([]);
      const [first] = world.nodes;
      world.blocks = (from, to) => (from === node && to === first) || (from === first && to === node);
      const lost: string[] = [];
      const note = world.onChange;
      world.onChange = (at, change) => {
        note?.(at, change);
        if (change.type === "lost" && at !== node) lost.push(`${at.name} ${change.member.name}`);
      };
      sides.run(2_000);
      expect(node.rules.live.length).toBeGreaterThan(20);
      world.heal();
      expect(world.runUntil(() => world.agree(), 10_000)).toBeGreaterThanOrEqual(0);
      expect(lost, `seed ${seed}`).toEqual([]);
      expect(sides.changesOf(node), `seed ${seed}`).toEqual([]);
    }
  });
});
