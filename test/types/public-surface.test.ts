/**
 * Every name of the public entry points. A change here is a change of the API:
 * `npx vitest run test/types -u` accepts it. The patterns' own entry points have no lists of their own:
 * `shoal/patterns` has all of their names.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Program } from "./declarations.js";

const ENTRIES = {
  shoal: "index.ts",
  "shoal/draft": "sockets/draft/index.ts",
  "shoal/browser": "browser/index.ts",
  "shoal/browser/curve": "browser/curve/index.ts",
  "shoal/patterns": "patterns/index.ts",
  "shoal/cluster": "cluster/index.ts",
  "shoal/link": "link/index.ts",
  "shoal/proxy": "proxy/index.ts",
  "shoal/metrics": "metrics/index.ts",
  "shoal/testing": "testing/index.ts",
};
const PATTERNS = readdirSync(join(import.meta.dirname, "../../src/patterns"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "kit")
  .map(({ name }) => name);
const source = (file: string): string => join(import.meta.dirname, "../../src", file);

describe("the public surface", () => {
  const program = new Program([
    ...Object.values(ENTRIES).map(source),
    ...PATTERNS.map((name) => source(`patterns/${name}/index.ts`)),
  ]);

  it.each(Object.entries(ENTRIES))("of %s is what it was", async (entry, file) => {
    const lines = [...program.exportsOf(source(file)).values()].map(({ kind, name }) => `${kind} ${name}`);
    await expect(`${lines.sort().join("\n")}\n`).toMatchFileSnapshot(
      `./snapshots/${entry.replaceAll("/", "-")}.txt`,
    );
  });

  it.each(Object.entries(ENTRIES))("of %s has the same values at run time", async (_, file) => {
    const declared = [...program.exportsOf(source(file)).values()].filter(({ kind }) => kind !== "type");
    const actual: object = await import(source(file));
    expect(Object.keys(actual).sort()).toEqual(declared.map(({ name }) => name).sort());
  });

  it("has an entry point for each pattern, and all of their names in shoal/patterns", () => {
    const { exports } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));
    expect(Object.keys(exports)).toEqual(expect.arrayContaining(PATTERNS.map((name) => `./${name}`)));
    const names = PATTERNS.flatMap((name) => [
      ...program.exportsOf(source(`patterns/${name}/index.ts`)).keys(),
    ]);
    const together = [...program.exportsOf(source("patterns/index.ts")).keys()];
    expect(together).toEqual(expect.arrayContaining(names));
  });
});
