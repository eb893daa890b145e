/** Nodes over the host's own sockets, in one process: what a program sees of its cluster. */
import { afterEach, describe, expect, it } from "vitest";
import { type ClusterEvent, ClusterNode, type ClusterNodeOptions } from "../../src/cluster/index.js";

/** A group of this test's own, so that other clusters of this host are not seen. */
let port = 10_000 + (process.pid % 20_000);
const group = `239.192.${0 + (process.pid % 100) * 2}.${process.pid % 250}`;
const nodes: ClusterNode[] = [];

function node(name: string, options: ClusterNodeOptions = {}): ClusterNode {
  const made = new ClusterNode({ name, multicast: { group, port }, ...options });
  nodes.push(made);
  return made;
}

async function started(name: string, options: ClusterNodeOptions = {}): Promise<ClusterNode> {
  const made = node(name, options);
  await made.start();
  return made;
}

/** The first event that fits, now or later. */
function event<T extends ClusterEvent["type"]>(
  of: ClusterNode,
  type: T,
  fits: (event: Extract<ClusterEvent, { type: T }>) => boolean = () => true,
): Promise<Extract<ClusterEvent, { type: T }>> {
  return new Promise((resolve) => {
    const listener = (found: Extract<ClusterEvent, { type: T }>): void => {
      if (!fits(found)) return;
      of.events.off(type, listener as never);
      resolve(found);
    };
    of.events.on(type, listener as never);
  });
}

/** Until all of these see exactly these. */
async function together(...all: readonly ClusterNode[]): Promise<void> {
  const names = all.map(({ name }) => name).sort();
  const agree = (): boolean => all.every((each) => JSON.stringify(namesAt(each)) === JSON.stringify(names));
  while (!agree()) await Promise.race(all.flatMap((each) => [event(each, "joined"), event(each, "back")]));
}

function namesAt(of: ClusterNode): string[] {
  return of
    .members()
    .map(({ name }) => name)
    .sort();
}

afterEach(async () => {
  port += 1;
  await Promise.all(nodes.splice(0).map((each) => each.close({ linger: 0 })));
});

describe("nodes of one host", () => {
  it("find each other by multicast, and one that leaves is gone at once", async () => {
    const a = await started("a");
    const joined = event(a, "joined");
    const b = await started("b", { tags: ["billing", "eu"], props: { version: "2.1", weight: 3 } });
    // A newcomer's event has its tags and props.
    expect((await joined).member).toMatchObject({ tags: ["billing", "eu"], props: { version: "2.1" } });
    await together(a, b);
    const [found] = a.resolve("billing", "eu");
    expect(found).toMatchObject({
      id: b.id,
      name: b.name,
      state: "alive",
      local: true,
      props: { version: "2.1", weight: "3" },
    });
    expect(found?.addresses[0]).toBe(b.address);
    const left = event(a, "left");
    await b.leave();
    expect((await left).member).toMatchObject({ id: b.id, state: "left" });
    expect(namesAt(a)).toEqual([a.name]);
  });

  it("find each other by a seed alone, and hear of a third", async () => {
    const a = await started("a", { multicast: false });
    const b = await started("b", { multicast: false, seeds: [a.address] });
    const c = await started("c", { multicast: false, seeds: [b.address] });
    await together(a, b, c);
  });

  it("do not see a bus of another name, nor one of another key", async () => {
    const key = "01234567890123456789012345678901234567ab";
    const a = await started("a");
    const b = await started("b", { group: "other", seeds: [a.address] });
    const c = await started("c", { key, seeds: [a.address] });
    const d = await started("d", { key: [...key].reverse().join(""), seeds: [c.address] });
    const e = await started("e", { key, seeds: [a.address, b.address, d.address] });
    await together(c, e);
    expect([a, b, d].map(namesAt)).toEqual([[a.name], [b.name], [d.name]]);
  });
});
