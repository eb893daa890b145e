import { expect, it } from "vitest";
import { LatestMap } from "../../src/cluster/latest-map.js";

it("keeps the keys that were set last, in this order, however often each was set", () => {
  const map = new LatestMap<string, number>(2);
  map.set("a", 1).set("b", 2).set("a", 3).set("c", 4);
  expect([...map]).toEqual([
    ["a", 3],
    ["c", 4],
  ]);
  map.delete("a");
  map.set("d", 5);
  expect([...map.keys()]).toEqual(["c", "d"]);
});
