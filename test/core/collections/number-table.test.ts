import { describe, expect, it, vi } from "vitest";
import { NumberTable } from "../../../src/core/collections/number-table.js";
import fc, { forAll } from "../../support/properties.js";

const sorted = (values: Iterable<string>): string[] => [...values].sort();

/** Numbers one after the other, stragglers, and those that share a place with others however long the ring is. */
const numbers = fc.oneof(
  { weight: 6, arbitrary: fc.nat(60) },
  { weight: 2, arbitrary: fc.nat(3_000) },
  { weight: 1, arbitrary: fc.nat(8).map((n) => n * 2 ** 32 + 5) },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER) },
);

describe("a table of numbers", () => {
  it("has what a Map would have, whatever the numbers and the order", () => {
    const step = fc.record({ key: numbers, run: fc.nat(40), adds: fc.boolean() });
    forAll([fc.array(step, { maxLength: 60 })], { numRuns: 300, defaultRuns: 60 }, (steps) => {
      const table = new NumberTable<string>();
      const map = new Map<number, string>();
      for (const [i, { key, run, adds }] of steps.entries()) {
        for (let k = key; k <= Math.min(key + run, Number.MAX_SAFE_INTEGER - 1); k++) {
          expect(table.has(k)).toBe(map.has(k));
          if (adds) {
            table.set(k, `${i}:${k}`);
            map.set(k, `${i}:${k}`);
          } else expect(table.delete(k)).toBe(map.delete(k));
        }
        expect(table.size).toBe(map.size);
        const among = [...map].flatMap(([k, value]) => (k >= key && k < key + run ? [value] : []));
        expect(sorted(table.between(key, key + run))).toEqual(sorted(among));
      }
      expect(sorted(table.values())).toEqual(sorted(map.values()));
      for (const [key, value] of map) expect(table.get(key)).toBe(value);
      table.clear();
      expect([table.size, table.values()]).toEqual([0, []]);
    });
  });

  it("looks through itself at most, however wide or high the range is", () => {
    const table = new NumberTable<string>();
    table.set(2 ** 63, "high");
    expect(table.between(2 ** 63 - 2_048, 2 ** 63 + 2_048)).toEqual(["high"]);
    table.delete(2 ** 63);
    table.set(7, "seven");
    expect(table.between(0, Number.MAX_SAFE_INTEGER)).toEqual(["seven"]);
    expect(table.between(8, Number.MAX_SAFE_INTEGER)).toEqual([]);
  });

  it("does not grow and shrink by turns, however a peer numbers what it has in it", () => {
    const table = new NumberTable<number>();
    for (let k = 1; k <= 20_000; k++) table.set(k * 2 ** 32, k);
    const fill = vi.spyOn(Float64Array.prototype, "fill");
    // The one in the ring goes, and two that share a place come: the ring has room, and then a collision.
    for (let k = 1; k <= 2_000; k++) {
      table.delete(k * 2 ** 32);
      table.set(k * 2 ** 32 + 7, k);
      table.set((k + 20_000) * 2 ** 32 + 7, k);
      table.delete(k * 2 ** 32 + 7);
    }
    // Each filling is of a new ring.
    expect(fill.mock.calls.length).toBeLessThan(10);
    fill.mockRestore();
  });

  it("keeps no more than a burst of a thousand needs, and nothing of it once it is trimmed", () => {
    const table = new NumberTable<number>();
    for (let k = 0; k < 100_000; k++) table.set(k, k);
    for (let k = 0; k < 100_000; k++) table.delete(k);
    expect(table.costOfBetween(0, 1_000_000)).toBeLessThanOrEqual(2_048);
    table.set(7, 7);
    table.trim();
    expect(table.costOfBetween(0, 1_000_000)).toBeLessThanOrEqual(256);
    expect([table.get(7), table.size]).toEqual([7, 1]);
  });

  it("gives all its values, however many a peer numbers so that they share a place", () => {
    const table = new NumberTable<number>();
    for (let k = 0; k < 200_000; k++) table.set(k * 2 ** 32, k);
    expect(table.values()).toHaveLength(200_000);
  });
});
