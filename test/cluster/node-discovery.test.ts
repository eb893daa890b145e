/** Nodes that find each other by sources of discovery: on one machine in virtual time. */
import { describe, expect } from "vitest";
import { AddressFeed, ClusterNode, type DiscoveryFunction, staticSource } from "../../src/cluster/index.js";
import { thrown } from "../contract/support/wait.js";
import { event, together, until } from "./nodes.js";
import { hostTest as it, pause, started } from "./simulated.js";

describe("nodes with a list", () => {
  it("find nobody by multicast then, unless it is asked for", async () => {
    const discovery = [staticSource([])];
    const listed = await started("listed", { discovery });
    const both = await started("both", { multicast: true, discovery });
    const other = await started("other");
    await pause(5_000);
    expect([listed, both, other].map((node) => node.members().length)).toEqual([1, 2, 2]);
  });

  it("that change while they run: an added address is dialled, a removed one costs no member", async () => {
    let feed: AddressFeed | undefined;
    const manual: DiscoveryFunction = (_self, signal) => {
      feed = new AddressFeed(signal);
      feed.set([]);
      return feed;
    };
    const a = await started("a", { discovery: [manual] });
    const b = await started("b", { multicast: false });
    const c = await started("c", { multicast: false });
    feed?.set([b.address]);
    await together(2, a, b);
    feed?.set([]);
    a.join(c.address);
    await together(3, a, b, c);
    // A source's next list is read 10 ms after the one before, at the earliest.
    await until(() => a.discovery()[1]?.addresses.length === 0);
    expect(a.discovery()).toMatchObject([
      { name: "seeds", state: "up", addresses: [c.address] },
      { name: "manual", state: "up", addresses: [] },
    ]);
    a.forget(c.address);
    expect(a.discovery().map(({ name }) => name)).toEqual(["manual"]);
    expect(a.members().length).toBe(3);
    const many = Array.from({ length: 1_025 }, (_, i) => `127.0.0.1:${i + 1}`);
    for (const wrong of [["nowhere"], ["203.0.113.7:7946"], many])
      expect(thrown(() => a.join(...wrong)).code).toBe("EINVAL");
    expect(a.discovery().map(({ name }) => name)).toEqual(["manual"]);
  });
});

it("a source of one's own is one function, which knows who asks, and may withdraw what it published before the node has closed", async () => {
  const b = await started("b", { multicast: false });
  const asked: unknown[] = [];
  let published = false;
  const a = new ClusterNode({
    name: "a",
    discovery: [
      async function* registry(self, signal) {
        asked.push(self);
        published = true;
        try {
          yield [b.address, self.address];
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        } finally {
          await new Promise((resolve) => setTimeout(resolve, 20));
          published = false;
        }
      },
    ],
  });
  const up = event(a, "discovery:up");
  await a.start();
  await together(2, a, b);
  expect(asked).toMatchObject([{ id: a.id, name: a.name, cluster: "default", address: a.address }]);
  expect(await up).toMatchObject({ source: "registry" });
  expect(published).toBe(true);
  await a.leave();
  expect(published).toBe(false);
});
