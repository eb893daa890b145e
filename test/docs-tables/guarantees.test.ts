/** docs/guarantees.md has rows for everything that passes messages, each with a test that exists. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SocketType } from "../../src/index.js";
import { codes, ROOT, tableUnder } from "./support/markdown.js";

const TABLES = ["Patterns", "Failures", "Calls", "Clusters"];

/** A test, or a table of them, whose cases may have a type: `it(`, `test.each(`, `it.each<Case>(`. */
const TEST = /\b(?:it|test|describeMatrix)(?:\.\w+)*(?:<[^()]*>)?\(/;

describe("docs/guarantees.md", () => {
  it("has a row for each socket type", () => {
    const named = new Set(tableUnder("guarantees.md", "Patterns").flatMap(([what]) => codes(what ?? "")));
    expect(Object.keys(SocketType).filter((type) => !named.has(type))).toEqual([]);
    expect(named).toContain("Proxy");
  });

  it.each(["it(", "test.each(", "it.each<[string, number]>("])("sees a test in %s", (text) => {
    expect(`  ${text}`).toMatch(TEST);
    expect("import { it } from x; expect<T>(").not.toMatch(TEST);
  });

  it.each(TABLES)("names, in each row of %s, test files that exist and hold tests", (heading) => {
    for (const row of tableUnder("guarantees.md", heading)) {
      const files = codes(row.at(-1) ?? "");
      expect(files.length, row[0]).toBeGreaterThan(0);
      for (const file of files) {
        expect(existsSync(join(ROOT, file)), file).toBe(true);
        expect(readFileSync(join(ROOT, file), "utf8"), file).toMatch(TEST);
      }
    }
  });
});
