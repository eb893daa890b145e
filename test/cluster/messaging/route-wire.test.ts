/** Items of routes as bytes: round trips, junk, and the vectors of docs/spec/messaging.md. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  ASK,
  decodeRouteItem,
  type RouteChanges,
  RouteChangesWriter,
  RouteItem,
  readChanges,
} from "../../../src/cluster/messaging/route-wire.js";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";

const RUNS = LONG ? 10_000 : 300;
type Change = readonly [filter: string, isAdded: boolean];

function written(changes: readonly Change[]): RouteChangesWriter {
  const writer = new RouteChangesWriter();
  for (const [filter, isAdded] of changes) writer.add(filter, isAdded);
  return writer;
}

function changesOf(item: RouteChanges): Change[] {
  const read: Change[] = [];
  readChanges(item, (isAdded, bytes, start, end) => read.push([bytes.toString("utf8", start, end), isAdded]));
  return read;
}

const VECTORS: readonly (readonly [string, Buffer])[] = [
  [
    "DELTA of version 300: t/+/x is added, t/# removed",
    written([
      ["t/+/x", true],
      ["t/#", false],
    ]).delta(300),
  ],
  [
    "PART, the last one, of a snapshot of version 300: t/a",
    written([["t/a", true]]).part({ base: 300, isFirst: false, isLast: true }),
  ],
  ["ASK", ASK],
];

const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const filter = fc.string({ unit: "grapheme" });

describe("items of routes", () => {
  it("give back what went in", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(filter, fc.boolean()), { minLength: 1 }),
        fc.boolean(),
        fc.boolean(),
        number,
        (changes, isFirst, isLast, from) => {
          const delta = decodeRouteItem(written(changes).delta(from));
          if (delta?.type !== RouteItem.DELTA) throw new Error("no delta");
          expect([delta.from, delta.count]).toEqual([from, changes.length]);
          expect(changesOf(delta)).toEqual(changes);
          const added = changes.map(([text]): Change => [text, true]);
          const head = { base: from, isFirst, isLast };
          const part = decodeRouteItem(written(added).part(head));
          if (part?.type !== RouteItem.PART) throw new Error("no part");
          expect(part).toMatchObject(head);
          expect(changesOf(part)).toEqual(added);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it("have filters of every length, ASCII and not", () => {
    const texts = [0, 1, 62, 63, 64, 65, 127, 128, 5_000].flatMap((length) =>
      ["x", "é", "\u{1f40b}"].map((character) => character.repeat(length)),
    );
    const changes = texts.map((text): Change => [text, true]);
    const item = decodeRouteItem(written(changes).delta(1));
    if (item?.type !== RouteItem.DELTA) throw new Error("no delta");
    expect(changesOf(item)).toEqual(changes);
  });

  it("that are junk, cut or changed are `undefined` or something else that is well-formed: nothing throws", () => {
    const junk = fc
      .tuple(fc.nat(8), fc.uint8Array({ maxLength: 300 }))
      .map(([type, bytes]) => Buffer.from([type, ...bytes]));
    fc.assert(
      fc.property(junk, (bytes) => void decodeRouteItem(bytes)),
      { numRuns: 10 * RUNS },
    );
    fc.assert(
      fc.property(fc.nat(VECTORS.length - 1), fc.nat(), fc.nat(255), (which, at, value) => {
        const item = Buffer.from((VECTORS[which] as readonly [string, Buffer])[1]);
        expect(decodeRouteItem(item.subarray(0, at % item.length))).toBeUndefined();
        item[at % item.length] = value;
        decodeRouteItem(item);
      }),
      { numRuns: 10 * RUNS },
    );
  });

  it("state nothing by a count alone, nor more than the item has, nor by what is not UTF-8", () => {
    const good = written([["x", true]]).delta(1);
    expect(decodeRouteItem(good)).toBeDefined();
    expect(decodeRouteItem(Buffer.concat([good, Buffer.from([0])]))).toBeUndefined();
    expect(decodeRouteItem(Buffer.from([...good.subarray(0, 2), 0xff, 0xff, 0xff, 0x7f]))).toBeUndefined();
    const bad = Buffer.from(good);
    bad[bad.length - 1] = 0xff;
    expect(decodeRouteItem(bad)).toBeUndefined();
    expect(decodeRouteItem(written([]).delta(1))).toBeUndefined();
    expect(decodeRouteItem(Buffer.alloc(200_000, RouteItem.DELTA))).toBeUndefined();
  });

  it("of a snapshot remove nothing, and have something unless they are the last", () => {
    const head = { base: 1, isFirst: true };
    expect(decodeRouteItem(written([["x", false]]).part({ ...head, isLast: true }))).toBeUndefined();
    expect(decodeRouteItem(written([]).part({ ...head, isLast: false }))).toBeUndefined();
    expect(decodeRouteItem(written([]).part({ ...head, isLast: true }))).toBeDefined();
  });
});

it("the vectors of docs/spec/messaging.md are what the code makes", () => {
  const page = readFileSync(new URL("../../../docs/spec/messaging.md", import.meta.url), "utf8");
  const rows = VECTORS.map(([name, bytes]) => `| ${name} | \`${bytes.toString("hex")}\` |`);
  for (const row of rows) expect(page).toContain(row);
});
