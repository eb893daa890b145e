/** Messages of nodes as programs run them: real links, real routes. */
import { describe, expect, test, vi } from "vitest";
import type { ClusterNode, Member, QueryError } from "../../../src/cluster/index.js";
import { freePort } from "../../support/ports.js";
import { event, testNodes } from "../nodes.js";

const PORT = await freePort();
const SOON = { timeout: 10_000 };

const { node: create } = testNodes(() => ({
  cluster: "namespace-messages",
  multicast: { port: PORT },
  registry: false,
}));

/** Of nodes that are started here: each knows the other one, and what that announces. */
async function meet(a: ClusterNode, b: ClusterNode): Promise<void> {
  const joined = [a, b].map((node) => event(node, "joined"));
  await Promise.all([a.start(), b.start(), ...joined]);
}

describe("messages of nodes", () => {
  test("subscriptions, tags and props of before the start are known to who is met after it", async () => {
    const [a, b] = [create("a"), create("b", { tags: ["eu"], messaging: { settle: 0 } })];
    const EFSM = expect.objectContaining({ code: "EFSM" });
    const arrived = new Promise((resolve) => {
      b.subscribe("plant/+", ({ topic, data }) => resolve(`${topic}: ${data}`));
    });
    const answers = b.subscribe("self");
    const each = b.subscribe("many/#");
    each.close();
    expect(b.tags("billing", { remove: ["eu"] })).toEqual(["billing"]);
    expect({ ...b.props({ site: "north" }) }).toEqual({ site: "north" });
    expect(() => b.tags("x".repeat(10_000))).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => b.props({ "shoal-messages": "x" })).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(b.tags()).toEqual(["billing"]);
    // What reaches others has to wait for them.
    await expect(b.publish("plant/7", "x")).rejects.toThrow(EFSM);
    expect(() => b.createClient()).toThrow(EFSM);
    expect(() => b.routes()).toThrow(EFSM);
    await meet(a, b);
    const [found] = a.resolve("billing");
    expect([found?.id, found?.tags, { ...found?.props }]).toEqual([b.id, ["billing"], { site: "north" }]);
    expect(await a.publish("plant/7", "warm")).toBe(1);
    expect(await arrived).toBe("plant/7: warm");
    expect(await b.publish("plant/7", "hot")).toBe(1);
    await a.sendTo(found as Member, "hello");
    for await (const { data } of answers) {
      expect(String(data)).toBe("hello");
      break;
    }
    expect(answers.closed).toBe(true);
    // A list is on its way while its node is greeted: until then that one gets all publications.
    await expect.poll(() => a.routes(), SOON).toEqual([{ filter: "plant/+", nodes: [b.id] }]);
  });

  test("a subscription is ready without a member whose version of messages this node does not know", async () => {
    const [a, b] = [create("a"), create("b")];
    await meet(a, b);
    const seen = event(a, "tags");
    b.parts.details.setAdvert("2;tcp=1");
    b.tags("newer");
    await seen;
    await a.subscribe("plant/+").ready;
    await expect(a.sendTo(a.member("b") as Member, "x")).rejects.toMatchObject({ code: "EHOSTUNREACH" });
  });

  test("a node that is closed before it started gives up what it subscribed to", async () => {
    const a = create("a");
    const subscription = a.subscribe("plant/+");
    await a.close();
    expect((await subscription[Symbol.asyncIterator]().next()).done).toBe(true);
    expect(() => a.subscribe("plant/+")).toThrow(expect.objectContaining({ code: "EBADF" }));
    expect(() => a.tags("x")).toThrow(expect.objectContaining({ code: "EBADF" }));
  });

  test("a cluster that a node has left and joined again has its new subscriptions, and none of before", async () => {
    const [a, b] = [create("a"), create("b")];
    await meet(a, b);
    const again = `again-${process.pid}`;
    const there = b.namespace(again, { seeds: [a.address] });
    const got: string[] = [];
    for (const topic of ["old", "new"]) {
      const here = a.namespace(again, { seeds: [b.address] });
      await expect.poll(() => there.members().length, SOON).toBe(2);
      await here.subscribe(topic, ({ data }) => void got.push(`${data}`)).ready;
      await expect.poll(() => there.routes(), SOON).toEqual([{ filter: topic, nodes: [a.id] }]);
      await there.publish(topic, topic);
      await expect.poll(() => got.at(-1), SOON).toBe(topic);
      if (topic === "old") await here.close();
    }
    expect(got).toEqual(["old", "new"]);
  });

  test("a retained value of the largest size reaches a later subscription, and a larger one is refused", async () => {
    const messaging = { maxItem: 262_144, settle: 0 };
    const [a, b] = [create("a", { messaging }), create("b", { messaging })];
    await meet(a, b);
    let size = 262_144;
    let refused = 0;
    for (; ; size--) {
      const kept = await a.publish("t/large", Buffer.alloc(size), { retain: true }).catch((error) => error);
      if (kept === 0) break;
      expect(kept).toMatchObject({ code: "EINVAL" });
      refused += 1;
    }
    expect(refused).toBeLessThan(64);
    await a.publish("t/small", "x", { retain: true });
    const got: number[] = [];
    b.subscribe("t/#", { retained: true }, ({ data }) => void got.push(data.length));
    await expect.poll(() => got.sort((one, other) => one - other), SOON).toEqual([1, size]);
  });

  test("what goes to all nodes and is larger than one takes is reported as dropped for that one", async () => {
    const a = create("a");
    const b = create("b", { messaging: { maxItem: 262_144 } });
    await meet(a, b);
    const dropped: unknown[] = [];
    a.events.on("message:dropped", (event) => dropped.push(event));
    // A node that has just joined may not have said yet that it takes messages.
    await vi.waitFor(async () => {
      expect(await a.sendToNodes(Buffer.alloc(300_000))).toBe(0);
      expect(dropped).toHaveLength(1);
    }, SOON);
    expect(dropped).toMatchObject([{ reason: "size", node: b.id, prefix: "$direct", count: 1 }]);
  });

  test("what is larger than a node takes is dropped for that one, counted and reported; its other values come", async () => {
    const a = create("a", { messaging: { settle: 0 } });
    const b = create("b", { messaging: { maxItem: 262_144 } });
    await meet(a, b);
    const dropped: unknown[] = [];
    a.events.on("message:dropped", (event) => dropped.push(event));
    for (const [topic, size] of [
      ["t/1", 10],
      ["t/2", 300_000],
      ["t/3", 20],
    ] as const)
      await a.publish(topic, Buffer.alloc(size), { retain: true });
    const got: string[] = [];
    b.subscribe("t/#", { retained: true }, ({ topic }) => void got.push(topic));
    await expect.poll(() => got, SOON).toEqual(["t/1", "t/3"]);
    const large = Buffer.alloc(300_000);
    expect(await a.publish("t/4", large)).toBe(0);
    expect(await a.publish("t/4", large, { onFull: "wait" })).toBe(0);
    expect(dropped).toMatchObject([{ reason: "size", node: b.id, count: 1 }]);
    expect(a.stats().messaging?.links.peers).toMatchObject([{ dropped: 3 }]);
    const to = a.member("b") as Member;
    await expect(a.sendTo(to, large)).rejects.toMatchObject({ code: "EINVAL" });
    const { failed } = await a.send({ members: [to], data: large });
    expect(failed.map(({ error }) => error.code)).toEqual(["EINVAL"]);
    // Nor does it take more of itself: what works at one node works at all.
    await b.serve("size", (body) => (body as Buffer).length).ready;
    await expect(b.request("size", large)).rejects.toMatchObject({ code: "EINVAL" });
    expect(await b.request("size", Buffer.alloc(250_000))).toBe(250_000);
    const own = { resolve: b.id, self: true, data: large } as const;
    expect((await b.send(own)).failed).toMatchObject([{ member: { id: b.id }, error: { code: "EINVAL" } }]);
    const asked = await b.query(own).collect();
    expect(asked.failed).toMatchObject([{ member: { id: b.id }, error: { code: "EINVAL" } }]);
    // An answer that b does not take is a failure at once, not a time-out.
    a.onQuery(() => large);
    const answers = await b.query({ resolve: "localhost", data: "?" }).collect();
    expect([answers.missing, answers.failed.map(({ error }) => (error as QueryError).reason)]).toEqual([
      [],
      ["too-large"],
    ]);
  });
});
