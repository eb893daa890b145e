/** Nodes that find each other by sources of discovery, over the host's own sockets. */
import { afterEach, describe, expect, it } from "vitest";
import { AddressFeed, type DiscoveryFunction, staticSource } from "../../src/cluster/index.js";
import { thrown } from "../contract/support/wait.js";
import { freePort } from "../support/ports.js";
import { event, testNodes, together, until } from "./nodes.js";

let groups = 0;
let cluster = "";
const { node } = testNodes(() => {
  cluster ||= `discovery-${process.pid}-${groups++}`;
  return { cluster };
});

afterEach(() => {
  cluster = "";
});

describe("nodes with a list", () => {
  it("find nobody by multicast then, unless it is asked for", async () => {
    const multicast = { group: "239.192.84.3", port: await freePort() };
    const listed = node("listed", { discovery: [staticSource([])] });
    const both = node("both", { multicast, discovery: [staticSource([])] });
    const other = node("other", { multicast });
    await Promise.all([listed.start(), both.start(), other.start()]);
    await until(() => both.members().length === 2 && other.members().length === 2);
    expect(listed.members().length).toBe(1);
  });

  it("that change while they run: an added address is dialled, a removed one costs no member", async () => {
    let feed: AddressFeed | undefined;
    const manual: DiscoveryFunction = (_self, signal) => {
      feed = new AddressFeed(signal);
      feed.set([]);
      return feed;
    };
    const a = node("a", { discovery: [manual] });
    const b = node("b", { multicast: false });
    const c = node("c", { multicast: false });
    await Promise.all([a.start(), b.start(), c.start()]);
    feed?.set([b.address]);
    await together(2, a, b);
    feed?.set([]);
    a.join(c.address);
    await together(3, a, b, c);
    // A source's next list is read 10 ms after the one before, at the earliest.
    const rows = [
      { name: "seeds", state: "up", addresses: [c.address] },
      { name: "manual", state: "up", addresses: [] },
    ];
    await expect.poll(() => a.discovery()).toMatchObject(rows);
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
  const b = node("b", { multicast: false });
  await b.start();
  const asked: unknown[] = [];
  let published = false;
  const a = node("a", {
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
  expect(asked).toMatchObject([{ id: a.id, name: a.name, cluster, address: a.address }]);
  expect(await up).toMatchObject({ source: "registry" });
  expect(published).toBe(true);
  await a.leave();
  expect(published).toBe(false);
});
