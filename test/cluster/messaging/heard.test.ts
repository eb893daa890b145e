/** Messages of a node are signs of life to membership. */
import { expect, it } from "vitest";
import type { ClusterNode } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { startNodes } from "../simulated.js";

it("a message, and what acknowledges it, shows that its sender is there", { timeout: 60_000 }, async () => {
  await simulate({ seed: 1, runs: 1, network: { latency: [1, 10] } }, async (world) => {
    // Membership itself sends nothing for a long time.
    const profile = {
      probeInterval: 3_600_000,
      probeTimeout: 1_000,
      heartbeatInterval: 3_600_000,
      syncInterval: 3_600_000,
    };
    const nodes = await startNodes(world, ["a", "b"], { port: 7000, seeds: ["a:7000"], profile });
    for (const [name, node] of nodes)
      await world.node(name).run(() => void node.subscribe("t", () => undefined));
    await world.advance(20_000);
    const [a, b] = [...nodes.values()] as [ClusterNode, ClusterNode];
    const lastSeen = (of: ClusterNode): number => of.members({ self: false })[0]?.lastSeen as number;
    let sentAt = 0;
    await world.node("a").run(() => {
      sentAt = Date.now();
      void a.publish("t", "x");
    });
    await world.advance(1_000);
    expect(lastSeen(b)).toBeGreaterThanOrEqual(sentAt);
    expect(lastSeen(a)).toBeGreaterThanOrEqual(sentAt);
  });
});
