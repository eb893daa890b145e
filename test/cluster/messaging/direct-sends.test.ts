/** One-to-one messages whose acknowledgement is late, or lost with a connection. */
import { expect, it } from "vitest";
import type { ClusterNode } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { startNodes } from "../simulated.js";

it("a message of a node that stood still, and was lost by the recipient's alone, settles when it goes on", async () => {
  await simulate({ seed: 1 }, async (world) => {
    const nodes = await startNodes(world, ["a", "b"]);
    const [a, b] = [...nodes.values()] as [ClusterNode, ClusterNode];
    await world.until(() => a.members().length === 2 && b.members().length === 2, 2_000);
    // The links are idle, and close.
    await world.advance(100_000);
    const states: string[] = [];
    for (const type of ["lost", "back"] as const) {
      a.events.on(type, () => void states.push(`a ${type}`));
      b.events.on(type, () => void states.push(`b ${type}`));
    }
    let hasArrived = false;
    b.subscribe("self", () => {
      hasArrived = true;
    });
    const settled = world.node("a").run(async () => {
      await a.sendTo(a.resolve("b@b")[0] as never, "x", { timeout: 60_000 });
      states.push("settled");
    });
    // The recipient's node has it, and its acknowledgement is on its way.
    await world.until(() => hasArrived, 100);
    world.node("a").stall();
    await world.until(() => states.length === 1, 10_000);
    world.node("a").resume();
    await world.until(() => states.length === 3, 2_000);
    expect(states.toSorted()).toEqual(["b back", "b lost", "settled"]);
    await settled;
  });
});
