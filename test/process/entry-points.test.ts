/** Entry points of the built package: what each loads, and that a class exists once, whichever it comes from. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ENTRIES, EXPORTS, filesOf, ROOT, run } from "./child.js";

/** Without a package, though not of one pattern. */
const PLAIN =
  "shoal shoal/draft shoal/patterns shoal/link shoal/sessions shoal/proxy shoal/metrics shoal/opentelemetry shoal/testing".split(
    " ",
  );
const PATTERNS = ENTRIES.filter((entry) => ![...PLAIN, "shoal/cluster", "shoal/dashboard"].includes(entry));

/** Patterns that are built upon another. */
const BASES: Readonly<Record<string, readonly string[]>> = {
  titanic: ["majordomo"],
  clone: ["binary-star"],
  federation: ["load-balancer", "pirate"],
  "load-balancer": ["pirate"],
};

/** Of the build. */
const fileOf = (entry: string): string =>
  join(ROOT, EXPORTS[entry.replace(/^shoal/, ".")]?.default as string);

/** The folders and packages that the modules in some built files come from: the bundler names each module. */
function originsOf(files: ReadonlySet<string>): ReadonlySet<string> {
  const text = [...files].map((file) => readFileSync(file, "utf8")).join("\n");
  const names = text.matchAll(
    /^\s*\/\/(?:#region)? (src\/(?:patterns\/[^/]+|[^/]+)|node_modules\/(?:@[^/]+\/)?[^/]+)\//gm,
  );
  return new Set(Array.from(names, ([, name]) => name as string));
}

it.each(PATTERNS)("%s loads its own pattern, and no package", (entry) => {
  const name = entry.slice("shoal/".length);
  const origins = originsOf(filesOf(fileOf(entry)));
  const own = ["src/core", "src/engine", "src/sockets", "src/proxy", "src/metrics", "src/kit", "src/store"];
  const patterns = [name, ...(BASES[name] ?? [])].map((one) => `src/patterns/${one}`);
  expect([...origins].filter((origin) => ![...own, ...patterns].includes(origin))).toEqual([]);
  expect(origins).toContain(`src/patterns/${name}`);
});

it.each(PLAIN)("%s loads no package", (entry) => {
  const origins = [...originsOf(filesOf(fileOf(entry)))];
  expect(origins).toContain("src/core");
  expect(origins.filter((origin) => origin.startsWith("node_modules"))).toEqual([]);
});

it("gives each class once, whichever entry point it comes from", async () => {
  const { code, stdout, stderr } = await run(`
    const known = new Map();
    for (const entry of ${JSON.stringify(ENTRIES)})
      for (const [name, value] of Object.entries(await import(entry))) {
        if (!known.has(name)) known.set(name, value);
        else if (known.get(name) !== value) console.log(entry + " has another " + name);
      }
    const patterns = await import("shoal/patterns");
    for (const entry of ${JSON.stringify(PATTERNS)}) {
      const own = await import(entry);
      for (const name of Object.keys(own))
        if (!(name in patterns)) console.log("shoal/patterns lacks " + name + " of " + entry);
      for (const name of ["EventStream", "ServiceError"])
        if (!(name in own)) console.log(entry + " lacks " + name);
    }
  `);
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
});
