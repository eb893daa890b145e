/** A load that a node reports is known to all. */
import { expect, it } from "vitest";
import { type SimulatedNode, World } from "./world.js";

it("a node's load spreads, and the newest report counts", () => {
  const world = new World({ seed: 1, encodes: true });
  world.start(5);
  world.runUntil(() => world.agree(), 20_000);
  const [first] = world.nodes as [SimulatedNode];
  world.act(first, (rules, now) => rules.setLoad(now, 7));
  world.act(first, (rules, now) => rules.setLoad(now, 200));
  world.run(2_000);
  for (const { rules } of world.nodes) expect(rules.get(first.id)?.load).toBe(200);
});
