import { expect, it } from "vitest";
import { FIXED_SEED, parseSeed, replayCommand, seedOfDay } from "./seed.js";

const TODAY = new Date("2026-11-21T23:59:00Z");

it("a run that asks for nothing has the fixed seed, and the day's", () => {
  for (const nothing of [undefined, ""])
    expect(parseSeed(nothing, TODAY)).toEqual({ base: FIXED_SEED, day: seedOfDay(TODAY), given: false });
  expect(seedOfDay(TODAY)).toBe(2_026_112_100);
  expect(seedOfDay(new Date("2026-11-22T00:00:00Z"))).toBe(2_026_112_200);
  expect(seedOfDay(new Date("2099-12-31T00:00:00Z"))).toBeLessThan(2 ** 31);
});

it("SHOAL_SEED=random is another number each time, and no NaN", () => {
  const seeds = Array.from({ length: 10 }, () => parseSeed("random", TODAY));
  for (const { base, day, given } of seeds) {
    expect(Number.isSafeInteger(base)).toBe(true);
    expect([day, given]).toEqual([undefined, false]);
  }
  expect(new Set(seeds.map(({ base }) => base)).size).toBeGreaterThan(1);
});

it("SHOAL_SEED=N is N alone; what is no seed is said to be none", () => {
  expect(parseSeed("0", TODAY)).toEqual({ base: 0, day: undefined, given: true });
  expect(parseSeed("2026112107", TODAY)).toEqual({ base: 2_026_112_107, day: undefined, given: true });
  for (const bad of ["Random", "1.5", "-1", "1e3", " ", "99999999999"])
    expect(() => parseSeed(bad, TODAY), bad).toThrow(
      /SHOAL_SEED is a whole number up to 2147483647, or "random"/,
    );
});

it("a failure's command names this file's 'test' (and no more)", () => {
  expect(replayCommand(7)).toBe(
    "SHOAL_SEED=7 npx vitest run test/support/seed.test.ts -t 'a failure.s command names this file.s .test. .and no more.'",
  );
});
