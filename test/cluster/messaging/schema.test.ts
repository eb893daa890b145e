import { describe, expect, it } from "vitest";
import {
  hex,
  list,
  optional,
  Reader,
  schema,
  sizeOfUint,
  text,
  uint,
  writeUint,
} from "../../../src/cluster/messaging/schema.js";
import fc from "../../support/properties.js";

const RECORD = schema({
  count: uint(),
  name: text(100),
  note: optional(text(50)),
  id: hex(4),
  tags: list(text(10), 8),
  size: optional(uint(255)),
});

const record = fc.record({
  count: fc.maxSafeNat(),
  name: fc.string({ maxLength: 20, unit: "grapheme" }).filter((value) => Buffer.byteLength(value) <= 100),
  note: fc.option(fc.string({ maxLength: 10 }), { nil: undefined }),
  id: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((value) => Buffer.from(value).toString("hex")),
  tags: fc.array(fc.string({ maxLength: 10, unit: "binary-ascii" }), { maxLength: 8 }),
  size: fc.option(fc.nat(255), { nil: undefined }),
});

describe("the compact form", () => {
  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(record, (value) => {
        const found = RECORD.decode(RECORD.encode(value));
        expect({ note: undefined, size: undefined, ...found }).toEqual({ ...value });
      }),
      { numRuns: 300, defaultRuns: 60 },
    );
  });

  it("skips what a later version adds, and takes no part of a record for a whole one", () => {
    fc.assert(
      fc.property(record, fc.uint8Array({ minLength: 1, maxLength: 20 }), (value, more) => {
        const encoded = RECORD.encode(value);
        expect(RECORD.decode(Buffer.concat([encoded, more]))).toEqual(RECORD.decode(encoded));
        for (let end = 0; end < encoded.length; end++)
          expect(RECORD.decode(encoded.subarray(0, end))).toBe(undefined);
      }),
      { numRuns: 30, defaultRuns: 15 },
    );
  });

  it("never throws for what a peer sends, and allocates nothing for a count alone", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
        RECORD.decode(Buffer.from(junk));
      }),
      { numRuns: 2_000 },
    );
    const many = schema({ all: list(uint(), 1_000_000_000) });
    expect(many.decode(Buffer.from([255, 255, 255, 255, 3]))).toBe(undefined);
  });

  it("has one form of a number, of 8 bytes at most", () => {
    const of = (...given: number[]): number | undefined => {
      const reader = new Reader(Buffer.from(given));
      const value = reader.uint();
      return reader.failed ? undefined : value;
    };
    expect([of(0), of(127), of(128, 1), of(255, 255, 255, 255, 255, 255, 255, 15)]).toEqual([
      0,
      127,
      128,
      2 ** 53 - 1,
    ]);
    expect([of(), of(128), of(128, 0), of(255, 255, 255, 255, 255, 255, 255, 16)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const buffer = Buffer.alloc(9);
        const end = writeUint(buffer, 0, value);
        expect(end).toBe(sizeOfUint(value));
        expect(of(...buffer.subarray(0, end))).toBe(value);
      }),
    );
  });

  it("refuses what a field cannot have, and text that is not UTF-8", () => {
    const small = schema({ name: text(10), id: hex(4), tags: list(text(10), 8), size: uint(255) });
    const large = schema({ name: text(100), id: hex(4), tags: list(text(100), 80), size: uint() });
    const good = { name: "", id: "00000000", tags: [], size: 0 };
    expect(small.decode(large.encode(good))).toEqual(good);
    for (const bad of [{ name: "x".repeat(11) }, { tags: Array(9).fill("") }, { size: 256 }])
      expect(small.decode(large.encode({ ...good, ...bad }))).toBe(undefined);
    const one = schema({ name: text(10) });
    expect(one.decode(Buffer.from([2, 0xc3, 0x28]))).toBe(undefined);
  });
});
