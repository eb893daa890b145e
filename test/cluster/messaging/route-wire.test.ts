/** Items of routes as bytes: faults, and the vectors of docs/spec/messaging.md. Junk: route-lists.test.ts. */
import { describe, expect, it } from "vitest";
import {
  ASK,
  decodeRouteItem,
  type RouteChange,
  RouteChangesWriter,
} from "../../../src/cluster/messaging/route-own.js";
import { vectorsUnder } from "../../support/markdown.js";

const LATER = { isFirst: false, isLast: false };

function written(changes: readonly RouteChange[]): RouteChangesWriter {
  const writer = new RouteChangesWriter();
  for (const change of changes) writer.add(change);
  return writer;
}

describe("items of routes", () => {
  it("have whole changes of known flags, in UTF-8, and no more than an item may have", () => {
    const good = written([{ filter: "x", isAdded: true }]).take(LATER);
    expect(decodeRouteItem(good)).toBeDefined();
    const bad = [
      Buffer.concat([good, Buffer.from([0])]),
      Buffer.from([...good.subarray(0, 3), 0xff, 0xff, 0xff, 0x7f]),
      Buffer.from([...good.subarray(0, -1), 0xff]),
      Buffer.from([1, 4, ...good.subarray(2)]),
      Buffer.from([1, 0, 3, ...good.subarray(3)]),
      Buffer.concat([good, Buffer.alloc(200_000)]),
    ];
    for (const item of bad) expect(decodeRouteItem(item)).toBeUndefined();
    expect(decodeRouteItem(Buffer.concat([good, Buffer.alloc(100_000)]))).toBeDefined();
    for (let end = 0; end < good.length; end++)
      expect(decodeRouteItem(good.subarray(0, end))).toBeUndefined();
  });

  it("have something, unless a snapshot ends with them", () => {
    for (const isFirst of [false, true]) {
      expect(decodeRouteItem(written([]).take({ isFirst, isLast: false }))).toBeUndefined();
      const last = { isFirst, isLast: true };
      expect(decodeRouteItem(written([]).take(last))).toMatchObject(last);
    }
  });
});

it("the vectors of docs/spec/messaging.md are what the code makes", () => {
  const changes = [
    { filter: "t/+/x", isAdded: true },
    { filter: "t/#", isAdded: false },
    { filter: "u", isAdded: true, isWanted: true },
  ];
  const last = written([{ filter: "t/a", isAdded: true }]).take({ isFirst: false, isLast: true });
  expect(vectorsUnder("spec/messaging.md", "Vectors")).toEqual([
    [
      "CHANGES: t/+/x is added, t/# removed, u added with its retained values",
      written(changes).take(LATER).toString("hex"),
    ],
    ["CHANGES that end a snapshot: t/a", last.toString("hex")],
    ["ASK", ASK.toString("hex")],
  ]);
});
