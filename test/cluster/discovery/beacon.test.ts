/** Beacons over the host's own sockets, and what strangers send. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { broadcastSource, type DiscoverySource } from "../../../src/cluster/index.js";
import {
  type HostInterface,
  MACHINE,
  setPlatformStandIn,
} from "../../../src/engine/zmtp/transport/transports.js";
import { freePort } from "../../support/ports.js";
import { Follower, selfAt } from "./follower.js";

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

async function bound(at: number, host?: string): Promise<Socket> {
  const socket = createSocket({ type: "udp4", reuseAddr: true }).bind(at, host);
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

describe("the options of beacons", () => {
  it.each<[string, () => DiscoverySource]>([
    ["a port out of range", () => broadcastSource({ port: 65_536 })],
    ["a short interval", () => broadcastSource({ interval: 99 })],
    ["an unknown option", () => broadcastSource({ prot: 1 } as object)],
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

  it("end when another one is chosen, and come from that one when called again", async () => {
    let interfaces: readonly HostInterface[] = [LOOPBACK];
    setPlatformStandIn(() => ({ ...MACHINE, interfaces: () => interfaces, interfaces6: () => [] }));
    const follower = follow(broadcastSource({ port, interval: 100 }), "1", "10.0.0.1:7001");
    await follower.has();
    const listener = await bound(port, "127.9.255.255");
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
