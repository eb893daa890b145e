import { describe, expect, it } from "vitest";
import { SubscriptionTable } from "../../../src/cluster/messaging/subscription-table.js";

describe("filters of more levels than a word has bits", () => {
  it("match by each of their levels", () => {
    const table = new SubscriptionTable<string>();
    table.add(`${"a/".repeat(32)}+`, "one");
    table.add(`+${"/a".repeat(32)}`, "two");
    const found: string[] = [];
    for (const [first, last] of ["aa", "ab", "ba", "bb"]) {
      table.match(`${first}${"/a".repeat(31)}/${last}`, found);
      found.push("|");
    }
    expect(found.join("")).toBe("onetwo|one|two||");
  });
});

describe("many subscriptions of one filter", () => {
  it("go in any order, and those that are left stay in the order of their age", () => {
    const ends: string[] = [];
    const table = new SubscriptionTable<number>((filter) => void ends.push(filter));
    for (let i = 0; i < 10; i++) table.add("a/#", i);
    table.add("a/+", 3);
    // The first one, one between, the last one.
    for (const gone of [0, 4, 9, 1]) expect(table.delete("a/#", gone)).toBe(true);
    table.add("a/#", 0);
    const found: number[] = [];
    expect(table.match("a/b", found)).toBe(8);
    expect(found).toEqual([2, 3, 5, 6, 7, 8, 3, 0]);
    for (const gone of [2, 3, 5, 6, 7, 8, 0]) expect(table.delete("a/#", gone)).toBe(true);
    expect(ends).toEqual(["a/#"]);
    expect([table.size, table.filters]).toEqual([1, 1]);
  });

  it("have so many shapes at most, and a refused one changes nothing", () => {
    const table = new SubscriptionTable<string>();
    const shape = (i: number) => i.toString(2).padStart(11, "0").replaceAll("1", "+").split("").join("/");
    for (let i = 0; i < 1_024; i++) table.add(shape(i), "one");
    expect(() => table.add(shape(1_024), "one")).toThrow(/at most 1,024 shapes/);
    expect(table.size).toBe(1_024);
    table.add(shape(5), "two");
    table.delete(shape(7), "one");
    expect(() => table.add(shape(1_024), "one")).not.toThrow();
  });
});
