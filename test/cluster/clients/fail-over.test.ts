/** A client of discovery in virtual time, the node of whose server stands still. */
import { expect, it } from "vitest";
import { ClusterNode, DiscoveryClient, DiscoveryServer } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { KEY } from "../simulated.js";

const USER = { username: "ana", password: "secret" };

it("a client whose node is stalled is at another one with its first attempt", async () => {
  await simulate({ seed: 1, runs: 2 }, async (world) => {
    for (const name of "abc")
      await world.node(name).start(async () => {
        const node = new ClusterNode({ name, scope: "link", key: KEY });
        await node.start();
        const users = { [USER.username]: USER.password };
        await new DiscoveryServer(node, { endpoint: "tcp://*:7001", users }).start();
      });
    await world.advance(2_000);
    const client = new DiscoveryClient({
      addresses: "tcp://a:7001",
      attemptTimeout: 20_000,
      refreshInterval: 600_000,
      ...USER,
    });
    // It has moved by lot.
    await world.advance(30_000);
    const reasons: unknown[] = [];
    client.events.on("node:lost", ({ error }) => void reasons.push(error?.message));
    const { attempts } = client.stats();
    const before = client.current?.name ?? "";
    world.node(before.split("@")[0] as string).stall();
    await world.until(() => client.connected && client.current?.name !== before, 30_000);
    expect(reasons).toEqual([expect.stringMatching(/the peer was silent for too long/)]);
    expect(client.stats().attempts).toBe(attempts + 1);
  });
});
