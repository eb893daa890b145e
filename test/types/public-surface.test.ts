/**
 * Every name of the public entry points. A change here is a change of the API:
 * `npx vitest run test/types -u` accepts it.
 */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Program } from "./declarations.js";

const ENTRIES = { shoal: "index.ts", "shoal/patterns": "patterns/index.ts", "shoal/proxy": "proxy/index.ts" };
const source = (file: string): string => join(import.meta.dirname, "../../src", file);

describe("the public surface", () => {
  const program = new Program(Object.values(ENTRIES).map(source));

  it.each(Object.entries(ENTRIES))("of %s is what it was", async (entry, file) => {
    const lines = [...program.exportsOf(source(file)).values()].map(({ kind, name }) => `${kind} ${name}`);
    await expect(`${lines.sort().join("\n")}\n`).toMatchFileSnapshot(
      `./snapshots/${entry.replace("/", "-")}.txt`,
    );
  });

  it.each(Object.entries(ENTRIES))("of %s has the same values at run time", async (_, file) => {
    const declared = [...program.exportsOf(source(file)).values()].filter(({ kind }) => kind !== "type");
    const actual: object = await import(source(file));
    expect(Object.keys(actual).sort()).toEqual(declared.map(({ name }) => name).sort());
  });
});
