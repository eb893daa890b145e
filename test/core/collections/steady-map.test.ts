import { expect, test } from "vitest";
import { SteadyMap } from "../../../src/core/collections/steady-map.js";
import fc, { forAll } from "../../support/properties.js";

test("it is a map", () => {
  const step = fc.record({
    key: fc.string({ maxLength: 2, unit: fc.constantFrom("a", "b", "c", "d", "e") }),
    on: fc.nat(2),
  });
  forAll([fc.array(step, { maxLength: 300 })], { numRuns: 500, defaultRuns: 16 }, (steps) => {
    const [map, oracle] = [new SteadyMap<number>(), new Map<string, number>()];
    for (const [i, { key, on }] of steps.entries()) {
      if (on > 0) {
        map.set(key, i);
        oracle.set(key, i);
      } else expect(map.delete(key)).toBe(oracle.delete(key));
      expect([map.get(key), map.has(key)]).toEqual([oracle.get(key), oracle.has(key)]);
      expect(map.size).toBe(oracle.size);
      expect(map.length).toBe([...oracle.keys()].join("").length);
      expect([...map].sort()).toEqual([...oracle].sort());
      expect([...map.keys()].sort()).toEqual([...oracle.keys()].sort());
    }
  });
});

test("one key comes and goes at the same price among 300,000 others", () => {
  const map = new SteadyMap<boolean>();
  for (let i = 0; i < 300_000; i++) map.set(`key ${i}`, true);
  // In a Map of V8 this takes minutes.
  for (let i = 0; i < 300_000; i++) {
    map.set("one", true);
    map.delete("one");
  }
  expect(map.size).toBe(300_000);
}, 20_000);

test("deleted keys are not kept: neither many, nor long ones", () => {
  const map = new SteadyMap<boolean>();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 1_000; i++) map.set(`${round} ${i}`.padEnd(10_000), true);
    for (let i = 0; i < 1_000; i++) map.delete(`${round} ${i}`.padEnd(10_000));
  }
  expect([map.size, map.length]).toEqual([0, 0]);
  expect(map.kept).toBeLessThanOrEqual(16);
});
