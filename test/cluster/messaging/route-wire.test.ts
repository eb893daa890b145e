/** Items of routes as bytes: round trips, junk, and the vectors of docs/spec/messaging.md. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ROUTE_BURST } from "../../../src/cluster/messaging/bounds.js";
import {
  type Block,
  BlockKind,
  BlockWriter,
  decodeRouteItem,
  encodeAck,
  encodeBlockItem,
  encodeDigest,
  encodeNone,
  encodePush,
  encodeVersions,
  encodeWant,
  MAX_VERSION,
  Operation,
  RouteItem,
  readOperations,
} from "../../../src/cluster/messaging/route-wire.js";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";

const RUNS = LONG ? 10_000 : 300;
const ID = "000102030405060708090a0b0c0d0e0f";
const LIFE = 0xa1a2_a3a4_a5a6;
const OF = { id: ID, life: LIFE };
const sign = (): Uint8Array => Buffer.alloc(64, 0x77);

function blockOf(
  kind: BlockKind,
  version: number,
  operations: readonly (readonly [number, string, number])[],
  part = 0,
  exact = 0,
): Buffer {
  const writer = new BlockWriter();
  for (const [each, text, number] of operations) writer.add(each, text, number);
  return writer.finish(kind, { ...OF, version }, part, exact, sign);
}

function operationsOf(block: Block): [number, string, number][] {
  const read: [number, string, number][] = [];
  readOperations(block, {
    filter: (kind, bytes, start, end) => read.push([kind, bytes.toString("utf8", start, end), 0]),
    name: (kind, name, number) => read.push([kind, name, number]),
  });
  return read;
}

const { ADD, NAME, CHOSEN, SUBTOPIC } = Operation;
const change = blockOf(BlockKind.CHANGE, 300, [
  [ADD, "t/+/x", 0],
  [0, "t/#", 0],
  [ADD | NAME | CHOSEN, "ping", 2],
  [NAME | SUBTOPIC, "pong", 4],
]);

const VECTORS: readonly (readonly [string, Buffer])[] = [
  [
    "DIGEST, salt 1, hashes 0 to 15",
    encodeDigest(
      1,
      Uint32Array.from({ length: 16 }, (_, i) => i),
    ),
  ],
  ["VERSIONS of bucket 0, version 300, to be answered", encodeVersions(true, 1, [{ ...OF, version: 300 }])],
  ["WANT what follows version 300", encodeWant(ID, LIFE, 300, 0)],
  ["WANT part 2 of the snapshot of version 300", encodeWant(ID, LIFE, 300, 2)],
  ["the same, one block", encodeWant(ID, LIFE, 300, 2, 1)],
  [
    "PUSH of version 300 without a block, to be acknowledged",
    encodePush(true, { ...OF, version: 300 }, undefined, undefined),
  ],
  [
    "the same, to be handed on up to ff…",
    encodePush(true, { ...OF, version: 300 }, "ff".repeat(16), undefined),
  ],
  [
    "PUSH of a change: add t/+/x, remove t/#, ping has the chosen id 2, the subtopic pong has not 4",
    encodePush(false, { ...OF, version: 300 }, undefined, change),
  ],
  [
    "BLOCK: the last part, 1, of the snapshot of version 7, exact from 9 on: t/a; ask again",
    encodeBlockItem(true, false, blockOf(BlockKind.LAST_PART, 7, [[ADD, "t/a", 0]], 1, 9)),
  ],
  ["NONE", encodeNone(ID, LIFE)],
  ["ACK of version 300, 2 are missing", encodeAck(ID, LIFE, 300, 2)],
];

const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const version = fc.record({ id, life: fc.nat({ max: 2 ** 48 - 1 }), version: fc.nat({ max: MAX_VERSION }) });
const number = fc.nat({ max: MAX_VERSION });
const operation = fc.oneof(
  fc.tuple(fc.constantFrom(0, ADD), fc.string({ unit: "grapheme" }), fc.constant(0)),
  fc.tuple(
    fc.constantFrom(NAME, NAME | ADD, NAME | ADD | CHOSEN, NAME | SUBTOPIC, NAME | ADD | CHOSEN | SUBTOPIC),
    fc.string({ unit: "grapheme" }),
    fc.nat({ max: 0xffff_ffff }),
  ),
);

describe("items of routes", () => {
  it("give back what went in", () => {
    fc.assert(
      fc.property(
        version,
        number,
        fc.array(version),
        fc.boolean(),
        fc.array(operation),
        id,
        (of, part, entries, flag, operations, until) => {
          const { id: origin, life, version: made } = of;
          for (const most of [1, 2, ROUTE_BURST])
            expect(decodeRouteItem(encodeWant(origin, life, made, part, most))).toEqual({
              type: RouteItem.WANT,
              ...of,
              part,
              most,
            });
          expect(decodeRouteItem(encodeAck(origin, life, made, part))).toEqual({
            type: RouteItem.ACK,
            ...of,
            missing: part,
          });
          expect(decodeRouteItem(encodeNone(origin, life))).toEqual({
            type: RouteItem.NONE,
            id: origin,
            life,
          });
          expect(decodeRouteItem(encodeVersions(flag, 0x8001, entries))).toEqual({
            type: RouteItem.VERSIONS,
            answer: flag,
            mask: 0x8001,
            entries,
          });
          const writer = new BlockWriter();
          for (const [kind, text, its] of operations) writer.add(kind, text, its);
          const bytes = writer.finish(BlockKind.CHANGE, of, 0, 0, sign);
          const block = { ...of, kind: BlockKind.CHANGE, part: 0, exact: 0, bytes };
          const pushed = decodeRouteItem(encodePush(flag, of, flag ? until : undefined, bytes));
          expect(pushed).toMatchObject({
            type: RouteItem.PUSH,
            ...of,
            ack: flag,
            until: flag ? until : undefined,
            block,
          });
          if (pushed?.type !== RouteItem.PUSH || pushed.block === undefined) return;
          const { count, onlyAdds } = pushed.block;
          expect(operationsOf(pushed.block)).toEqual(operations);
          expect(count).toBe(operations.length);
          expect(onlyAdds).toBe(operations.every(([kind]) => (kind & ADD) !== 0));
        },
      ),
      { numRuns: RUNS },
    );
  });

  it("have filters of every length, ASCII and not", () => {
    const texts = [0, 1, 63, 64, 65, 127, 128, 5_000].flatMap((length) =>
      ["x", "é", "\u{1f40b}"].map((character) => character.repeat(length)),
    );
    const bytes = blockOf(
      BlockKind.CHANGE,
      300,
      texts.flatMap((text) => [[ADD, text, 0] as const, [ADD | NAME, text, 7] as const]),
    );
    const item = decodeRouteItem(encodeBlockItem(false, false, bytes));
    if (item?.type !== RouteItem.BLOCK) throw new Error("no block");
    expect(operationsOf(item.block)).toEqual(
      texts.flatMap((text) => [
        [ADD, text, 0],
        [ADD | NAME, text, 7],
      ]),
    );
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
        expect(decodeRouteItem(item.subarray(0, at % item.length))?.type).not.toBe(RouteItem.DIGEST);
        item[at % item.length] = value;
        decodeRouteItem(item);
      }),
      { numRuns: 10 * RUNS },
    );
  });

  it("state nothing by a count alone, and no version past 2^48", () => {
    const versions = encodeVersions(true, 1, []);
    expect(
      decodeRouteItem(Buffer.concat([versions.subarray(0, 4), Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f])])),
    ).toBeUndefined();
    expect(decodeRouteItem(encodeWant(ID, LIFE, MAX_VERSION + 1, 0))).toBeUndefined();
    // Nor more blocks than an answer has, and one at least.
    const want = encodeWant(ID, LIFE, 1, 0);
    for (const [most, expected] of [
      [0, 1],
      [100, ROUTE_BURST],
    ] as const)
      expect(decodeRouteItem(Buffer.concat([want, Buffer.from([most])]))).toMatchObject({ most: expected });
    // A block that is pushed is the change that the item states.
    expect(decodeRouteItem(encodePush(false, { ...OF, version: 301 }, undefined, change))).toBeUndefined();
    expect(
      decodeRouteItem(encodePush(false, { ...OF, life: 1, version: 300 }, undefined, change)),
    ).toBeUndefined();
  });

  it("refuse operations of kinds that there are not", () => {
    for (const kind of [CHOSEN, SUBTOPIC, NAME | CHOSEN, 16, 255]) {
      const bytes = blockOf(BlockKind.CHANGE, 300, [[kind, "x", 1]]);
      expect(
        decodeRouteItem(encodePush(false, { ...OF, version: 300 }, undefined, bytes)),
        `${kind}`,
      ).toBeUndefined();
    }
    const good = blockOf(BlockKind.CHANGE, 300, [[ADD, "x", 0]]);
    expect(decodeRouteItem(encodePush(false, { ...OF, version: 300 }, undefined, good))).toBeDefined();
    const bad = Buffer.from(good);
    bad[bad.length - 65] = 0xff; // Not UTF-8.
    expect(decodeRouteItem(encodePush(false, { ...OF, version: 300 }, undefined, bad))).toBeUndefined();
  });
});

it("the vectors of docs/spec/messaging.md are what the code makes", () => {
  const page = readFileSync(new URL("../../../docs/spec/messaging.md", import.meta.url), "utf8");
  const rows = VECTORS.map(([name, bytes]) => `| ${name} | \`${bytes.toString("hex")}\` |`);
  for (const row of rows) expect(page).toContain(row);
});
