/** What takes many nodes or much virtual time: figures that are promised, as tests. SHOAL_LONG=1 runs the long forms. */
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { type SimulatedNode, World } from "./simulation/world.js";

/** Of the runs with nodes that stand still: deaths of sound members come in bursts, and many a seed has few. That of the default run had 49 without local health. */
const SEEDS = LONG ? Array.from({ length: 20 }, (_, i) => i + 1) : [8];

/** Other scales of the first one: SHOAL_NODES=1000 SHOAL_HOURS=10. */
const count = Number(process.env.SHOAL_NODES ?? 300);
const hours = Number(process.env.SHOAL_HOURS ?? 1);
const timeout = 4_000 * count * hours;

describe("a cluster of many", () => {
  it.runIf(LONG)(`${count} nodes for ${hours} h with 1 % loss`, { timeout }, () => {
    const world = new World({ seed: 5, loss: 0.01, counts: true });
    world.start(count);
    expect(world.runUntil(() => world.agree(), 60_000, 50)).toBeGreaterThanOrEqual(0);
    world.run(30_000);
    for (const node of world.nodes) node.sentBytes = node.streamBytes = 0;
    world.run(60_000);
    const bytes = world.nodes.reduce((sum, { sentBytes, streamBytes }) => sum + sentBytes + streamBytes, 0);
    expect(bytes / count / 60, "bytes a second a node").toBeLessThanOrEqual(2_000);
    const times: number[] = [];
    let [dead, since]: [SimulatedNode | undefined, number] = [undefined, 0];
    world.onChange = (_, change) => {
      if (change.type === "lost" && change.member.id === dead?.id) times.push(world.now - since);
    };
    for (let i = 30 * hours; i > 0; i--) {
      dead = world.nodes[Math.floor(world.random() * count)] as SimulatedNode;
      since = world.now;
      world.crash(dead);
      world.run(60_000);
      world.restart(dead);
      world.run(60_000);
    }
    expect(world.falseDeaths).toBe(0);
    times.sort((a, b) => a - b);
    expect(times.length).toBeGreaterThan(count);
    expect(times[Math.floor(times.length * 0.99)], "p99 of detection").toBeLessThanOrEqual(5_000);
    expect(world.agree()).toBe(true);
  });

  it("whose nodes stand still now and then: local health saves sound members from a false death", {
    timeout: LONG ? 1_200_000 : 90_000,
  }, () => {
    const sick = 20;
    const deaths = (seed: number): number => {
      let count = 0;
      const world = new World({ seed, loss: 0.05 });
      world.start(60);
      world.run(5_000);
      // Those that never stood still.
      world.onChange = (_, change) => {
        if (change.type === "lost" && Number(change.member.address.slice(1)) >= sick) count += 1;
      };
      for (let second = 0; second < (LONG ? 300 : 60); second++) {
        for (let tries = 0; tries < 2; tries++) {
          const node = world.nodes[Math.floor(world.random() * sick)] as SimulatedNode;
          if (node.stalledUntil <= world.now) world.stall(node, 2_000 + Math.floor(world.random() * 6_000));
        }
        world.run(1_000);
      }
      return count;
    };
    // Without local health, it was more than 60 in the long form.
    expect(SEEDS.reduce((sum, seed) => sum + deaths(seed), 0)).toBeLessThanOrEqual(LONG ? 1 : 0);
  });
});
