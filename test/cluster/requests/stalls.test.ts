/** Nodes that stand still for longer than others believe in them: no request with a key waits until its time is over. */
import { expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";

const LONG = process.env.SHOAL_LONG === "1";
const KEY = "01234567890123456789012345678901234567ab";
const SERVING = ["a", "b"];
const CALLING = ["c", "d", "e"];
const STALLS = 40;
const TIMEOUT = 60_000;

it("no request of nodes that stand still waits until its time is over", { timeout: 120_000 }, async () => {
  await simulate({ seed: 1, runs: LONG ? 100 : 2, network: { latency: [1, 10] } }, async (world) => {
    const late: string[] = [];
    let answered = 0;
    let isOver = false;
    for (const name of [...SERVING, ...CALLING])
      world.node(name).start(async () => {
        const seeds = ["a:7000", "b:7000"];
        const node = new ClusterNode({ name, scope: "link", key: KEY, port: 7000, seeds });
        await node.start();
        if (SERVING.includes(name)) {
          node.serve("echo", async (body) => {
            await new Promise((resolve) => setTimeout(resolve, 200));
            return body;
          });
          return;
        }
        for (let k = 0; !isOver; k++) {
          const from = performance.now();
          const idempotencyKey = `${name}.${k}`;
          await node.request("echo", k, { timeout: TIMEOUT, idempotencyKey, waitForReady: true });
          answered += 1;
          const took = performance.now() - from;
          if (took > TIMEOUT / 3) late.push(`${idempotencyKey} after ${took} ms`);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    await world.advance(3_000);
    for (let i = 0; i < STALLS; i++) {
      await world.advance(world.random.integer(20, 1_500));
      world.node(world.random.pick([...SERVING, ...CALLING])).stall(world.random.integer(100, 4_000));
    }
    isOver = true;
    await world.advance(TIMEOUT + 5_000);
    expect(late).toEqual([]);
    expect(answered).toBeGreaterThan(50);
  });
});
