/** Items of routes as bytes: round trips, and the vectors of docs/spec/messaging.md. Junk: route-lists.test.ts. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  ASK,
  decodeRouteItem,
  type RouteChanges,
  RouteChangesWriter,
  readChanges,
} from "../../../src/cluster/messaging/route-wire.js";

const LATER = { isFirst: false, isLast: false };
type Change = readonly [filter: string, isAdded: boolean];

function written(changes: readonly Change[]): RouteChangesWriter {
  const writer = new RouteChangesWriter();
  for (const [filter, isAdded] of changes) writer.add(filter, isAdded);
  return writer;
}

function read(item: Buffer): RouteChanges {
  const changes = decodeRouteItem(item);
  if (changes === undefined || changes === "ask") throw new Error("no changes");
  return changes;
}

function changesOf(item: RouteChanges): Change[] {
  const read: Change[] = [];
  readChanges(item, (isAdded, bytes, start, end) => read.push([bytes.toString("utf8", start, end), isAdded]));
  return read;
}

const VECTORS: readonly (readonly [string, Buffer])[] = [
  [
    "CHANGES: t/+/x is added, t/# removed",
    written([
      ["t/+/x", true],
      ["t/#", false],
    ]).take(LATER),
  ],
  ["CHANGES that end a snapshot: t/a", written([["t/a", true]]).take({ isFirst: false, isLast: true })],
  ["ASK", ASK],
];

describe("items of routes", () => {
  it("have filters of every length, ASCII and not", () => {
    const texts = [0, 1, 62, 63, 64, 65, 127, 128, 5_000].flatMap((length) =>
      ["x", "é", "\u{1f40b}"].map((character) => character.repeat(length)),
    );
    const changes = texts.map((text, i): Change => [text, i % 2 === 0]);
    const item = read(written(changes).take(LATER));
    expect(item).toMatchObject({ ...LATER, count: changes.length });
    expect(changesOf(item)).toEqual(changes);
  });

  it("state nothing by a count alone, nor more than the item has, nor by what is not UTF-8", () => {
    const good = written([["x", true]]).take(LATER);
    expect(decodeRouteItem(good)).toBeDefined();
    expect(decodeRouteItem(Buffer.concat([good, Buffer.from([0])]))).toBeUndefined();
    expect(decodeRouteItem(Buffer.from([...good.subarray(0, 2), 0xff, 0xff, 0xff, 0x7f]))).toBeUndefined();
    const bad = Buffer.from(good);
    bad[bad.length - 1] = 0xff;
    expect(decodeRouteItem(bad)).toBeUndefined();
    expect(decodeRouteItem(Buffer.from([1, 0, ...Buffer.alloc(200_000)]))).toBeUndefined();
    for (const [name, item] of VECTORS)
      for (let end = 0; end < item.length; end++)
        expect(decodeRouteItem(item.subarray(0, end)), name).toBeUndefined();
  });

  it("have something, unless a snapshot ends with them", () => {
    for (const isFirst of [false, true]) {
      expect(decodeRouteItem(written([]).take({ isFirst, isLast: false }))).toBeUndefined();
      expect(decodeRouteItem(written([]).take({ isFirst, isLast: true }))).toMatchObject({
        isFirst,
        isLast: true,
      });
    }
  });
});

it("the vectors of docs/spec/messaging.md are what the code makes", () => {
  const page = readFileSync(new URL("../../../docs/spec/messaging.md", import.meta.url), "utf8");
  const rows = VECTORS.map(([name, bytes]) => `| ${name} | \`${bytes.toString("hex")}\` |`);
  for (const row of rows) expect(page).toContain(row);
});
