/** A node that begins another life under its id, as after a split: what others wait for of it fails at once, and everything goes on with it. */
import { expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";

const KEY = "01234567890123456789012345678901234567ab";
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it("a node that rejoins gets its answers, and is asked again", { timeout: 60_000 }, async () => {
  await simulate({ seed: 1, runs: 1, network: { latency: [1, 10] } }, async (world) => {
    const nodes = new Map<string, ClusterNode>();
    const got: string[] = [];
    const outcomes = new Map<string, unknown>();
    for (const name of ["a", "b"])
      world.node(name).start(async () => {
        const node = new ClusterNode({
          name,
          scope: "link",
          key: KEY,
          port: 7000,
          seeds: ["a:7000", "b:7000"],
        });
        nodes.set(name, node);
        await node.start();
        node.onQuery(async ({ data }) => {
          await pause(1_000);
          return data;
        });
        node.onMessage(({ data }) => void got.push(`${name} message ${data}`));
        node.subscribe("t/+", { retained: true }, ({ data }) => void got.push(`${name} topic ${data}`));
        node.subscribe("self", ({ data }) => void got.push(`${name} self ${data}`));
        node.serve("echo", async (body) => {
          await pause(1_000);
          return body;
        });
      });
    await world.advance(3_000);
    const [a, b] = ["a", "b"].map((name) => nodes.get(name)) as [ClusterNode, ClusterNode];
    const ask = (from: ClusterNode, to: ClusterNode, what: string): void => {
      const [{ name }] = [from.self];
      void from
        .query({ services: [to.id], data: what, timeout: 20_000 })
        .collect()
        .then(({ replies, failed, missing }) =>
          outcomes.set(`${name.charAt(0)} asks ${what}`, [
            ...replies.map(({ data }) => data),
            ...failed.map(({ error }) => error.code),
            ...missing,
          ]),
        );
    };
    const { id } = a;
    await world.node("a").run(() => {
      ask(a, b, "before");
      void a.request("echo", "before").then((reply) => outcomes.set("a requests", reply));
    });
    await world.node("b").run(() => ask(b, a, "before"));
    await world.advance(200);
    let restarted = 0;
    b.events.on("restarted", () => {
      restarted += 1;
    });
    await world.node("a").run(() => a.heal());
    await world.advance(100);
    expect([restarted, a.id, outcomes.get("b asks before")]).toEqual([1, id, ["EHOSTUNREACH"]]);
    await world.advance(3_000);
    expect([outcomes.get("a asks before"), outcomes.get("a requests")]).toEqual([["before"], "before"]);
    for (const [name, from, to] of [
      ["a", a, b],
      ["b", b, a],
    ] as const)
      await world.node(name).run(() => {
        ask(from, to, "after");
        void from.publish(`t/${name}`, name, { retain: true, self: false });
        void from.send({ services: [to.id], data: name });
        void from.sendTo(to.self, name).then(() => outcomes.set(`${name} sends`, true));
      });
    await world.advance(3_000);
    for (const name of ["a", "b"]) {
      expect(outcomes.get(`${name} asks after`)).toEqual(["after"]);
      expect(outcomes.get(`${name} sends`)).toBe(true);
    }
    const all = ["message", "self", "topic"].flatMap((what) => [`a ${what} b`, `b ${what} a`]);
    expect(got.sort()).toEqual(all.sort());
  });
});
