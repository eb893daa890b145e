/** Zones of link-local addresses. */
import { describe, expect, it } from "vitest";
import { MAX_ZONES } from "../../src/cluster/bounds.js";
import { withoutZone, Zones } from "../../src/cluster/net/zones.js";

describe("the zone of an address", () => {
  it("is the one that its last packet came from, else that of the first link-local interface", () => {
    const zones = new Zones();
    expect(zones.hostFor("fe80::1")).toBe("fe80::1");
    const of = (name: string, address: string) => ({ name, address, netmask: "", internal: false });
    zones.setInterfaces([of("eth0", "10.0.0.1"), of("eth1", "fd00::1"), of("eth2", "fe80::9%eth2")]);
    expect(zones.addressFor("[fe80::1]:7946")).toBe("[fe80::1%eth2]:7946");
    expect(zones.learn("fe80::1%eth1")).toBe("fe80::1");
    expect(zones.learn("fe80::1%eth0")).toBe("fe80::1");
    expect(zones.addressFor("[fe80::1]:7946")).toBe("[fe80::1%eth0]:7946");
    expect(zones.hostFor("fe80::1%eth7")).toBe("fe80::1%eth7");
    zones.setInterfaces([of("eth0", "10.0.0.1"), of("eth1", "fd00::1")]);
    expect(zones.hostFor("fe80::2")).toBe("fe80::2%eth1");
  });

  it("is of link-local addresses alone", () => {
    const zones = new Zones();
    expect(zones.learn("10.0.0.1")).toBe("10.0.0.1");
    for (const address of ["10.0.0.1:7946", "[fd00::1]:7946", "host:7946"])
      expect(zones.addressFor(address)).toBe(address);
    expect(withoutZone("fe80::1%eth0")).toBe("fe80::1");
  });

  it("is remembered for as many addresses as there may be, and the oldest is forgotten", () => {
    const zones = new Zones();
    for (let i = 0; i <= MAX_ZONES; i++) zones.learn(`fe80::${(i + 1).toString(16)}%eth0`);
    expect(zones.hostFor("fe80::1")).toBe("fe80::1");
    expect(zones.hostFor("fe80::2")).toBe("fe80::2%eth0");
  });
});
