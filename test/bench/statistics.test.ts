import { describe, expect, it } from "vitest";
import { draws, halfWidth, medianInterval } from "../../bench/statistics/bootstrap.js";
import { whyStop } from "../../bench/statistics/stopping.js";
import { median, quantile } from "../../bench/statistics/summary.js";

it("median and quantile take the middle, in whatever order the values come", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
  expect(quantile([1, 2, 3, 4, 5], 0.25)).toBe(2);
  expect(quantile([1, 2], 0.5)).toBe(1.5);
});

describe("bootstrap intervals", () => {
  it("cover the truth about as often as they say", () => {
    // A known noise around 100, from the same generator with other seeds: 200 samples of 15.
    let covered = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const draw = draws(seed * 7_919);
      const noisy = Array.from({ length: 15 }, () => 95 + draw(1_000) / 100);
      const { low, high } = medianInterval(noisy);
      if (low <= 99.995 && high >= 99.995) covered++;
    }
    expect(covered).toBeGreaterThan(175);
    expect(covered).toBeLessThan(200);
  });

  it("have a half width in proportion to the value", () => {
    expect(halfWidth({ value: 2, low: 1.9, high: 2.1 })).toBeCloseTo(0.05);
    expect(halfWidth({ value: Number.NaN, low: 1, high: 2 })).toBe(Number.POSITIVE_INFINITY);
    expect(halfWidth({ value: 0, low: 0, high: 0 })).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("whyStop", () => {
  const rule = { leastRounds: 5, mostRounds: 20, seconds: 60, narrow: 0.03 };
  const steady = (value: number, rounds: number) => Array.from({ length: rounds }, () => value);

  it("goes on while there are few rounds, or the ratio is uncertain", () => {
    const few = new Map([
      ["a", steady(100, 4)],
      ["b", steady(50, 4)],
    ]);
    expect(whyStop(rule, few, "a", 1)).toBeUndefined();
    const scattered = new Map([
      ["a", steady(100, 7)],
      ["b", [10, 50, 90, 30, 70, 110, 20]],
    ]);
    expect(whyStop(rule, scattered, "a", 1)).toBeUndefined();
  });

  it("stops when every ratio is narrow, though the figures themselves are not", () => {
    const load = [1, 2, 4, 1, 3];
    const samples = new Map([
      ["a", load.map((slow) => 100 / slow)],
      ["b", load.map((slow) => 50 / slow)],
    ]);
    expect(whyStop(rule, samples, "a", 1)).toBe("narrow");
    expect(whyStop(rule, samples, undefined, 1)).toBe("narrow");
    samples.set("c", [1, 9, 2, 8, 3]);
    expect(whyStop(rule, samples, "a", 1)).toBeUndefined();
  });

  it("looks at the figure itself when there is nobody to compare with", () => {
    expect(whyStop(rule, new Map([["a", steady(100, 5)]]), "gone", 1)).toBe("narrow");
    expect(whyStop(rule, new Map([["a", [1, 9, 2, 8, 3]]]), undefined, 1)).toBeUndefined();
  });

  it("stops for the number of rounds and for the time", () => {
    const samples = new Map([["a", [1, 9, 2, 8, 3]]]);
    expect(whyStop({ ...rule, mostRounds: 5 }, samples, undefined, 1)).toBe("rounds");
    expect(whyStop(rule, samples, undefined, 60)).toBe("time");
    const exact = { ...rule, leastRounds: 9, mostRounds: 9 };
    expect(whyStop(exact, samples, undefined, 60)).toBeUndefined();
    expect(whyStop(rule, new Map([["a", [1, 9]]]), undefined, 60)).toBeUndefined();
  });
});
