/** Nodes as programs run them, in virtual time: cuts, killed processes and stalls of machines of their own. */
import { describe, expect, it } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { simulate, type World } from "../../src/testing/index.js";

const KEY = "01234567890123456789012345678901234567ab";
const NAMES = ["a", "b", "c", "d", "e"];

/** Starts a node on each machine. */
async function cluster(world: World, names: readonly string[]): Promise<Map<string, ClusterNode>> {
  const nodes = new Map<string, ClusterNode>();
  for (const name of names) {
    await world.node(name).start(async () => {
      const made = new ClusterNode({ name, scope: "link", key: KEY });
      await made.start();
      nodes.set(name, made);
    });
  }
  return nodes;
}

const seen = (node: ClusterNode | undefined): string =>
  (node?.members() ?? [])
    .map(({ name }) => name.slice(0, name.indexOf("@")))
    .sort()
    .join("");

describe("nodes in virtual time", () => {
  it("find each other, and a killed process is known to be gone within a second", async () => {
    await simulate({ seed: 7 }, async (world) => {
      const nodes = await cluster(world, NAMES);
      const reasons: string[] = [];
      await world.until(() => NAMES.every((name) => seen(nodes.get(name)) === "abcde"), 2_000);
      for (const name of "abcd")
        nodes.get(name)?.events.on("lost", ({ reason }) => void reasons.push(reason));
      world.node("e").kill();
      await world.until(() => [..."abcd"].every((name) => seen(nodes.get(name)) === "abcd"), 1_000);
      expect(reasons).toEqual(["connection", "connection", "connection", "connection"]);
    });
  });

  it("lose a machine without power by suspicion, and have it back as another life when it starts again", async () => {
    await simulate({ seed: 8 }, async (world) => {
      const nodes = await cluster(world, NAMES);
      await world.until(() => NAMES.every((name) => seen(nodes.get(name)) === "abcde"), 2_000);
      world.node("e").crash();
      await world.until(() => [..."abcd"].every((name) => seen(nodes.get(name)) === "abcd"), 6_000);
      await world.node("e").start(async () => {
        const made = new ClusterNode({ name: "e", scope: "link", key: KEY });
        await made.start();
        nodes.set("e", made);
      });
      await world.until(() => NAMES.every((name) => seen(nodes.get(name)) === "abcde"), 2_000);
      expect(
        nodes
          .get("a")
          ?.resolve("e@e")
          .map(({ id }) => id),
      ).toEqual([nodes.get("e")?.id]);
    });
  });

  it("take a cut for what it is: the smaller side knows, rejoins when it heals, and all see all", async () => {
    await simulate({ seed: 9 }, async (world) => {
      const nodes = await cluster(world, NAMES);
      await world.until(() => NAMES.every((name) => seen(nodes.get(name)) === "abcde"), 2_000);
      const heard: string[] = [];
      for (const [name, node] of nodes) {
        node.events.on(
          "minority",
          ({ reached, lost }) => void heard.push(`${name} minority ${reached} ${lost}`),
        );
        node.events.on("healed", ({ rejoined }) => void heard.push(`${name} healed ${rejoined}`));
      }
      const before = nodes.get("e")?.self.incarnation.start ?? 0;
      world.split(["a", "b", "c"], ["d", "e"]);
      await world.until(() => [..."abc"].every((name) => seen(nodes.get(name)) === "abc"), 6_000);
      await world.until(() => [..."de"].every((name) => seen(nodes.get(name)) === "de"), 6_000);
      await world.until(() => heard.length === 2, 3_000);
      expect(heard.sort()).toEqual(["d minority 2 3", "e minority 2 3"]);
      expect(nodes.get("d")?.minority).toBe(true);
      await world.advance(60_000);
      world.heal();
      await world.until(() => NAMES.every((name) => seen(nodes.get(name)) === "abcde"), 1_500);
      await world.until(() => heard.length === 4, 3_000);
      expect(heard.slice(2).sort()).toEqual(["d healed true", "e healed true"]);
      expect(nodes.get("e")?.self.incarnation.start).toBeGreaterThan(before);
    });
  });

  it("keep a node whose process stands still, when it goes on before it is given up, and have it back after", async () => {
    await simulate({ seed: 10 }, async (world) => {
      const nodes = await cluster(world, NAMES);
      await world.until(() => NAMES.every((name) => seen(nodes.get(name)) === "abcde"), 2_000);
      world.node("e").stall();
      await world.until(() => [..."abcd"].every((name) => seen(nodes.get(name)) === "abcd"), 5_000);
      expect(nodes.get("e")?.members().length).toBe(5);
      world.node("e").resume();
      await world.until(() => NAMES.every((name) => seen(nodes.get(name)) === "abcde"), 300);
    });
  });
});
