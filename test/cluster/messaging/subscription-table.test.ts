import { describe, expect, it } from "vitest";
import { SubscriptionTable } from "../../../src/cluster/messaging/subscription-table.js";

it("filters of more levels than a word has bits match by each of their levels", () => {
  const table = new SubscriptionTable<string>();
  table.add(`${"a/".repeat(32)}+`, "one");
  table.add(`+${"/a".repeat(32)}`, "two");
  const found: string[] = [];
  for (const [first, last] of ["aa", "ab", "ba", "bb"]) {
    table.match(`${first}${"/a".repeat(31)}/${last}`, found);
    found.push("|");
  }
  expect(found.join("")).toBe("twoone|one|two||");
});

describe("many subscriptions of one filter", () => {
  it("go in any order, and the last one ends the node's interest", () => {
    const ends: string[] = [];
    const table = new SubscriptionTable<string>((filter) => void ends.push(filter));
    for (const value of "0123456789") table.add("a/#", value);
    for (const again of ["3", "3"]) table.add("a/+", again);
    // The first one, one between, the last one.
    for (const gone of "0491") expect(table.delete("a/#", gone)).toBe(true);
    expect([table.delete("a/#", "4"), table.delete("a/+", "4"), table.delete("b", "4")]).toEqual([
      false,
      false,
      false,
    ]);
    table.add("a/#", "0");
    const found: string[] = [];
    table.match("a/b", found);
    expect(found.sort().join("")).toBe("02335678");
    for (const gone of "2356780") expect(table.delete("a/#", gone)).toBe(true);
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
