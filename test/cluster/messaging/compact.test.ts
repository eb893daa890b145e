import { describe, expect, it } from "vitest";
import { Reader, sizeOfUint, Writer, writeUint } from "../../../src/cluster/messaging/compact.js";
import fc from "../../support/properties.js";

const MOST = 8;

const record = fc.record({
  count: fc.maxSafeNat(),
  name: fc.string({ maxLength: 20, unit: "grapheme" }).filter((value) => Buffer.byteLength(value) <= 100),
  id: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((value) => Buffer.from(value).toString("hex")),
  tags: fc.array(fc.string({ maxLength: 10, unit: "binary-ascii" }), { maxLength: MOST }),
});
type Values = Parameters<typeof encode>[0];

const out = new Writer(1);

function encode({ count, name, id, tags }: { count: number; name: string; id: string; tags: string[] }) {
  out.uint(count);
  out.text(name);
  out.id(id);
  out.uint(tags.length);
  for (const tag of tags) out.text(tag);
  return out.take();
}

function decode(bytes: Buffer): Values | undefined {
  const reader = new Reader(bytes);
  const value = {
    count: reader.uint(),
    name: reader.text(100),
    id: reader.id(4),
    tags: reader.texts(MOST, 10),
  };
  return reader.failed ? undefined : value;
}

describe("the compact form", () => {
  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(record, (value) => {
        expect(decode(encode(value))).toEqual(value);
      }),
      { numRuns: 300, defaultRuns: 60 },
    );
  });

  it("takes no part of a record for a whole one", () => {
    fc.assert(
      fc.property(record, (value) => {
        const encoded = encode(value);
        for (let end = 0; end < encoded.length; end++)
          expect(decode(encoded.subarray(0, end))).toBe(undefined);
      }),
      { numRuns: 30, defaultRuns: 15 },
    );
  });

  it("never throws for what a peer sends, and allocates nothing for a count alone", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
        decode(Buffer.from(junk));
      }),
      { numRuns: 2_000 },
    );
    const reader = new Reader(Buffer.from([255, 255, 255, 255, 3]));
    expect([reader.texts(1_000_000_000, 10), reader.failed]).toEqual([[], true]);
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

  it("refuses what is past a bound, and text that is not UTF-8", () => {
    const isRead = (bytes: Buffer, read: (reader: Reader) => unknown): boolean => {
      const reader = new Reader(bytes);
      read(reader);
      return !reader.failed;
    };
    const written = (write: (to: Writer) => void): Buffer => {
      write(out);
      return out.take();
    };
    const name = written((to) => to.text("x".repeat(11)));
    expect([10, 11].map((most) => isRead(name, (from) => from.text(most)))).toEqual([false, true]);
    const size = written((to) => to.uint(256));
    expect([255, 256].map((most) => isRead(size, (from) => from.uintUpTo(most)))).toEqual([false, true]);
    const tags = Buffer.alloc(10);
    tags[0] = 9;
    expect([8, 9].map((most) => isRead(tags, (from) => from.texts(most, 10)))).toEqual([false, true]);
    expect(isRead(Buffer.from([2, 0xc3, 0x28]), (from) => from.text(10))).toBe(false);
  });
});
