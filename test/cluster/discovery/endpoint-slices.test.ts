/** EndpointSlices as addresses: ports, conditions, names, dual stack. */
import { describe, expect, it } from "vitest";
import { type SliceRules, slicedAddresses } from "../../../src/cluster/discovery/kubernetes.js";
import { pod, type Slice, slice } from "./api-server.js";

function addresses(slices: readonly Slice[], rules: Partial<SliceRules> = {}): readonly string[] {
  return slicedAddresses(slices, {
    service: "shoal",
    namespace: "sea",
    port: undefined,
    addressType: "ip",
    suffix: "cluster.local",
    family: undefined,
    ...rules,
  });
}

describe("EndpointSlices", () => {
  it("count pods that are not ready, and those of whose conditions nothing is known, but not those that terminate", () => {
    const pods = [
      pod("10.0.0.1"),
      pod("10.0.0.2", undefined, { ready: false, serving: false }),
      pod("10.0.0.3", undefined, { ready: false, serving: true, terminating: true }),
      pod("10.0.0.4", undefined, { ready: true, serving: true, terminating: true }),
      { addresses: ["10.0.0.5"] },
      { addresses: ["10.0.0.6"], conditions: { ready: null, serving: null, terminating: null } },
    ];
    expect(addresses([slice("a", pods)])).toEqual(
      ["10.0.0.1", "10.0.0.2", "10.0.0.5", "10.0.0.6"].map((ip) => `${ip}:7946`),
    );
  });

  it("have one port, the one named shoal, the named one, or a number", () => {
    const three = [
      { name: "metrics", port: 9464, protocol: "TCP" },
      { name: "shoal", port: 7001, protocol: "UDP" },
      { name: "shoal", port: 7001, protocol: "TCP" },
    ];
    const with3 = slice("a", [pod("10.0.0.1")], { ports: three });
    expect(addresses([slice("a", [pod("10.0.0.1")])])).toEqual(["10.0.0.1:7946"]);
    expect(addresses([with3])).toEqual(["10.0.0.1:7001"]);
    expect(addresses([with3], { port: "metrics" })).toEqual(["10.0.0.1:9464"]);
    expect(addresses([with3], { port: 5 })).toEqual(["10.0.0.1:5"]);
    const nameless = slice("a", [pod("10.0.0.1")], { ports: [{ name: "", port: 7002, protocol: "UDP" }] });
    expect(addresses([nameless])).toEqual(["10.0.0.1:7002"]);
    expect(() => addresses([with3], { port: "nodes" })).toThrow(
      /slice a: no port nodes; it has metrics 9464, shoal 7001/i,
    );
    const two = slice("a", [pod("10.0.0.1")], {
      ports: [
        { name: "x", port: 1 },
        { name: "y", port: 2 },
      ],
    });
    expect(() => addresses([two])).toThrow(/choose a port; it has x 1, y 2/);
    expect(() => addresses([{ ...two, ports: null }])).toThrow(/it has none/);
    expect(addresses([{ ...two, ports: null, endpoints: null }])).toEqual([]);
  });

  it("are names, by the hostname of a StatefulSet's pod or the address with dashes", () => {
    const pods = [pod("10.0.0.1", "shoal-0"), pod("10.0.0.2")];
    expect(addresses([slice("a", pods)], { addressType: "dns" })).toEqual([
      "shoal-0.shoal.sea.svc.cluster.local:7946",
      "10-0-0-2.shoal.sea.svc.cluster.local:7946",
    ]);
    expect(addresses([slice("a", pods)], { addressType: "dns", suffix: "example.org" })[0]).toBe(
      "shoal-0.shoal.sea.svc.example.org:7946",
    );
  });

  it("are of both families, or of one", () => {
    const four = slice("a", [pod("10.0.0.1", "shoal-0")]);
    const six = slice("b", [pod("fd00::1", "shoal-0")], { addressType: "IPv6" });
    expect(addresses([four, six])).toEqual(["10.0.0.1:7946", "[fd00::1]:7946"]);
    expect(addresses([four, six], { family: 4 })).toEqual(["10.0.0.1:7946"]);
    expect(addresses([four, six], { family: 6 })).toEqual(["[fd00::1]:7946"]);
    // One name for both: it is there once.
    expect(addresses([four, six], { addressType: "dns" })).toEqual([
      "shoal-0.shoal.sea.svc.cluster.local:7946",
    ]);
    const named = slice("c", [pod("db.example.org")], { addressType: "FQDN" });
    expect(addresses([named])).toEqual(["db.example.org:7946"]);
  });

  it("may be junk", () => {
    const odd = {
      metadata: { name: "a" },
      addressType: 4,
      endpoints: [null, 1, { addresses: "x" }, { addresses: [1] }],
      ports: [{ port: 1 }],
    };
    expect(addresses([odd as unknown as Slice])).toEqual([]);
    expect(() => addresses([{} as Slice])).toThrow(/has no name/);
    expect(() => addresses([{ ...odd, ports: [{ port: "1" }] } as unknown as Slice])).toThrow(
      /choose a port/,
    );
  });

  it("are bounded", () => {
    const large = slice(
      "a",
      Array.from({ length: 16_385 }, (_, at) => pod(`10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`)),
    );
    expect(() => addresses([large])).toThrow(/16384 addresses/);
  });
});
