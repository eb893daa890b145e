/** Beacons over the host's own sockets: both forms, groups of IPv4 and IPv6, and what strangers send. */
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  beaconSource,
  broadcastSource,
  ClusterNode,
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
const cleanups: (() => unknown)[] = [];
beforeEach(async () => {
  port = await freePort();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Reader {
  readonly counts: string[];
  /** The next list that fits. */
  until(fits: (list: readonly string[]) => boolean): Promise<readonly string[]>;
  end(): Promise<void>;
}

function reader(
  source: DiscoverySource,
  digit: string,
  address = `127.0.0.1:${7_000 + Number(digit)}`,
): Reader {
  const aborting = new AbortController();
  const counts: string[] = [];
  const lists = source
    .discover(
      {
        id: digit.repeat(32),
        name: `${digit}@host`,
        group: "g",
        address,
        count: (reason) => void counts.push(reason),
      },
      aborting.signal,
    )
    [Symbol.asyncIterator]();
  const end = async (): Promise<void> => {
    aborting.abort();
    await lists.return?.();
  };
  cleanups.push(end);
  return {
    counts,
    end,
    async until(fits) {
      for (;;) {
        const { value, done } = await lists.next();
        if (done === true) throw new Error("the source ended");
        if (fits(value)) return value;
      }
    },
  };
}

async function stranger(): Promise<{ socket: Socket; send(...bytes: Buffer[]): void }> {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  await new Promise<void>((resolve) => void socket.bind(0, "127.0.0.1", resolve));
  socket.setBroadcast(true);
  cleanups.push(() => void socket.close());
  return {
    socket,
    send: (...all) => {
      for (const bytes of all) socket.send(bytes, port, "127.255.255.255");
    },
  };
}

const empty = (list: readonly string[]): boolean => list.length === 0;
const some = (list: readonly string[]): boolean => list.length > 0;
const interval = 200;

describe("beacons of 36/ZRE's form", () => {
  it("give the address that they come from and their port; a node that leaves is off the list at once", async () => {
    const a = reader(beaconSource({ port, interval }), "1");
    const b = reader(beaconSource({ port, interval }), "2");
    const [fromA, fromB] = await Promise.all([a.until(some), b.until(some)]);
    expect([fromA, fromB]).toEqual([["127.0.0.1:7002"], ["127.0.0.1:7001"]]);
    const gone = a.until(empty);
    await b.end();
    expect(await gone).toEqual([]);
  });

  it("that are junk, or its own, are counted and ignored", async () => {
    const a = reader(beaconSource({ port, interval: 60_000 }), "1");
    await a.until(empty);
    const other = await stranger();
    const beacon = Buffer.concat([
      Buffer.from("ZRE\u0001", "latin1"),
      Buffer.alloc(16, 7),
      Buffer.from([1, 2]),
    ]);
    const own = Buffer.from(beacon);
    own.fill(0x11, 4, 20);
    const later = Buffer.from(beacon);
    later[3] = 3;
    other.send(Buffer.alloc(0), Buffer.alloc(2_000, 1), later, own, beacon.subarray(0, 21), beacon);
    expect(await a.until(some)).toEqual(["127.0.0.1:258"]);
    expect(a.counts).toEqual(["beacon:junk", "beacon:junk", "beacon:junk", "beacon:junk"]);
    // One that says that another leaves, from elsewhere than that one, changes nothing; the list is bounded for each host.
    const flood = Array.from({ length: 100 }, (_, i) => {
      const each = Buffer.from(beacon);
      each.writeUInt16BE(1_000 + i, 4);
      each.writeUInt16BE(1_000 + i, 20);
      return each;
    });
    other.send(...flood);
    expect((await a.until((list) => list.length >= 64)).length).toBe(64);
    await expect.poll(() => a.counts.filter((each) => each === "beacon:full").length).toBe(37);
  });
});

describe("beacons of two bytes", () => {
  it("are what SMQ's nodes send and read", async () => {
    const other = await stranger();
    const listener = createSocket({ type: "udp4", reuseAddr: true });
    await new Promise<void>((resolve) => void listener.bind(port, resolve));
    cleanups.push(() => void listener.close());
    const sent = new Promise<Buffer>((resolve) => void listener.once("message", resolve));
    const a = reader(broadcastSource({ port, interval }), "1");
    await a.until(empty);
    const found = a.until(some);
    expect((await sent).equals(Buffer.from([7_001 >> 8, 7_001 & 255]))).toBe(true);
    other.send(Buffer.from([0x1e, 0x61]), Buffer.from([0, 0]), Buffer.from([1]), Buffer.from([1, 2, 3]));
    expect(await found).toEqual(["127.0.0.1:7777"]);
    await expect.poll(() => a.counts.length).toBe(3);
  });
});

describe("beacons to a group", () => {
  const group = "239.192.85.1";

  it("find nodes, by the first of several ports that can be had", async () => {
    const taken = createSocket({ type: "udp4" });
    await new Promise<void>((resolve) => void taken.bind(port, resolve));
    cleanups.push(() => void taken.close());
    const options = { group, ports: [port, await freePort()], ttl: 0, interval };
    const a = reader(multicastSource(options), "1");
    const b = reader(multicastSource(options), "2");
    expect(await Promise.all([a.until(some), b.until(some)])).toEqual([
      ["127.0.0.1:7002"],
      ["127.0.0.1:7001"],
    ]);
  });

  it.skipIf(LINK_IPV6 === undefined)("of IPv6 find nodes", async () => {
    const options = { group: "ff02::5348", ports: [port], ttl: 0, interval, interface: LINK_IPV6 };
    const a = reader(multicastSource(options), "1");
    const b = reader(multicastSource(options), "2");
    const [fromA] = await Promise.all([a.until(some), b.until(some)]);
    expect(fromA[0]).toMatch(/^\[fe80:.*\]:7002$/);
  });

  it.skipIf(LINK_IPV4 === undefined)("are not heard on this host without loop", async () => {
    const options = { group, ports: [port], ttl: 0, interval, interface: LINK_IPV4 };
    const mute = reader(multicastSource({ ...options, loop: false }), "2");
    await mute.until(empty);
    const heard = mute.until((list) => list.length === 2);
    const a = reader(multicastSource(options), "1");
    const third = reader(multicastSource(options), "3");
    const [fromA] = await Promise.all([a.until(some), third.until(some), heard]);
    expect(fromA.map((address) => address.split(":")[1])).toEqual(["7003"]);
  });
});

it("nodes find each other by beacons, without their own multicast", async () => {
  const options = { group: `beacons-${process.pid}`, discovery: [beaconSource({ port, interval })] };
  const nodes = ["a", "b", "c"].map((name) => new ClusterNode({ name, ...options }));
  cleanups.push(() => Promise.all(nodes.map((node) => node.close({ linger: 0 }))));
  const together = nodes.map(
    (node) =>
      new Promise<void>((resolve) => {
        node.events.on("joined", () => {
          if (node.members().length === 3) resolve();
        });
      }),
  );
  await Promise.all(nodes.map((node) => node.start()));
  await Promise.all(together);
});

describe("the options of beacons", () => {
  it.each<[string, () => DiscoverySource]>([
    ["a port out of range", () => beaconSource({ port: 65_536 })],
    ["a short interval", () => broadcastSource({ interval: 99 })],
    ["an unknown option", () => beaconSource({ prot: 1 } as object)],
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
    const a = reader(beaconSource({ port, interface: "nowhere0" }), "1");
    await expect(a.until(some)).rejects.toMatchObject({ code: "EINVAL" });
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

  afterEach(() => {
    setPlatformStandIn(undefined);
    vi.useRealTimers();
  });

  /** Looks at the interfaces are a second apart. */
  async function soon(promise: Promise<void>): Promise<void> {
    let isOver = false;
    void promise.then(() => (isOver = true));
    while (!isOver) {
      vi.advanceTimersByTime(100);
      await new Promise(setImmediate);
    }
  }

  it.each<[string, string | undefined, (source: { port: number; interval: number }) => DiscoverySource]>([
    ["by broadcast", "127.9.255.255", (options) => beaconSource(options)],
    [
      "by broadcast from the one that is asked for",
      "127.9.255.255",
      (options) => beaconSource({ ...options, interface: "eth0" }),
    ],
    [
      "to a group",
      undefined,
      (options) => multicastSource({ ports: [options.port], interval: options.interval }),
    ],
  ])("go by one that comes up, goes, and is back with another address, %s", async (how, at, make) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let interfaces: readonly HostInterface[] = how.includes("asked") ? [LOOPBACK, ETH0] : [LOOPBACK];
    setPlatformStandIn(() => ({ ...MACHINE, interfaces: () => interfaces, interfaces6: () => [] }));
    await reader(make({ port, interval }), "1", "10.0.0.1:7001").until(empty);
    const listener = createSocket({ type: "udp4", reuseAddr: true });
    await new Promise<void>((resolve) => void listener.bind(port, at, resolve));
    cleanups.push(() => void listener.close());
    if (at === undefined) listener.addMembership("239.192.83.73", "127.0.0.1");
    const beaconFrom = (address: string): Promise<void> =>
      new Promise((resolve) => {
        listener.on("message", (_bytes, from) => {
          if (from.address === address) resolve();
        });
      });
    interfaces = [LOOPBACK, ETH0];
    await soon(beaconFrom("127.9.0.1"));
    interfaces = [LOOPBACK];
    vi.advanceTimersByTime(1_000);
    interfaces = [LOOPBACK, { ...ETH0, address: "127.9.0.2" }];
    await soon(beaconFrom("127.9.0.2"));
  });
});
