import { expect, it } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { nodeSettings } from "../../src/cluster/node/options.js";
import { PROFILES, type Profile, resolveProfile } from "../../src/cluster/profiles.js";
import { thrown } from "../contract/support/wait.js";

it("a profile is checked", () => {
  expect(resolveProfile("wan", { probeTimeout: 1_000 }).probeTimeout).toBe(1_000);
  for (const [name, own] of [
    ["moon", {}],
    ["lan", { probeIntervall: 1 }],
    ["lan", { probeInterval: Number.NaN }],
    ["lan", { probeTimeout: 500 }],
    ["lan", { probeInterval: 0 }],
  ] as const)
    expect(thrown(() => resolveProfile(name as "lan", own as Partial<Profile>)).code).toBe("EINVAL");
});

it("a node shows the profile that it lives by, and each of its namespaces its own", async () => {
  const node = new ClusterNode({ profile: { base: "tcl", ttl: 60_000 } });
  expect(node.profile).toEqual({ ...PROFILES.tcl, ttl: 60_000 });
  expect(Object.isFrozen(node.profile)).toBe(true);
  expect(node.namespace("other").profile).toEqual(PROFILES.local);
  await node.close();
});

it("the profile tcl has the group that Tcl's cluster begins with", () => {
  for (const profile of ["tcl", { base: "tcl", ttl: 5 }] as const) {
    const { node } = nodeSettings({ profile });
    expect(node.group).toEqual({ group: "230.230.230.230", port: 23_000, ttl: 0 });
  }
});
