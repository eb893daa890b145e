/** Clients of discovery in virtual time: what becomes of them when the node of their server is killed or stands still, and how many spread. */
import { expect, it } from "vitest";
import { ClusterNode, DiscoveryClient, DiscoveryServer } from "../../../src/cluster/index.js";
import { simulate, type World } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { KEY } from "../simulated.js";

const CLIENTS = LONG ? 500 : 100;
const USER = { username: "ana", password: "secret" };

/** Clients on one machine that know the server of "a", where each of these nodes has one, and have moved by lot. */
async function clientsOf(world: World, names: string, count: number) {
  const nodes = new Map<string, ClusterNode>();
  for (const name of names)
    await world.node(name).start(async () => {
      const node = new ClusterNode({ name, scope: "link", key: KEY });
      nodes.set(name, node);
      await node.start();
      const users = { [USER.username]: USER.password };
      const addresses = () => [{ ip: world.node(name).address, interface: "eth0", prefix: 16 }];
      await new DiscoveryServer(node, { endpoint: "tcp://*:7001", users, addresses }).start();
    });
  await world.until(
    () => [...nodes.values()].every((node) => node.members().length === names.length),
    10_000,
  );
  await world.advance(1_500);
  const clients = await world.node("clients").start(() =>
    Array.from({ length: count }, () => {
      const options = { ...USER, attemptTimeout: 20_000, refreshInterval: 600_000 };
      return new DiscoveryClient({ addresses: "tcp://a:7001", ...options });
    }),
  );
  await world.advance(30_000);
  return { nodes, clients };
}

const placeOf = (of: DiscoveryClient): string => of.current?.name.split("@")[0] ?? "";

it.each([
  ["killed", 1_000, /^(?!.*silent)/],
  ["stalled", 30_000, /the peer was silent for too long/],
] as const)("a client whose node is %s is at another one with its first attempt", async (how, within, reason) => {
  await simulate({ seed: 1, runs: 2 }, async (world) => {
    const { clients } = await clientsOf(world, "abc", 1);
    const [client] = clients as [DiscoveryClient];
    const reasons: unknown[] = [];
    client.events.on("node:lost", ({ error }) => void reasons.push(error?.message));
    const { attempts } = client.stats();
    const before = placeOf(client);
    if (how === "killed") world.node(before).kill();
    else world.node(before).stall();
    await world.until(() => client.connected && placeOf(client) !== before, within);
    expect([reasons, client.stats().attempts]).toEqual([[expect.stringMatching(reason)], attempts + 1]);
  });
});

it(`${CLIENTS} clients that know one node spread over 4, and again after one is killed`, {
  timeout: 120_000,
}, async () => {
  await simulate({ seed: 1, runs: 1 }, async (world) => {
    const { nodes, clients } = await clientsOf(world, "abcd", CLIENTS);
    const expectSpread = (over: string): void => {
      const share = CLIENTS / over.length;
      for (const name of over) {
        const here = clients.filter((client) => client.connected && placeOf(client) === name).length;
        // Three standard deviations of a lot.
        expect(Math.abs(here - share), name).toBeLessThan(3 * Math.sqrt(share));
      }
      expect(clients.every((client) => over.includes(placeOf(client)))).toBe(true);
    };
    expectSpread("abcd");
    world.node("b").kill();
    await world.advance(30_000);
    expectSpread("acd");
    const found = await world.node("c").run(() => (nodes.get("c") as ClusterNode).clients());
    expect([found.clients.length, found.missing]).toEqual([CLIENTS, []]);
    expect(new Set(found.clients.map(({ node }) => node.split("@")[0]))).toEqual(new Set([..."acd"]));
  });
});
