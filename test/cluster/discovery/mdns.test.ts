/** Nodes that find each other by multicast DNS on the loopback interface, at a port of their own. */
import { createSocket } from "node:dgram";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClusterNode, type MdnsSourceOptions, mdnsSource } from "../../../src/cluster/index.js";
import { MACHINE, setPlatformStandIn } from "../../../src/engine/zmtp/transport/transports.js";
import { freePort } from "../../support/ports.js";

let port = 0;
const cleanups: (() => unknown)[] = [];
beforeEach(async () => {
  port = await freePort();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function node(name: string, group: string): ClusterNode {
  const made = new ClusterNode({ name, group, discovery: [mdnsSource({ port })] });
  cleanups.push(() => made.close({ linger: 0 }));
  return made;
}

/** Until a node's source lists so many addresses. */
const listed = (of: ClusterNode, count: number): Promise<void> =>
  expect.poll(() => of.discovery()[0]?.addresses.length, { timeout: 20_000, interval: 20 }).toBe(count);

describe("nodes with multicast DNS", () => {
  it("find those of their cluster, and take themselves back when they leave", async () => {
    const [a, b] = ["a", "b"].map((name) => node(name, `mdns-${process.pid}`)) as [ClusterNode, ClusterNode];
    const stranger = node("stranger", `other-${process.pid}`);
    const joined = new Promise((resolve) => a.events.once("joined", resolve));
    await Promise.all([a.start(), b.start(), stranger.start()]);
    await joined;
    await Promise.all([listed(a, 1), listed(b, 1)]);
    expect(a.discovery()).toMatchObject([{ name: "mdns:_shoal._udp", state: "up", addresses: [b.address] }]);
    expect(stranger.discovery()[0]?.addresses).toEqual([]);
    await b.leave();
    await listed(a, 0);
  });

  it("count junk, and answers that come from another port", async () => {
    const a = node("a", `mdns-${process.pid}`);
    await a.start();
    await new Promise<void>((resolve) => {
      if (a.discovery()[0]?.state === "up") resolve();
      else a.events.once("discovery:up", () => resolve());
    });
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => void socket.bind(0, "127.0.0.1", resolve));
    cleanups.push(() => void socket.close());
    const answer = Buffer.alloc(12);
    answer[2] = 0x84;
    for (const bytes of [Buffer.from("junk"), Buffer.alloc(5_000, 0xff), answer])
      socket.send(bytes, port, "127.0.0.1");
    await expect.poll(() => a.stats().dropped["mdns:junk"], { timeout: 10_000 }).toBe(3);
    expect(a.discovery()[0]).toMatchObject({ state: "up", addresses: [] });
  });
});

it("is down where no interface has multicast, and leaves no socket open", async () => {
  // Nobody has this address, so its interface cannot join the group.
  const gone = { name: "gone0", address: "192.0.2.1", internal: false };
  setPlatformStandIn(() => ({ ...MACHINE, interfaces: () => [gone], interfaces6: () => [] }));
  const self = { id: "0".repeat(32), name: "a@host", group: "default", address: "192.0.2.1:7946" };
  const leaving = new AbortController();
  const lists = mdnsSource({ port }).discover(self, leaving.signal)[Symbol.asyncIterator]();
  cleanups.push(() => {
    leaving.abort();
    setPlatformStandIn(undefined);
    return lists.return?.();
  });
  await expect(lists.next()).rejects.toThrow(/addMembership/);
  // One that stood would share the port with none that does not share it.
  const other = createSocket("udp4");
  cleanups.push(() => void other.close());
  await new Promise<void>((resolve, reject) => {
    other.once("error", reject);
    other.bind(port, resolve);
  });
});

it.each<[string, MdnsSourceOptions]>([
  ["a service without a protocol", { service: "_shoal" }],
  ["a service that is too long", { service: "_abcdefghijklmnop._udp" }],
  ["a port out of range", { port: 0 }],
  ["an unknown option", { prot: 1 } as MdnsSourceOptions],
])("%s is refused", (_what, options) => {
  expect(() => mdnsSource(options)).toThrowError(expect.objectContaining({ code: "EINVAL" }));
});
