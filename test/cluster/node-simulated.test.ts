/** Nodes as programs run them, in virtual time: cuts, killed processes and stalls of machines of their own. */
import { describe, expect, it, vi } from "vitest";
import type { ClusterMessage, ClusterNamespace, ClusterNode } from "../../src/cluster/index.js";
import { SimulatedDatagrams } from "../../src/testing/datagrams.js";
import { simulate } from "../../src/testing/index.js";
import { nodesTogether, started, startNodes } from "./simulated.js";

const NAMES = ["a", "b", "c", "d", "e"];

// Without messages for Tcl's terms: a link that fails is a ping, and those live by their heartbeats alone.
const TCL = { profile: { base: "tcl", syncInterval: 86_400_000 }, messaging: false } as const;

const seen = (node: ClusterNamespace | undefined): string =>
  (node?.members() ?? [])
    .map(({ name }) => name.slice(0, name.indexOf("@")))
    .sort()
    .join("");

/** Whether each of these sees exactly those. */
const allSee = (nodes: ReadonlyMap<string, ClusterNode>, of: string, wanted = of): boolean =>
  [...of].every((name) => seen(nodes.get(name)) === wanted);

describe("nodes in virtual time", () => {
  it("find each other, and a killed process is known to be gone within a second", async () => {
    await simulate({ seed: 7 }, async (world) => {
      const nodes = await startNodes(world, NAMES);
      const reasons: string[] = [];
      await world.until(() => allSee(nodes, "abcde"), 2_000);
      for (const name of "abcd")
        nodes.get(name)?.events.on("lost", ({ reason }) => void reasons.push(reason));
      const splits: string[] = [];
      const [a] = nodes.values();
      a?.events.on("split", ({ reached, lost, strategy }) => {
        splits.push(`${reached} ${lost} ${strategy}`);
      });
      // Nobody was lost: that is no split.
      await world.advance(3_000);
      expect(splits).toEqual([]);
      world.node("e").kill();
      await world.until(() => allSee(nodes, "abcd"), 1_000);
      expect(reasons).toEqual(["connection", "connection", "connection", "connection"]);
      await world.advance(3_000);
      expect(splits).toEqual(["4 1 majority"]);
    });
  });

  it("meet, stay and miss who dies where no datagram arrives: over streams alone, as behind a firewall", async () => {
    const dropped = vi.spyOn(SimulatedDatagrams.prototype, "send").mockImplementation((_bytes, ...args) => {
      const sent = args.at(-1);
      if (typeof sent === "function") process.nextTick(sent, null, 0);
    });
    try {
      await simulate({ seed: 19 }, async (world) => {
        const lost: string[] = [];
        const nodes = await startNodes(world, NAMES, { port: 7000, seeds: ["a:7000", "b:7000"] });
        for (const node of nodes.values())
          node.events.on("lost", ({ member }) => void lost.push(member.name));
        await world.until(() => allSee(nodes, "abcde"), 10_000);
        await world.advance(20_000);
        expect(lost).toEqual([]);
        world.node("e").crash();
        await world.until(() => allSee(nodes, "abcd"), 20_000);
        expect(dropped.mock.calls.length).toBeGreaterThan(100);
        // Nobody waits for a synchronization: not for tags, nor for what an operator decides.
        const [b, d] = [nodes.get("b"), nodes.get("d")];
        d?.tags("new");
        const known = (name: string): boolean => nodes.get(name)?.resolve("new").length === 1;
        await world.until(() => [..."abc"].every(known), 500);
        const id = d?.id ?? "";
        const heard: string[] = [];
        d?.events.on("removed", (event) => void heard.push(`removed ${event.id === id}`));
        b?.events.on("joined", ({ member }) => void heard.push(`joined ${member.name}`));
        b?.remove("d");
        await world.until(() => d?.removed === true, 2_000);
        // The others would not know.
        expect(() => d?.admit(id)).toThrow(expect.objectContaining({ code: "EFSM" }));
        expect([d?.removed, allSee(nodes, "abc")]).toEqual([true, true]);
        b?.admit(id);
        await world.until(() => d?.removed === false && seen(d) === "abcd", 20_000);
        await world.until(() => allSee(nodes, "abc", "abcd"), 1_000);
        await world.until(() => heard.join() === "removed true,joined d@d", 1_000);
        // Who says goodbye is not missed.
        await world.advance(5_000);
        lost.length = 0;
        void d?.close({ linger: 0 });
        await world.until(() => allSee(nodes, "abc"), 500);
        expect(lost).toEqual([]);
      });
    } finally {
      dropped.mockRestore();
    }
  });

  it.each([1, 2, 3])("deliver messages across a healed cut within a second of its end (%i)", async (seed) => {
    await simulate({ seed }, async (world) => {
      const nodes = await startNodes(world, NAMES);
      const got = new Set<string>();
      for (const [name, node] of nodes)
        await world.node(name).run(() => {
          void (async () => {
            for await (const { topic } of node.subscribe("from/#")) got.add(`${name} ${topic}`);
          })();
        });
      await world.until(() => allSee(nodes, "abcde"), 2_000);
      const publish = (name: string): Promise<void> =>
        world.node(name).run(() => void nodes.get(name)?.publish(`from/${name}`, "x"));
      const have = (names: string, topic: string) => [...names].every((name) => got.has(`${name} ${topic}`));
      await publish("c");
      await world.until(() => have("abcde", "from/c"), 1_000);
      world.split(["a", "b", "c"], ["d", "e"]);
      // TCP's next retransmission would be at 51 s.
      await world.advance(30_000);
      world.heal();
      await world.until(() => allSee(nodes, "abcde"), 1_000);
      await publish("d");
      await publish("a");
      await world.until(() => have("abc", "from/d") && have("de", "from/a"), 1_000);
    });
  });

  it("lose one that stands still for long, and have it back; its messages go on, each once", async () => {
    await simulate({ seed: 20 }, async (world) => {
      const [watcher, stalled] = await nodesTogether(world, ["watcher", "stalled"]);
      const seen: string[] = [];
      for (const type of ["lost", "back"] as const) watcher.events.on(type, () => void seen.push(type));
      const numbers: number[] = [];
      const take = ({ data }: ClusterMessage): void => void numbers.push(Number(data));
      await world.node("watcher").run(() => void watcher.subscribe("load", take));
      let sent = 0;
      const publish = (): void => void stalled.publish("load", String(sent++), { self: false });
      await world.node("stalled").run(() => void setInterval(publish, 20));
      await world.until(() => numbers.length > 10, 5_000);
      world.node("stalled").stall(5_000);
      await world.until(() => seen.includes("back"), 10_000);
      const before = numbers.length;
      await world.until(() => numbers.length > before + 10, 1_000);
      expect(seen).toEqual(["lost", "back"]);
      expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    });
  });

  it("by Tcl's terms live by heartbeats alone: a silent one is lost after its time to live, a missed one at once", async () => {
    await simulate({ seed: 16 }, async (world) => {
      const nodes = await startNodes(world, NAMES, TCL);
      await world.until(() => allSee(nodes, "abcde"), 20_000);
      const lost: string[] = [];
      for (const [by, node] of nodes)
        node.events.on("lost", ({ member }) => void lost.push(`${member.name} ${by}`));
      await world.advance(1_800_000);
      world.node("e").crash();
      await world.advance(460_000);
      expect([allSee(nodes, "abcd", "abcde"), lost]).toEqual([true, []]);
      await world.until(() => allSee(nodes, "abcd"), 430_000);
      world.node("d").crash();
      await world.advance(200_000);
      expect(seen(nodes.get("b"))).toBe("abcd");
      await world.node("a").run(() => nodes.get("a")?.ping("d@d"));
      await world.until(() => allSee(nodes, "abc"), 150_000);
      // Its streams end: that is a ping, too.
      world.node("c").kill();
      await world.until(() => allSee(nodes, "ab"), 140_000);
      const unknown = world.node("a").run(() => nodes.get("a")?.ping("d@d"));
      await expect(unknown).rejects.toMatchObject({ code: "EHOSTUNREACH" });
      // Nobody else, by any of them.
      expect(lost.sort()).toEqual([
        "c@c a",
        "c@c b",
        "d@d a",
        "d@d b",
        "d@d c",
        "e@e a",
        "e@e b",
        "e@e c",
        "e@e d",
      ]);
    });
  });

  it("of the host scope hear nobody from outside their host, and count what comes", async () => {
    await simulate({ seed: 17 }, async (world) => {
      const nodes: ClusterNode[] = [];
      // Two on one machine, one on another; the simulated link carries a group however small its TTL.
      for (const names of ["xy", "z"])
        await world.node(names).start(async () => {
          for (const name of names) nodes.push(await started(name));
        });
      await world.until(() => seen(nodes[0]) === "xy" && seen(nodes[1]) === "xy", 5_000);
      await world.advance(10_000);
      expect(nodes.map(seen)).toEqual(["xy", "xy", "z"]);
      // The one that is alone calls again and again.
      for (const node of nodes.slice(0, 2)) expect(node.stats().dropped.outside).toBeGreaterThan(1);
    });
  });
});
