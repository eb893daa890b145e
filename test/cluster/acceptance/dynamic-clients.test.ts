/**
 * Dynamic clients: a program that is no node is given the address of one broker, learns all brokers of the cluster from it, spreads its
 * work over them, and goes to another one when its own fails. Nothing of that is in its configuration.
 */
import { describe, expect } from "vitest";
import {
  ClusterNode,
  DiscoveryClient,
  type DiscoveryClientOptions,
  DiscoveryServer,
  type DiscoveryServerOptions,
} from "../../../src/cluster/index.js";
import { Pull, Push } from "../../../src/index.js";
import type { World } from "../../../src/testing/index.js";
import { worldTest } from "../../support/world-test.js";
import { KEY } from "../simulated.js";

const test = worldTest();
const it = worldTest({ runs: 2 });

const users = {
  ana: { password: "secret", permissions: ["publish", "dynamicDiscovery"] },
  bob: { password: "hush", permissions: ["publish"] },
};

interface Broker {
  readonly node: ClusterNode;
  /** What its clients sent. */
  readonly received: string[];
}

/** Message brokers that find each other: the program of each, by its name. */
function cluster(world: World, options: Partial<DiscoveryServerOptions> = {}) {
  const brokers = new Map<string, Broker>();
  const start = (name: string): Promise<void> =>
    world.node(name).start(async () => {
      const node = new ClusterNode({ name, scope: "link", key: KEY });
      await node.start();
      const received: string[] = [];
      const server = new DiscoveryServer(node, {
        endpoint: "tcp://*:7000",
        port: 5_672,
        users,
        ...options,
      });
      await server.start();
      brokers.set(name, { node, received });
      const pull = new Pull();
      await pull.bind("tcp://*:5672");
      void (async () => {
        for await (const [message] of pull) received.push(String(message));
      })();
    });
  return { brokers, start };
}

/** The names of the brokers that a client knows. */
const names = (client: DiscoveryClient): string =>
  client.nodes
    .filter(({ discovery }) => discovery.length > 0)
    .map(({ name }) => name.split("@")[0])
    .sort()
    .join(" ");
const ana = (addresses: string, options: Partial<DiscoveryClientOptions> = {}): DiscoveryClient =>
  new DiscoveryClient({ addresses, username: "ana", password: "secret", ...options });
const ALL = "mb1 mb2 mb3";

describe("a client that knows one broker", () => {
  test("learns all of them, and spreads its messages over those that come and go", async (world) => {
    const { brokers, start } = cluster(world);
    for (const name of ["mb1", "mb2"]) await start(name);
    const client = ana("mb1:7000");
    await client.ready();
    await world.until(() => names(client) === "mb1 mb2", 5_000);

    const push = new Push();
    push.connect(client);
    await start("mb3");
    await world.until(() => names(client) === ALL, 5_000);
    await push.ready({ peers: 3 });
    for (let i = 0; i < 6; i++) await push.send(`order ${i}`);
    const counts = () => [...brokers.values()].map(({ received }) => received.length);
    await world.until(() => counts().join() === "2,2,2", 1_000);

    // It leaves one that drains, and so does what it sends.
    const own = client.current?.name.split("@")[0] as string;
    await world.node(own).run(() => brokers.get(own)?.node.drain());
    await world.until(() => client.connected && client.current?.name !== `${own}@${own}`, 1_000);
    await world.advance(1_000);
    for (let i = 0; i < 6; i++) await push.send(`order ${i}`);
    const expected = [...brokers.keys()].map((name) => (name === own ? 2 : 5));
    await world.until(() => counts().join() === expected.join(), 1_000);

    await world.node(own).run(() => brokers.get(own)?.node.leave());
    const others = ALL.split(" ").filter((name) => name !== own);
    await world.until(() => names(client) === others.join(" "), 1_000);
  });

  test("goes to another one when its own crashes, and all know it when it is back", async (world) => {
    const { brokers, start } = cluster(world);
    for (const name of ["mb1", "mb2", "mb3"]) await start(name);
    const client = ana("mb1:7000", { name: "subscriber" });
    await client.ready();
    await world.until(() => names(client) === ALL && client.current !== undefined, 5_000);
    const own = client.current?.name.split("@")[0] as string;

    world.node(own).kill();
    await world.until(() => client.connected && client.current?.name !== `${own}@${own}`, 1_000);
    await world.until(
      () =>
        names(client) ===
        ALL.split(" ")
          .filter((name) => name !== own)
          .join(" "),
      2_000,
    );
    // Each broker knows which clients are connected where.
    const other = [...brokers.values()].find(({ node }) => node.name !== `${own}@${own}`)?.node;
    const { clients, missing } = (await other?.clients()) ?? {};
    expect(missing).toEqual([]);
    expect(clients).toMatchObject([{ id: client.id, name: "subscriber", node: client.current?.name }]);

    await start(own);
    await world.until(() => names(client) === ALL, 5_000);
    const next = ana(`${own}:7000`);
    await next.ready();
    await world.until(() => names(next) === ALL, 1_000);
  });

  it("is at another one with its first attempt when the node of its own stands still", async (world) => {
    const { start } = cluster(world);
    for (const name of ["mb1", "mb2", "mb3"]) await start(name);
    await world.advance(2_000);
    const client = ana("mb1:7000", { attemptTimeout: 20_000, refreshInterval: 600_000 });
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

  test("of many goes to any of them, whichever one it was given, and to those that are left", async (world) => {
    const { start } = cluster(world);
    for (const name of ["mb1", "mb2", "mb3"]) await start(name);
    await world.advance(2_000);
    const clients = Array.from({ length: 30 }, () => ana("mb1:7000"));
    await Promise.all(clients.map((client) => client.ready()));
    await world.advance(2_000);
    const at = (name: string) => clients.filter(({ current }) => current?.name === `${name}@${name}`);
    const counts = () => ALL.split(" ").map((name) => at(name).length);
    expect(counts().reduce((sum, count) => sum + count)).toBe(30);
    expect(Math.min(...counts())).toBeGreaterThan(3);
    const moving = at("mb2");
    world.node("mb2").kill();
    await world.advance(2_000);
    expect(new Set(moving.map(({ current }) => current?.name))).toEqual(new Set(["mb1@mb1", "mb3@mb3"]));
  });
});

describe("the list of brokers", () => {
  test("has the addresses of every interface, or the public ones for clients outside of a cloud", async (world) => {
    const { start } = cluster(world, {
      addresses: () => [
        { ip: "10.0.0.1", interface: "wlp3s0", prefix: 8, public: "203.0.113.7" },
        { ip: "192.168.11.50", interface: "enp0s25", prefix: 24 },
      ],
    });
    await start("mb1");
    const inside = ana("mb1:7000");
    await inside.ready();
    expect(inside.nodes[0]?.addresses).toEqual([
      { ip: "10.0.0.1", interface: "wlp3s0", port: 5_672 },
      { ip: "192.168.11.50", interface: "enp0s25", port: 5_672 },
    ]);
    const outside = ana("mb1:7000", { scope: "public" });
    await outside.ready();
    expect(outside.nodes[0]?.addresses).toMatchObject([{ ip: "203.0.113.7", port: 5_672 }]);
  });

  test("is asked for so often as the client is told; until then, a static list serves", async (world) => {
    for (const name of ["mb1", "mb2", "mb3"]) await world.node(name).start(() => undefined);
    const client = new DiscoveryClient({
      addresses: ["mb1:7000", "mb2:7000", "mb3:7000"],
      retries: 1,
      connectionDelay: 20,
      cycleCount: 2,
      fallback: ["tcp://mb9:5672"],
    });
    const tried: string[] = [];
    client.events.on("attempt:failed", ({ address }) => void tried.push(address));
    const failed = new Promise<unknown>((resolve) => client.events.once("cycles:failed", resolve));
    const since = world.now;
    await expect(client.ready()).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    expect(await failed).toMatchObject({ attempts: 3 * (1 + 1) * 2 });
    const each = ["mb1", "mb2", "mb3"].flatMap((name) => Array(4).fill(`tcp://${name}:7000`));
    expect(tried.sort()).toEqual(each);
    expect(world.now - since).toBeGreaterThanOrEqual(3 * 2 * 20);
    const { value } = await client.endpoints(new AbortController().signal)[Symbol.asyncIterator]().next();
    expect(value).toEqual(["tcp://mb9:5672"]);
    // After a rest it tries all of them again.
    await world.until(() => client.stats().attempts > each.length, 60_000);
  });
});
