/**
 * The package as it is built, by one program of the compiler, since reading declarations is most of the work: the names of its entry
 * points, those of the package `zeromq` among them, and the types of the programs that its readers see. `npm run typecheck`
 * checks the type tests next to this file.
 *
 * A change of a name is a change of the API: `npm run build && npx vitest run test/types -u` accepts it. The patterns' own entry
 * points have no lists of their own: `shoal/patterns` has all of their names; nor have two of those for pages.
 */
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { programs, ROOT } from "../docs/blocks.js";
import { Program } from "./declarations.js";

/** The declarations of each entry point; those of the smaller bundles for pages are the same. */
const ENTRIES = new Map(
  Object.entries(manifest.exports).flatMap(([name, entry]) =>
    typeof entry === "string" || name.includes("/min")
      ? []
      : [[name.replace(".", "shoal"), join(ROOT, entry.types)] as const],
  ),
);
const PATTERNS = readdirSync(join(ROOT, "src/patterns"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "kit")
  .map(({ name }) => `shoal/${name}`);
const LISTED = [...ENTRIES].filter(([name]) => !PATTERNS.includes(name));
/** For pages: the names of another entry point, some more, and none of what a page does not have. */
const PAGES: readonly (readonly [entry: string, of: string, more: readonly string[], less: string])[] = [
  [
    "shoal/browser",
    "shoal",
    ["value pageEndpoint"],
    `Capability Certificate CurveKeyPair ENGINE_NAMES FAILURES FailureReason HandlerErrorDetails HttpServerEndpoint Proxy
    SendOptions ServiceError Stream StreamConnectOptions StreamOptions capability curveKeyPair curvePublicKey
    formatCertificate msgpack parseCertificate readCertificate version writeCertificate`,
  ],
  ["shoal/browser/draft", "shoal/draft", [], "Datagram DatagramOptions"],
];
const SNAPSHOTS = LISTED.filter(([name]) => !PAGES.some(([page]) => page === name));

/** Not what vitest makes of modules, which takes seconds for the package as it is built. */
const require = createRequire(import.meta.url);
/** The declarations of the package `zeromq`. */
const theirs = require.resolve("zeromq").replace(/\.js$/, ".d.ts");

/** The blocks of the pages and of comments, each as a file next to where it stands. */
const blocks = new Map(
  programs().map((block) => [
    join(ROOT, `${block.page}.${block.line}.ts`),
    { code: `${block.code}\nexport {};\n`, isPart: block.info.includes("fragment") },
  ]),
);
/** Programs that are files. `npm run typecheck` has those in TypeScript. */
const files = ["examples", "demo"].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(".js"))
    .map((name) => join(ROOT, folder, name)),
);

const program = new Program(
  [...ENTRIES.values(), ...(existsSync(theirs) ? [theirs] : []), ...blocks.keys(), ...files],
  new Map([...blocks].map(([path, { code }]) => [path, code])),
);

describe("the public surface", () => {
  const linesOf = (file: string | undefined, less: readonly string[] = []): string[] =>
    [...program.exportsOf(file as string).values()]
      .filter(({ name }) => !less.includes(name))
      .map(({ kind, name }) => `${kind} ${name}`);

  it.each(SNAPSHOTS)("of %s is what it was", async (entry, file) => {
    await expect(`${linesOf(file).sort().join("\n")}\n`).toMatchFileSnapshot(
      `./snapshots/${entry.replaceAll("/", "-")}.txt`,
    );
  });

  it.each(PAGES)("of %s is that of %s, and more, and less", (entry, of, more, less) => {
    const others = linesOf(ENTRIES.get(of), less.split(/\s+/));
    expect(linesOf(ENTRIES.get(entry)).sort()).toEqual([...others, ...more].sort());
  });

  it.each(LISTED)("of %s has the same values at run time", (entry, file) => {
    const declared = [...program.exportsOf(file).values()].filter(({ kind }) => kind !== "type");
    const actual: object = require(entry);
    expect(Object.keys(actual).sort()).toEqual(declared.map(({ name }) => name).sort());
  });

  it("has an entry point for each pattern, and all of their names in shoal/patterns", () => {
    expect([...ENTRIES.keys()]).toEqual(expect.arrayContaining(PATTERNS));
    const namesOf = (entry: string) => [...program.exportsOf(ENTRIES.get(entry) as string).keys()];
    const names = PATTERNS.flatMap(namesOf);
    const together = namesOf("shoal/patterns");
    expect(together).toEqual(expect.arrayContaining(names));
  });
});

describe.skipIf(!existsSync(theirs))("the names of the package zeromq", () => {
  // Name by name: what that package exports, shoal exports, too.
  const shoal = program.exportsOf(ENTRIES.get("shoal") as string);
  const zeromq = program.exportsOf(theirs);

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

it("the programs that readers see pass the type checker with --strict", () => {
  expect(program.problemsOf([...blocks.keys(), ...files], (path) => blocks.get(path)?.isPart === true)).toBe(
    "",
  );
});
