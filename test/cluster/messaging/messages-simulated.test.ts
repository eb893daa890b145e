/** Whole nodes in virtual time: what becomes of messages and routes for nodes that are out of reach, and what messages tell membership. */
import { describe, expect } from "vitest";
import type { ClusterNode, ClusterNodeOptions, Member } from "../../../src/cluster/index.js";
import type { World } from "../../../src/testing/index.js";
import { watch } from "../../support/settled.js";
import { worldTest } from "../../support/world-test.js";
import { eventsOf, startNodes } from "../simulated.js";
import { MemoryProtocol } from "./memory-protocol.js";

const it = worldTest();
const test = worldTest({ network: { latency: [1, 10] } });

/** Nodes that live by their heartbeats alone: nobody is probed, and one that is silent is kept for 10 minutes. */
async function beating(
  world: World,
  messaging: Readonly<Record<string, ClusterNodeOptions["messaging"]>>,
): Promise<Record<string, ClusterNode>> {
  const started = startNodes(world, Object.keys(messaging), (name) => ({
    profile: "tcl",
    messaging: messaging[name],
  }));
  const nodes = Object.fromEntries(await started);
  const { length } = Object.keys(messaging);
  await world.until(() => Object.values(nodes).every((node) => node.resolve().length === length), 30_000);
  // Their details have come.
  await world.advance(5_000);
  return nodes;
}

describe("a node to which no protocol of messages works", () => {
  it("is given up by all with their next beat, not by the one alone that had a message for it", async (world) => {
    // Of these, a alone has links.
    const nodes = await beating(world, { a: true, b: true, c: false, d: false });
    const { a, b } = nodes as { a: ClusterNode; b: ClusterNode };
    const to = a.member("b") as Member;
    world.node("b").crash();
    const sent = watch(world.node("a").run(() => a.sendTo(to, "x", { timeout: -1 })));
    const others = [a, nodes.c, nodes.d];
    for (const node of others) expect(node?.member(b.id)?.state).toBe("alive");
    // The longest time between two heartbeats.
    await world.until(() => others.every((node) => node?.resolve().length === 3), 130_000);
    expect(sent.code).toBe("EHOSTUNREACH");
  });

  it("stays a member of all while it lives, and gets what waited when one works again", async (world) => {
    const broken = new MemoryProtocol("wire");
    const wired = { protocols: [broken.protocol] };
    broken.fails = true;
    const nodes = await beating(world, { a: wired, b: wired, c: false, d: false });
    const { a, b } = nodes as { a: ClusterNode; b: ClusterNode };
    const got: string[] = [];
    await world.node("b").run(() => void b.subscribe("self", ({ data }) => void got.push(String(data))));
    const before = b.stats().packetsSent;
    const sent = watch(world.node("a").run(() => a.sendTo(a.member("b") as Member, "x", { timeout: -1 })));
    // It is asked for a sign of life, again and again, and gives it: an idle one heartbeats once in 2 minutes.
    await world.advance(20_000);
    expect(broken.attempts).toBeGreaterThan(5);
    expect(b.stats().packetsSent - before).toBeGreaterThan(5);
    await world.advance(300_000);
    for (const node of Object.values(nodes)) expect(node.resolve()).toHaveLength(4);
    expect([sent.state, got]).toEqual(["pending", []]);
    broken.fails = false;
    await world.until(() => sent.state === "fulfilled", 5_000);
    expect(got).toEqual(["x"]);
  });
});

it("the routes of a lost node are kept until it is forgotten", async (world) => {
  const nodes = await startNodes(world, ["a", "b"], { profile: { autoclean: 30_000 } });
  for (const [each, node] of nodes)
    await world.node(each).run(() => void node.subscribe("t", () => undefined));
  const routes = (): number | undefined => nodes.get("a")?.stats().messaging?.routes.routes;
  const publish = (): Promise<number> =>
    world.node("a").run(() => (nodes.get("a") as ClusterNode).publish("t", "", { self: false }));
  await world.until(() => routes() === 1, 5_000);
  let lostAt = -1;
  nodes.get("a")?.events.on("lost", () => {
    lostAt = world.now;
  });
  world.cut("a", "b");
  await world.until(() => lostAt >= 0, 10_000);
  expect(await publish()).toBe(0);
  await world.advance(lostAt + 20_000 - world.now);
  expect(routes()).toBe(1);
  world.heal();
  // It is a target as soon as it is back: nothing is asked.
  await world.until(() => nodes.get("a")?.resolve().length === 2, 5_000);
  expect(await publish()).toBe(1);
  lostAt = -1;
  world.cut("a", "b");
  await world.until(() => lostAt >= 0, 10_000);
  await world.advance(lostAt + 29_900 - world.now);
  expect(routes()).toBe(1);
  await world.advance(3_000);
  expect(routes()).toBe(0);
});

describe("a process that starts at the address of a killed one", () => {
  for (const isSeen of [true, false])
    it(`gives up what waited for that one, which is lost ${isSeen ? "before" : "after"} it`, async (world) => {
      const options = { port: 7000, seeds: ["a:7000"] };
      const [a, b] = [...(await startNodes(world, ["a", "b", "c"], options)).values()] as [
        ClusterNode,
        ClusterNode,
      ];
      await world.node("b").run(() => void b.subscribe("t", () => undefined));
      await world.advance(2_000);
      const gone = eventsOf(a, "message:dropped");
      const lost = eventsOf(a, "lost");
      world.node("b").kill();
      void world.node("a").run(() => a.publish("t", "x"));
      if (isSeen) await world.until(() => lost.length === 1, 10_000);
      await startNodes(world, ["b"], options);
      await world.until(() => gone.length === 1 && a.members().length === 3, 10_000);
      expect(gone).toMatchObject([{ reason: "gone", node: b.id, count: 1 }]);
      expect(lost).toHaveLength(1);
      expect(a.stats().messaging?.routes.routes).toBe(0);
    });
});

test("a message, and what acknowledges it, shows that its sender is there", async (world) => {
  // Membership itself sends nothing for a long time.
  const [hour, probeTimeout] = [3_600_000, 1_000];
  const profile = { probeInterval: hour, probeTimeout, heartbeatInterval: hour, syncInterval: hour };
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
