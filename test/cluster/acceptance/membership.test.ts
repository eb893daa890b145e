/**
 * The membership of a cluster of message brokers: join and status, the table of routes, what a cut of the network does, and when a
 * node that is down is forgotten.
 */
import { describe, expect } from "vitest";
import type { ClusterNode, ClusterNodeOptions } from "../../../src/cluster/index.js";
import type { World } from "../../../src/testing/index.js";
import { worldTest } from "../../support/world-test.js";
import { eventsOf, startNodes } from "../simulated.js";

const test = worldTest();
const it = worldTest({ runs: 4, long: 40 });

const PORT = 4_370;
const MINUTE = 60_000;

/** The names that a node has in its cluster, as `cluster status` prints them. */
const status = (node: ClusterNode): string => {
  const names = node.members().map(({ name }) => name);
  return names.sort().join(" ");
};

/** Brokers called `emq`, one on each host. None of them knows another one. */
async function brokers<const H extends string>(
  world: World,
  hosts: readonly H[],
  options: ClusterNodeOptions = {},
): Promise<Record<H, ClusterNode>> {
  const nodes = await startNodes(world, hosts, { name: "emq", port: PORT, multicast: false, ...options });
  return Object.fromEntries(nodes) as Record<H, ClusterNode>;
}

/** Brokers that have joined the first one. */
async function cluster<const H extends string>(
  world: World,
  hosts: readonly H[],
  options: ClusterNodeOptions = {},
): Promise<Record<H, ClusterNode>> {
  const nodes = await brokers(world, hosts, { seeds: [`${hosts[0]}:${PORT}`], ...options });
  const all = Object.values<ClusterNode>(nodes);
  await world.until(() => all.every((node) => node.members().length === all.length), 10_000);
  // Who has just come is of no side of a cut.
  await world.advance(5_000);
  return nodes;
}

describe("a node", () => {
  test("joins a cluster by any of its nodes, and all of them have it in their status", async (world) => {
    const { s1, s2, s3 } = await brokers(world, ["s1", "s2", "s3"]);
    expect(status(s1)).toBe("emq@s1");
    s2.join(`s1:${PORT}`);
    await world.until(() => status(s1) === "emq@s1 emq@s2" && status(s2) === status(s1), 5_000);
    s3.join(`s2:${PORT}`);
    await world.until(() => [s1, s2, s3].every((node) => status(node) === "emq@s1 emq@s2 emq@s3"), 5_000);
    expect(s3.member("emq@s1")).toMatchObject({ host: "s1", state: "alive", addresses: [s1.address] });
  });

  test("that is down is lost within seconds, and forgotten after the time of autoclean", async (world) => {
    const profile = { base: "lan", autoclean: 5 * MINUTE } as const;
    const { s1 } = await cluster(world, ["s1", "s2", "s3"], { profile });
    const heard = eventsOf(s1, "lost", "cleaned");
    world.node("s3").crash();
    await world.until(() => status(s1) === "emq@s1 emq@s2", 6_000);
    const known = () => s1.members({ gone: true }).map(({ name, state }) => `${name} ${state}`);
    await world.advance(4.9 * MINUTE);
    expect(known()).toEqual(["emq@s1 alive", "emq@s2 alive", "emq@s3 lost"]);
    await world.advance(0.2 * MINUTE);
    expect(known()).toEqual(["emq@s1 alive", "emq@s2 alive"]);
    expect(heard.map(({ type }) => type)).toEqual(["lost", "cleaned"]);
  });
});

describe("routes", () => {
  test("are the same table on all nodes, by which a message goes to those that subscribe, once each", async (world) => {
    const { node1, node2, node3 } = await cluster(world, ["node1", "node2", "node3"]);
    const delivered: string[] = [];
    const subscribe = (client: string, node: ClusterNode, ...filters: string[]): void => {
      for (const filter of filters)
        node.subscribe(filter, ({ topic }) => void delivered.push(`${client} ${topic}`));
    };
    subscribe("client1", node1, "t/+/x", "t/+/y");
    subscribe("client2", node2, "t/#");
    subscribe("client3", node3, "t/+/x", "t/a");

    const hosts = (ids: readonly string[]) => ids.map((id) => node1.member(id)?.host).sort();
    const routes = (node: ClusterNode, topic?: string) =>
      node.routes({ topic }).map(({ filter, nodes }) => `${filter} -> ${hosts(nodes).join()}`);
    const table = ["t/# -> node2", "t/+/x -> node1,node3", "t/+/y -> node1", "t/a -> node3"];
    await world.until(
      () => [node1, node2, node3].every((node) => routes(node).join() === table.join()),
      5_000,
    );

    expect(routes(node1, "t/a")).toEqual(["t/# -> node2", "t/a -> node3"]);
    expect(await node1.publish("t/a", "hello")).toBe(2);
    expect(await node1.publish("t/b/x", "hello")).toBe(3);
    await world.advance(1_000);
    expect(delivered.sort()).toEqual([
      "client1 t/b/x",
      "client2 t/a",
      "client2 t/b/x",
      "client3 t/a",
      "client3 t/b/x",
    ]);
    await world.node("node3").run(() => node3.leave());
    await world.until(() => routes(node1).join() === "t/# -> node2,t/+/x -> node1,t/+/y -> node1", 1_000);
  });
});

describe("a cut of the network", () => {
  const HOSTS = ["s1", "s2", "s3", "s4", "s5"] as const;
  const ALL = "emq@s1 emq@s2 emq@s3 emq@s4 emq@s5";

  it("leaves a majority that goes on; the minority knows, and rejoins by itself when it is over", async (world) => {
    const nodes = await cluster(world, HOSTS, { split: { autoheal: true } });
    const heard: string[] = [];
    for (const host of HOSTS) {
      nodes[host].events.on("minority", ({ reached, lost }) => {
        heard.push(`${host} is of a minority: ${reached} without ${lost}`);
      });
      nodes[host].events.on("healed", ({ rejoined }) => {
        heard.push(`${host} is healed${rejoined ? ", and has rejoined" : ""}`);
      });
    }
    const before = HOSTS.map((host) => nodes[host].self.incarnation.start);
    world.split(["s1", "s2", "s3"], ["s4", "s5"]);
    await world.until(
      () => status(nodes.s1) === "emq@s1 emq@s2 emq@s3" && status(nodes.s5) === "emq@s4 emq@s5",
      6_000,
    );
    await world.advance(MINUTE);
    expect(heard.splice(0).sort()).toEqual([
      "s4 is of a minority: 2 without 3",
      "s5 is of a minority: 2 without 3",
    ]);
    expect(HOSTS.map((host) => nodes[host].minority)).toEqual([false, false, false, true, true]);

    world.heal();
    await world.until(() => HOSTS.every((host) => status(nodes[host]) === ALL), 1_000);
    await world.until(() => heard.length === 2, 5_000);
    expect(heard.sort()).toEqual(["s4 is healed, and has rejoined", "s5 is healed, and has rejoined"]);
    const rejoined = HOSTS.map((host, i) => nodes[host].self.incarnation.start !== before[i]);
    expect(rejoined).toEqual([false, false, false, true, true]);
  });

  test("without autoheal waits for the program of the minority, which takes over the others' state first", async (world) => {
    const { s1, s3 } = await cluster(world, ["s1", "s2", "s3"], { split: { autoheal: false } });
    const healed = eventsOf(s3, "healed");
    world.split(["s1", "s2"], ["s3"]);
    await world.until(() => s3.minority, 20_000);
    world.heal();
    await world.until(() => healed.length === 1 && status(s1) === "emq@s1 emq@s2 emq@s3", 10_000);
    expect(healed[0]?.rejoined).toBe(false);
    const before = s3.self.incarnation.start;
    await world.node("s3").run(() => s3.heal());
    expect(s3.self.incarnation.start).toBeGreaterThan(before);
  });
});
