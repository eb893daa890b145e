import { describe, expect, it } from "vitest";
import { Reader, sizeOfUint, Writer, writeUint } from "../../src/cluster/compact.js";
import fc from "../support/properties.js";

const out = new Writer(1);

describe("the compact form", () => {
  it("has one form of a number, of 8 bytes at most", () => {
    const of = (...given: number[]): number | undefined => {
      const reader = new Reader(Buffer.from(given));
      const value = reader.uint();
      return reader.failed ? undefined : value;
    };
    const full = Array<number>(7).fill(255);
    expect([of(0), of(127), of(128, 1), of(...full, 15)]).toEqual([0, 127, 128, 2 ** 53 - 1]);
    for (const wrong of [[], [128], [128, 0], [...full, 16]]) expect(of(...wrong)).toBeUndefined();
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
    // Nothing is allocated for a count alone.
    const counted = new Reader(Buffer.from([255, 255, 255, 255, 3]));
    expect([counted.texts(1_000_000_000, 10), counted.failed]).toEqual([[], true]);
    expect(isRead(Buffer.from([2, 0xc3, 0x28]), (from) => from.text(10))).toBe(false);
  });

  it("skips the text that is expected, and no other", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), (text, expected) => {
        out.text(text);
        const bytes = out.take();
        const reader = new Reader(bytes);
        const isAscii = Buffer.byteLength(text) === text.length;
        expect(reader.skipText(expected)).toBe(text === expected && isAscii);
        expect(reader.at).toBe(text === expected && isAscii ? bytes.length : 0);
        expect(new Reader(bytes, 0, bytes.length - 1).skipText(text)).toBe(false);
      }),
    );
    expect(new Reader(Buffer.from([1, 0xe9])).skipText("é")).toBe(false);
  });
});
