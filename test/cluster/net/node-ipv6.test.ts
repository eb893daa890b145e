/** Nodes over IPv6: loopback and global addresses, both families at once, and nodes without IPv6. */
import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import {
  canonicalAddress,
  joinAddress,
  readAddress,
  resolveAddress,
  splitIpAddress,
  usedInterfaces,
} from "../../../src/cluster/net/addresses.js";
import { thrown } from "../../contract/support/wait.js";
import { managerOf, testNodes, together, until } from "../nodes.js";

const KEY = "01234567890123456789012345678901234567ab";
const { started } = testNodes(() => ({ multicast: false, key: KEY, ipv6: true }));

/** An address of IPv6 of this machine, and its interface. */
function ipv6(isWanted: (address: string) => boolean): { name: string; address: string } | undefined {
  for (const [name, addresses = []] of Object.entries(networkInterfaces()))
    for (const { family, address } of addresses)
      if (family === "IPv6" && isWanted(address)) return { name, address };
  return undefined;
}

const loopback = ipv6((address) => address === "::1");
const global = ipv6((address) => /^(?:2|3|fc|fd)/.test(address));

describe("addresses of IPv6", () => {
  it("are in brackets, may have a zone, and have one form", () => {
    expect(splitIpAddress("[::1]:5000")).toEqual({ host: "::1", port: 5_000 });
    expect(splitIpAddress("[fe80::1%eth0]:5000")).toEqual({ host: "fe80::1%eth0", port: 5_000 });
    for (const wrong of "::1:5000 [::1] [::1]:0 [::1]:65536 [10.0.0.1]:5 [db]:5 [::1:5 []:5".split(" "))
      expect(readAddress(wrong), wrong).toBeUndefined();
    expect(canonicalAddress("[0:0::0001]:5")).toBe("[::1]:5");
    expect(canonicalAddress("[FE80::A%eth0]:5")).toBe("[fe80::a%eth0]:5");
    expect(["10.0.0.1:5", "db:5"].map(canonicalAddress)).toEqual(["10.0.0.1:5", "db:5"]);
    expect([joinAddress("::1", 5), joinAddress("10.0.0.1", 5)]).toEqual(["[::1]:5", "10.0.0.1:5"]);
  });

  it("are what a name resolves to where they are wanted", async () => {
    expect(await resolveAddress({ host: "localhost", port: 5 })).toEqual(["127.0.0.1:5"]);
    expect(await resolveAddress({ host: "::1", port: 5 })).toEqual(["[::1]:5"]);
  });

  it("of one link are not used", () => {
    const eth0 = { name: "eth0", internal: false };
    const list = ["10.0.0.1", "fe80::1%eth0", "fd00::1"].map((address) => ({ ...eth0, address }));
    const settings = { scope: "link", interface: undefined, ipv6: true } as const;
    const used = usedInterfaces(list, settings);
    expect(used.map(({ address }) => address)).toEqual(["10.0.0.1", "fd00::1"]);
    const { code } = thrown(() => usedInterfaces(list, { ...settings, interface: "fe80::1%eth0" }));
    expect(code).toBe("EINVAL");
  });

  it("are refused by a node without the option", () => {
    const { code, message } = thrown(() => new ClusterNode({ seeds: ["[::1]:5000"] }));
    expect([code, message]).toEqual(["EINVAL", expect.stringContaining("ipv6: true")]);
    expect(() => new ClusterNode({ seeds: ["[::1]:5000"], ipv6: true })).not.toThrow();
  });
});

describe.skipIf(loopback === undefined)("nodes on ::1", () => {
  it("meet by datagrams and streams, with streams alone, and in a connection manager's list", async () => {
    const a = await started("a", { interface: "::1" });
    expect(a.address).toMatch(/^\[::1\]:\d+$/);
    const b = await started("b", { interface: "::1", seeds: [a.address.replace("::1", "0:0:0::1")] });
    await together(2, a, b);
    const manager = managerOf(a, [a.address, b.address]);
    const states = (): string[] => manager.status().map(({ state }) => state);
    await until(() => states().join() === "self,connected");
    expect(a.member("b")?.addresses[0]).toBe(b.address);
    expect(a.stats().dropped).toEqual({});
  });

  it("meet those of 127.0.0.1 where these speak both, on one port", async () => {
    const both = await started("both");
    expect(both.address).toMatch(/^127\.0\.0\.1:/);
    const { port } = splitIpAddress(both.address) as { port: number };
    const six = await started("six", { interface: "::1", seeds: [`[::1]:${port}`] });
    const four = await started("four", { ipv6: false, seeds: [both.address] });
    await until(() => both.members().length === 3 && six.members().length >= 2);
    // One that speaks IPv4 alone has its address refused where it has no way to it.
    expect(four.members().map(({ name }) => name)).toContain(both.name);
  });
});

describe.skipIf(global === undefined)("nodes on the link", () => {
  it("meet at a global address", async () => {
    const { address } = global as { address: string };
    const options = { scope: "link", interface: address } as const;
    const a = await started("a", options);
    expect(splitIpAddress(a.address)?.host).toBe(address);
    const b = await started("b", { ...options, seeds: [a.address] });
    await together(2, a, b);
  });

  it("on all interfaces are reached by both families", async () => {
    const { address } = global as { address: string };
    const a = await started("a", { scope: "link" });
    const { port } = splitIpAddress(a.address) as { port: number };
    const b = await started("b", { scope: "link", seeds: [`[${address}]:${port}`] });
    await together(2, a, b);
  });
});
