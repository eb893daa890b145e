import { expect, it } from "vitest";
import { PROFILES, type Profile, resolveProfile } from "../../src/cluster/profiles.js";
import { code, codes, tableUnder } from "../docs-tables/support/markdown.js";

it("the table of profiles is equal to the code", () => {
  const rows = tableUnder("internals/cluster.md", "Timers and bounds");
  const expected = Object.keys(PROFILES.lan).map((key) => [
    key,
    ...Object.values(PROFILES).map((profile: Profile) => code(profile[key as keyof Profile])),
  ]);
  expect(
    rows.map(([key, ...values]) => [codes(key as string)[0], ...values.map((each) => `\`${each}\``)]),
  ).toEqual(expected);
});

it("a profile is checked", () => {
  expect(resolveProfile("wan", { probeTimeout: 1_000 }).probeTimeout).toBe(1_000);
  for (const [name, own] of [
    ["moon", {}],
    ["lan", { probeIntervall: 1 }],
    ["lan", { probeInterval: Number.NaN }],
    ["lan", { probeTimeout: 500 }],
    ["lan", { probeInterval: 0 }],
  ] as const)
    expect(() => resolveProfile(name as "lan", own as Partial<Profile>)).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
});
