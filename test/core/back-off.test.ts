/** The wait between two attempts. */
import { expect, test } from "vitest";
import { backOff } from "../../src/core/timers.js";

const NEVER = () => 0;
const ALWAYS = () => 1 - Number.EPSILON;

test("doubles with each attempt, and ends at its bound", () => {
  const waits = [0, 1, 2, 3, 4, 1_000].map((attempts) => backOff(attempts, 100, 1_000, ALWAYS));
  expect(waits.map(Math.round)).toEqual([100, 200, 400, 800, 1_000, 1_000]);
});

test("is half by chance: never less than half of the bound of its attempt", () => {
  expect([0, 1, 9].map((attempts) => backOff(attempts, 100, 1_000, NEVER))).toEqual([50, 100, 500]);
});

test("a bound below the first wait holds from the first attempt on", () => {
  expect(Math.round(backOff(0, 100, 40, ALWAYS))).toBe(40);
});

test("no first wait is no wait, after any number of attempts", () => {
  expect(backOff(1_000, 0, 1_000, ALWAYS)).toBe(0);
});
