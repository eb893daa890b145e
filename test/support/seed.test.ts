import { expect, it } from "vitest";
import { FIXED_SEED, parseSeed, replayCommand } from "./seed.js";

it("a run that asks for nothing has the fixed seed", () => {
  for (const nothing of [undefined, ""])
    expect(parseSeed(nothing)).toEqual({ base: FIXED_SEED, given: false });
});

it("SHOAL_SEED=random is another number each time, and no NaN", () => {
  const seeds = Array.from({ length: 10 }, () => parseSeed("random"));
  for (const { base, given } of seeds) {
    expect(Number.isSafeInteger(base)).toBe(true);
    expect(given).toBe(false);
  }
  expect(new Set(seeds.map(({ base }) => base)).size).toBeGreaterThan(1);
});

it("SHOAL_SEED=N is N alone; what is no seed is said to be none", () => {
  expect(parseSeed("0")).toEqual({ base: 0, given: true });
  expect(parseSeed("2026112107")).toEqual({ base: 2_026_112_107, given: true });
  for (const bad of ["Random", "1.5", "-1", "1e3", " ", "99999999999"])
    expect(() => parseSeed(bad), bad).toThrow(/SHOAL_SEED is a whole number up to 2147483647, or "random"/);
});

it("a failure's command names this file's 'test' (and no more)", () => {
  expect(replayCommand(7)).toBe(
    "SHOAL_SEED=7 npx vitest run test/support/seed.test.ts -t 'a failure.s command names this file.s .test. .and no more.'",
  );
});
