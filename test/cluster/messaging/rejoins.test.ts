/** A node that rejoins after a split under a new incarnation, in the same process: nothing that it and others wait for fails. */
import { expect, it } from "vitest";
import type { ClusterNode } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { pause, startNodes } from "../simulated.js";

it("a node that rejoins gets its answers, and is asked again", { timeout: 60_000 }, async () => {
  await simulate({ seed: 1, runs: 1, network: { latency: [1, 10] } }, async (world) => {
    const nodes = await startNodes(world, ["a", "b"], { port: 7000, seeds: ["a:7000", "b:7000"] });
    const got: string[] = [];
    const outcomes = new Map<string, unknown>();
    for (const [name, node] of nodes)
      await world.node(name).run(() => {
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
        node.serve("count", async function* (body) {
          for (let i = 1; i <= 3; i++) {
            await pause(500);
            yield `${body} ${i}`;
          }
        });
      });
    await world.advance(3_000);
    const [a, b] = [...nodes.values()] as [ClusterNode, ClusterNode];
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
    const read = async (from: ClusterNode, to: string): Promise<void> => {
      const parts: unknown[] = [];
      outcomes.set(`${to} streams`, parts);
      try {
        for await (const part of from.requestStream("count", to, { self: false })) parts.push(part);
      } catch (error) {
        parts.push((error as Error).message);
      }
    };
    const { id } = a;
    const both = [
      ["a", a, b],
      ["b", b, a],
    ] as const;
    for (const [name, from, to] of both)
      await world.node(name).run(() => {
        ask(from, to, "before");
        void read(from, name);
        void from.request("echo", "before", { self: false }).then(
          (reply) => outcomes.set(`${name} requests`, reply),
          (error) => outcomes.set(`${name} requests`, error.message),
        );
      });
    await world.advance(200);
    const changes: string[] = [];
    for (const type of ["restarted", "lost", "back", "tags"] as const)
      b.events.on(type, () => void changes.push(type));
    const { start } = b.member(id)?.incarnation ?? { start: 0 };
    await world.node("a").run(() => a.heal());
    await world.advance(100);
    expect([changes, a.id]).toEqual([[], id]);
    expect(b.member(id)?.incarnation.start).toBeGreaterThan(start);
    await world.advance(3_000);
    for (const name of ["a", "b"]) {
      expect(outcomes.get(`${name} asks before`)).toEqual(["before"]);
      expect(outcomes.get(`${name} requests`)).toBe("before");
      expect(outcomes.get(`${name} streams`)).toEqual([1, 2, 3].map((i) => `${name} ${i}`));
    }
    for (const [name, from, to] of both)
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
