/** The memory of a table of routes: not counted by V8 while it is used, and counted from its end on, so that it is collected. */
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { type RouteNode, RouteTable } from "../../../src/cluster/messaging/route-table.js";

const MIB = 2 ** 20;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function external(): number {
  collect();
  collect();
  return process.memoryUsage().external;
}

function filled(): RouteTable {
  const table = new RouteTable();
  const nodes = Array.from({ length: 10 }, () => table.takeNode());
  for (const [i, node] of nodes.entries()) node.owner = `${i}`;
  for (let i = 0; i < 200_000; i++) table.add(`plant/${i % 997}/sensor/${i}`, nodes[i % 10] as RouteNode);
  return table;
}

/** A filled table's bytes, and how much more V8 counts with it, before and after its end. Nothing of it is left. */
function use(before: number): { readonly bytes: number; readonly used: number; readonly closed: number } {
  const table = filled();
  const used = external() - before;
  table.close();
  const closed = external() - before;
  const nodes: string[] = [];
  // It can be read all the same.
  table.match("plant/5/sensor/5", nodes);
  if (nodes.length !== 1) throw new Error("no match");
  return { bytes: table.bytes(), used, closed };
}

it("V8 counts a small part of a large table while it is used, all of it from its end on, and nothing once it is collected", async () => {
  const before = external();
  const { bytes, used, closed } = use(before);
  expect(bytes).toBeGreaterThan(8 * MIB);
  // What a small table has: the first chunk and the first page.
  expect(used).toBeLessThan(3 * MIB);
  expect(closed).toBeGreaterThan(bytes - MIB);
  for (let turns = 0; turns < 100 && external() - before > MIB; turns++) await setImmediate();
  expect(external() - before).toBeLessThan(MIB);
});
