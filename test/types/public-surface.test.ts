/**
 * The names of the public entry points, those of the package `zeromq` among them, by one program of the compiler, since reading the
 * sources is most of the work. `npm run typecheck` checks the type tests next to this file.
 *
 * A change of a name is a change of the API: `npx vitest run test/types -u` accepts it. The patterns' own entry points have
 * no lists of their own: `shoal/patterns` has all of their names.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { Program } from "./declarations.js";

const ROOT = join(import.meta.dirname, "../..");
const ENTRIES = {
  shoal: "index.ts",
  "shoal/draft": "sockets/draft/index.ts",
  "shoal/browser": "browser/index.ts",
  "shoal/browser/curve": "browser/curve/index.ts",
  "shoal/browser/draft": "browser/draft/index.ts",
  "shoal/browser/inproc": "browser/inproc/index.ts",
  "shoal/patterns": "patterns/index.ts",
  "shoal/cluster": "cluster/index.ts",
  "shoal/link": "link/index.ts",
  "shoal/sessions": "cluster/sessions/index.ts",
  "shoal/proxy": "proxy/index.ts",
  "shoal/metrics": "metrics/index.ts",
  "shoal/dashboard": "dashboard/index.ts",
  "shoal/opentelemetry": "opentelemetry/index.ts",
  "shoal/testing": "testing/index.ts",
};
const PATTERNS = readdirSync(join(ROOT, "src/patterns"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "kit")
  .map(({ name }) => name);
const source = (file: string): string => join(ROOT, "src", file);

/** The declarations of the package `zeromq`. */
const theirs = createRequire(import.meta.url)
  .resolve("zeromq")
  .replace(/\.js$/, ".d.ts");

const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), ts.sys.readFile);
const program = new Program(
  [
    ...Object.values(ENTRIES).map(source),
    ...PATTERNS.map((name) => source(`patterns/${name}/index.ts`)),
    ...(existsSync(theirs) ? [theirs] : []),
  ],
  ts.parseJsonConfigFileContent(config, ts.sys, ROOT).options,
);

describe("the public surface", () => {
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
    const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    expect(Object.keys(exports)).toEqual(expect.arrayContaining(PATTERNS.map((name) => `./${name}`)));
    const names = PATTERNS.flatMap((name) => [
      ...program.exportsOf(source(`patterns/${name}/index.ts`)).keys(),
    ]);
    const together = [...program.exportsOf(source("patterns/index.ts")).keys()];
    expect(together).toEqual(expect.arrayContaining(names));
  });
});

describe.skipIf(!existsSync(theirs))("the names of the package zeromq", () => {
  // Name by name: what that package exports, shoal exports, too.
  const shoal = program.exportsOf(source("index.ts"));
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
