import { describe, expect, test } from "vitest";
import fc from "../support/properties.js";

const { countText, Tally } = await import(new URL("../../demo/count.js", import.meta.url).href);

interface Count {
  words: string[];
  counts: number[];
}
const asObject = ({ words, counts }: Count): Record<string, number> =>
  Object.fromEntries(words.map((word, i) => [word, counts[i] ?? 0]));

/** The plain definition, without slices or shortcuts for ASCII. */
function expected(text: string): Record<string, number> {
  const found: Record<string, number> = Object.create(null);
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    if (word.length <= 64) found[word] = (found[word] ?? 0) + 1;
  }
  return { ...found };
}

describe("counting a text", () => {
  test("finds the runs of letters, in lower case, in any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        const valid = Buffer.from(text).toString(); // Lone surrogates have no UTF-8.
        expect(asObject(countText(Buffer.from(valid)))).toEqual(expected(valid));
      }),
    );
  });

  test("never cuts a word of a text that is larger than a slice", () => {
    for (const word of ["herring", "žralok"]) {
      const text = `x${` ${word}`.repeat(100_000)}`;
      expect(asObject(countText(Buffer.from(text)))).toEqual({ x: 1, [word]: 100_000 });
    }
  });

  test("leaves runs of more than 64 letters out", () => {
    expect(asObject(countText(Buffer.from(`${"a".repeat(64)} ${"b".repeat(65)}`)))).toEqual({
      ["a".repeat(64)]: 1,
    });
  });
});

describe("a tally", () => {
  test("has the same lines in whatever order files were added", () => {
    const files = ["b", "a", "c/d"].map((path) => [path, countText(Buffer.from(`${path} fish Fish`))]);
    const linesOf = (order: unknown[][]): string[] => {
      const tally = new Tally();
      for (const [path, count] of order) tally.add(path, count);
      return tally.lines();
    };
    expect(linesOf(files)).toEqual(linesOf([...files].reverse()));
    expect(linesOf(files).filter((line) => line.startsWith("word"))).toEqual([
      "word a 1",
      "word b 1",
      "word c 1",
      "word d 1",
      "word fish 6",
    ]);
  });

  test("names a file that could not be read, with its reason, in the lines that are compared", () => {
    const tally = new Tally();
    tally.add("gone", { status: "unreadable", code: "ENOENT" });
    expect(tally.lines()).toEqual(['file "gone" unreadable ENOENT']);
    expect(tally.unreadable).toEqual(["gone: ENOENT"]);
  });
});
