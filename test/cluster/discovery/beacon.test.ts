/** Beacons over the host's own sockets: broadcast, groups of IPv4 and IPv6, and what strangers send. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import {
  broadcastSource,
  type DiscoverySource,
  type MulticastSourceOptions,
  multicastSource,
} from "../../../src/cluster/index.js";
import {
  type HostInterface,
  MACHINE,
  setPlatformStandIn,
} from "../../../src/engine/zmtp/transport/transports.js";
import { freePort } from "../../support/ports.js";
import { Follower, selfAt } from "./follower.js";

/** An interface to others: on the loopback one the system loops back whatever is asked for, and has no group of IPv6. */
function linkWith(family: "IPv4" | "IPv6"): string | undefined {
  return Object.entries(networkInterfaces()).find(([, addresses = []]) =>
    addresses.some(
      (each) => !each.internal && each.family === family && (family === "IPv4" || (each.scopeid ?? 0) > 0),
    ),
  )?.[0];
}
const LINK_IPV4 = linkWith("IPv4");
const LINK_IPV6 = linkWith("IPv6");
if (LINK_IPV4 === undefined || LINK_IPV6 === undefined)
  console.log("skipped: no interface of IPv4 or IPv6 but the loopback one");

/** Nodes of one test share it. */
let port = 0;
beforeEach(async () => {
  port = await freePort();
});

function follow(source: DiscoverySource, digit: string, address = `127.0.0.1:700${digit}`) {
  const counts: string[] = [];
  const self = { ...selfAt(address), count: (reason: string) => void counts.push(reason) };
  const follower = new Follower(source, self);
  onTestFinished(() => follower.stop());
  return Object.assign(follower, { counts });
}

async function bound(at: number, host?: string, reuseAddr = true): Promise<Socket> {
  const socket = createSocket({ type: "udp4", reuseAddr }).bind(at, host);
  await once(socket, "listening");
  onTestFinished(() => void socket.close());
  return socket;
}

/** @returns calls all of this host */
async function stranger(): Promise<(...bytes: Buffer[]) => void> {
  const socket = await bound(0, "127.0.0.1");
  socket.setBroadcast(true);
  return (...all) => {
    for (const bytes of all) socket.send(bytes, port, "127.255.255.255");
  };
}

const hasSome = ({ list = [] }: Follower): boolean => list.length > 0;
const interval = 200;

describe("beacons", () => {
  it("give the address that they come from and their port; a silent address leaves the list", async () => {
    const a = follow(broadcastSource({ port, interval: 100 }), "1");
    const b = follow(broadcastSource({ port, interval: 100 }), "2");
    await Promise.all([a.has("127.0.0.1:7002"), b.has("127.0.0.1:7001")]);
    await b.stop();
    await a.has();
  });

  it("are what SMQ's nodes send and read; junk and its own are counted and ignored", async () => {
    const send = await stranger();
    const listener = await bound(port);
    const sent = new Promise<Buffer>((resolve) => void listener.once("message", resolve));
    const a = follow(broadcastSource({ port, interval }), "1");
    await a.has();
    expect((await sent).equals(Buffer.from([7_001 >> 8, 7_001 & 255]))).toBe(true);
    send(Buffer.from([0x1e, 0x61]), Buffer.from([0, 0]), Buffer.from([1]), Buffer.alloc(2_000, 1));
    await a.has("127.0.0.1:7777");
    await expect.poll(() => a.counts.length).toBe(3);
    expect(new Set(a.counts)).toEqual(new Set(["beacon:junk"]));
  });

  it("of one host are bounded", async () => {
    const a = follow(broadcastSource({ port, interval: 60_000 }), "1");
    await a.has();
    const send = await stranger();
    send(...Array.from({ length: 100 }, (_, i) => Buffer.from([10, i])));
    await a.until(({ list = [] }) => list.length >= 64);
    expect(a.list).toHaveLength(64);
    await expect.poll(() => a.counts.filter((each) => each === "beacon:full").length).toBe(36);
  });
});

describe("beacons to a group", () => {
  const group = "239.192.85.1";

  it("find nodes, by the first of several ports that can be had", async () => {
    await bound(port, undefined, false);
    const options = { group, ports: [port, await freePort()], ttl: 0, interval };
    const a = follow(multicastSource(options), "1");
    const b = follow(multicastSource(options), "2");
    await Promise.all([a.has("127.0.0.1:7002"), b.has("127.0.0.1:7001")]);
  });

  it.skipIf(LINK_IPV6 === undefined)("of IPv6 find nodes", async () => {
    const options = { group: "ff02::5348", ports: [port], ttl: 0, interval, interface: LINK_IPV6 };
    const a = follow(multicastSource(options), "1");
    const b = follow(multicastSource(options), "2");
    await Promise.all([a.until(hasSome), b.until(hasSome)]);
    expect(a.list?.[0]).toMatch(/^\[fe80:.*\]:7002$/);
  });

  it.skipIf(LINK_IPV4 === undefined)("are not heard on this host without loop", async () => {
    const options = { group, ports: [port], ttl: 0, interval, interface: LINK_IPV4 };
    const mute = follow(multicastSource({ ...options, loop: false }), "2");
    await mute.has();
    const a = follow(multicastSource(options), "1");
    const third = follow(multicastSource(options), "3");
    const heard = mute.until(({ list = [] }) => list.length === 2);
    await Promise.all([a.until(hasSome), third.until(hasSome), heard]);
    expect(a.list?.map((address) => address.split(":")[1])).toEqual(["7003"]);
  });
});

describe("the options of beacons", () => {
  it.each<[string, () => DiscoverySource]>([
    ["a port out of range", () => broadcastSource({ port: 65_536 })],
    ["a short interval", () => broadcastSource({ interval: 99 })],
    ["an unknown option", () => broadcastSource({ prot: 1 } as object)],
    ["an address that is no group", () => multicastSource({ group: "10.0.0.1" })],
    ["an IPv6 address that is no group", () => multicastSource({ group: "fe80::1" })],
    ["no port", () => multicastSource({ ports: [] })],
    ["too many ports", () => multicastSource({ ports: new Array<number>(9).fill(1) })],
    ["a port that is a text", () => multicastSource({ ports: ["1"] as never })],
    ["a ttl out of range", () => multicastSource({ ttl: 256 } satisfies MulticastSourceOptions)],
  ])("%s is refused", (_what, make) => {
    expect(make).toThrowError(expect.objectContaining({ code: "EINVAL" }));
  });

  it("an unknown interface makes the source fail", async () => {
    const a = follow(broadcastSource({ port, interface: "nowhere0" }), "1");
    await a.until(({ error }) => error?.code === "EINVAL");
  });
});

describe("beacons of a host whose interfaces change", () => {
  const LOOPBACK: HostInterface = {
    name: "lo",
    address: "127.0.0.1",
    netmask: "255.255.0.0",
    internal: true,
  };
  /** All of 127.0.0.0/8 is this host's: an address of it stands for one of a network. */
  const ETH0: HostInterface = { name: "eth0", address: "127.9.0.1", netmask: "255.255.0.0", internal: false };

  afterEach(() => setPlatformStandIn(undefined));

  it.each<[string, string | undefined, (port: number) => DiscoverySource]>([
    ["by broadcast", "127.9.255.255", (at) => broadcastSource({ port: at, interval: 100 })],
    ["to a group", undefined, (at) => multicastSource({ ports: [at], interval: 100 })],
  ])("end %s when another one is chosen, and come from that one when called again", async (_, at, make) => {
    let interfaces: readonly HostInterface[] = [LOOPBACK];
    setPlatformStandIn(() => ({ ...MACHINE, interfaces: () => interfaces, interfaces6: () => [] }));
    const follower = follow(make(port), "1", "10.0.0.1:7001");
    await follower.has();
    const listener = await bound(port, at);
    if (at === undefined) listener.addMembership("239.192.83.73", "127.0.0.1");
    const fromEth0 = new Promise<void>((resolve) => {
      listener.on("message", (_bytes, { address }) => {
        if (address === "127.9.0.1") resolve();
      });
    });
    interfaces = [LOOPBACK, ETH0];
    await follower.until(({ error }) => error?.code === "ERR_TRANSPORT");
    // It is called again.
    await fromEth0;
  });
});
