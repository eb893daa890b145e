/** Nodes that find each other by multicast DNS on the loopback interface, at a port of their own. */
import { createSocket } from "node:dgram";
import { afterEach, describe, expect, it } from "vitest";
import { ClusterNode, type MdnsSourceOptions, mdnsSource } from "../../../src/cluster/index.js";

let port = 26_500 + (process.pid % 3_000);
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  port += 1;
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

it.each<[string, MdnsSourceOptions]>([
  ["a service without a protocol", { service: "_shoal" }],
  ["a service that is too long", { service: "_abcdefghijklmnop._udp" }],
  ["a port out of range", { port: 0 }],
  ["an unknown option", { prot: 1 } as MdnsSourceOptions],
])("%s is refused", (_what, options) => {
  expect(() => mdnsSource(options)).toThrowError(expect.objectContaining({ code: "EINVAL" }));
});
