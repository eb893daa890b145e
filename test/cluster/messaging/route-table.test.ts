import { describe, expect, it } from "vitest";
import { RouteTable } from "../../../src/cluster/messaging/route-table.js";
import { RULES } from "./topic-rules.js";

function match(table: RouteTable, topic: string): number[] {
  const nodes: number[] = [];
  expect(table.match(topic, nodes)).toBe(nodes.length);
  return nodes.sort((one, other) => one - other);
}

describe("the route table", () => {
  it.each(RULES)("has MQTT's rules: %s", (_rule, filter, topic, expected) => {
    const table = new RouteTable();
    expect(table.add(filter, 7)).toBe("added");
    expect(match(table, topic)).toEqual(expected ? [7] : []);
  });

  it("routes as emqttd's guide has it", () => {
    const table = new RouteTable();
    for (const [node, filter] of [
      [1, "t/+/x"],
      [1, "t/+/y"],
      [2, "t/#"],
      [3, "t/+/x"],
      [3, "t/a"],
    ] as const)
      table.add(filter, node);
    expect(table.size).toBe(5);
    expect(table.filters).toBe(4);
    expect(match(table, "t/a")).toEqual([2, 3]);
    expect(match(table, "t/1/x")).toEqual([1, 2, 3]);
    expect(match(table, "t/1/y")).toEqual([1, 2]);
    expect(match(table, "t")).toEqual([2]);
    expect(match(table, "u")).toEqual([]);
    expect([...table.filtersOf(1)].sort()).toEqual(["t/+/x", "t/+/y"]);
  });
});
