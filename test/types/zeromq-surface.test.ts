/** Name by name: what the package `zeromq` exports, shoal exports, too. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Program } from "./declarations.js";

const ours = join(import.meta.dirname, "../../src/index.ts");
const theirs = createRequire(import.meta.url)
  .resolve("zeromq")
  .replace(/\.js$/, ".d.ts");

describe.skipIf(!existsSync(theirs))("the names of the package zeromq", () => {
  const program = new Program([ours, theirs]);
  const shoal = program.exportsOf(ours);
  const zeromq = program.exportsOf(theirs);

  it("are read from the package, not from an empty file", () => {
    expect(zeromq.size).toBeGreaterThan(25);
    expect(zeromq.get("Dealer")?.members).toContain("probeRouter");
  });

  it.each([...zeromq.keys()])("%s is exported, as the same kind of thing", (name) => {
    expect(shoal.get(name)?.kind).toBe(zeromq.get(name)?.kind);
  });

  it.each(
    [...zeromq.values()].filter(({ kind }) => kind === "class").map(({ name }) => name),
  )("the class %s has every public member", (name) => {
    const missing = zeromq.get(name)?.members.filter((member) => !shoal.get(name)?.members.includes(member));
    expect(missing).toEqual([]);
  });
});
