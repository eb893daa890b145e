/** Endpoints that members advertise: the form of their texts, and who can reach them. */
import { describe, expect, it } from "vitest";
import {
  advertisedNames,
  checkAdvertised,
  checkServiceName,
  endpointsByName,
  endpointText,
  isWithinReach,
  readEndpoint,
} from "../../src/cluster/details.js";
import { CompiledResolver, type ResolverStep } from "../../src/cluster/resolver.js";

describe("an advertised endpoint", () => {
  it("is a name and an endpoint in one text", () => {
    const given = { name: "billing", endpoint: "ipc:///run/a=b" };
    expect(endpointText(given)).toBe("billing=ipc:///run/a=b");
    expect(readEndpoint(endpointText(given))).toEqual(given);
    expect(readEndpoint("tcp://10.0.0.1:1")).toEqual({ name: "", endpoint: "tcp://10.0.0.1:1" });
    const texts = ["a=tcp://h:1", "b=tcp://h:2", "a=tcp://h:3", "tcp://h:4"];
    expect(advertisedNames(texts)).toEqual(["a", "b"]);
    expect(endpointsByName(texts)).toEqual({
      a: ["tcp://h:1", "tcp://h:3"],
      b: ["tcp://h:2"],
      "": ["tcp://h:4"],
    });
    expect(endpointsByName(["__proto__=tcp://h:1"])).toHaveProperty("__proto__", ["tcp://h:1"]);
  });

  it("is refused where others could not use it", () => {
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    for (const endpoint of [
      "inproc://a",
      "tcp://*:*",
      "tcp://*:0",
      "tcp://h:65536",
      "tcp://1.2.3.4:1;h:2",
      "tcp://a b:1",
      "udp://h:1",
      "ipc://",
      "ipc://*",
      `ipc://${"x".repeat(108)}`,
      "",
      7,
    ])
      expect(() => checkAdvertised(endpoint), String(endpoint)).toThrow(EINVAL);
    for (const endpoint of ["tcp://*:5555", "tcp://[::1]:5555", "tcp://db-1.local:5555", "ipc:///tmp/x"])
      checkAdvertised(endpoint);
    for (const name of ["", "a=b", "a b", "a\n", "x".repeat(65), undefined])
      expect(() => checkServiceName(name), String(name)).toThrow(/an endpoint's name must/);
    checkServiceName("Großhandel/eu-1");
  });

  it("leads to its own host where it is a path or a loopback address", () => {
    for (const endpoint of ["ipc:///tmp/a", "tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1"]) {
      expect(isWithinReach(endpoint, true), endpoint).toBe(true);
      expect(isWithinReach(endpoint, false), endpoint).toBe(false);
    }
    expect(isWithinReach("tcp://10.0.0.1:1", false)).toBe(true);
    // A remote's word cannot make this node dial from a source of its choice, or into its own process.
    for (const endpoint of ["inproc://a", "tcp://1.2.3.4:1;h:2", "junk", ""])
      expect(isWithinReach(endpoint, true), endpoint).toBe(false);
  });

  it("is chosen by the names that has and some ask for, else all are", () => {
    const named = { billing: "one", audit: "two", "": "three" };
    const endpoints = Object.entries(named).map(([name, endpoint]) => ({ name, endpoint }));
    const by = (...steps: ResolverStep[]): readonly string[] => new CompiledResolver(steps).choose(endpoints);
    expect(by({ has: ["billing", "eu"] })).toEqual(["one"]);
    expect(by({ some: ["audit", "billing"] })).toEqual(["one", "two"]);
    expect(by("match", { has: ["b*"] })).toEqual(["one"]);
    expect(by({ has: ["eu"] })).toEqual(["one", "two", "three"]);
    expect(by({ not: ["billing"] })).toEqual(["one", "two", "three"]);
    expect(by()).toEqual(["one", "two", "three"]);
  });
});
