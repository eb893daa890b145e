// @ts-check
/**
 * Bundles the library, the binary and the benchmark harness into a few files, because reading many files took most of the
 * start-up time. Shared code is in chunks, so each class exists once. scripts/build.js runs this.
 */
import { readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "rolldown";
import { browser } from "./scripts/rolldown/browser.js";
import { licences } from "./scripts/rolldown/licences.js";
import { packageOf, smallFiles } from "./scripts/rolldown/small-files.js";

const manifest = JSON.parse(readFileSync("package.json", "utf8"));
/** Installed by the user. `zeromq` is not a peer dependency, because another package may replace it; cli-table3 can use @colors/colors. */
const outside = [
  ...Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }),
  ...["shoal", "zeromq", "@colors/colors"],
];

/** The exports of package.json, and threads (src/core/packages.ts). */
const entries = [
  .../** @type {{ default?: string }[]} */ (Object.values(manifest.exports))
    .map((entry) => entry.default ?? "")
    .concat(manifest.bin.shoal)
    .flatMap((file) => /^\.\/dist\/(?!web\/)(.+)\.js$/.exec(file)?.[1] ?? []),
  ...filesOf("src", /-thread$/),
];

/** Programs of the harness, and modules for test/bench. */
const harness = [...filesOf("bench", /(?:^|[/-])main$/), "peers/index", "scenarios/index", "runner/run"];

/** Modules of src for bench/micro and scripts, in dist/micro. Not in the package. */
const micro = [
  ...[...filesOf("bench/micro", /./, ".js").map((name) => `bench/micro/${name}.js`), "scripts/tables.js"]
    .flatMap((file) => [...readFileSync(file, "utf8").matchAll(/\bmicro\/([\w-]+\/[\w/-]+)/g)])
    .map(([, name]) => /** @type {string} */ (name)),
  ...["proxy/config/schema", "cli/node-schema"],
];

/** @param {string} folder @param {RegExp} pattern @returns {string[]} names in it without their end */
function filesOf(folder, pattern, end = ".ts") {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(end))
    .map((file) => file.slice(0, -end.length).replaceAll("\\", "/"))
    .filter((name) => pattern.test(name));
}

/** Bundled packages bring their part of OpenTelemetry, so that metrics work without it. @param {string} id @param {string} [importer] */
function isOutside(id, importer) {
  if (id.startsWith("@opentelemetry/") && importer?.includes("/node_modules/")) return false;
  return id.startsWith("node:") || outside.some((name) => id === name || id.startsWith(`${name}/`));
}

/** Packages that only a part needs: an install of shoal brings none of them. @type {import("rolldown").CodeSplittingGroup} */
const packages = {
  debugName: "packages",
  test: /\/node_modules\//,
  name: (id) => `package-${(packageOf(id) ?? "").replaceAll("/", "-")}`,
};

/**
 * Chunks of the library. A group includes what its files import, unless an earlier group has it. `shoal` loads two chunks, links
 * only the smaller one. Without the last two, a node's start takes 8 % more processor time.
 *
 * @type {import("rolldown").CodeSplittingGroup[]}
 */
const chunks = [
  packages,
  { name: "core", test: /\/src\/(?:core\/|kit\/driver\.ts$)/ },
  { name: "sockets", test: /\/src\/index\.ts$/ },
  { name: "sockets-more", test: /\/src\/sockets\// },
  { name: "kit", test: /\/src\/kit\// },
  { name: "control", test: /\/src\/control\// },
  {
    name: "membership",
    test: /\/src\/cluster\/(?:identity\.ts$|membership\/|wire\/|net\/(?:namespace-codec|datagrams)\.ts$)/,
  },
  { name: "cluster", test: /\/src\/cluster\/index\.ts$/ },
  // Commands of nodes and the library have these, and the library must not load the program.
  { name: "store", test: /\/src\/store\/store\.ts$/ },
  { name: "dashboard", test: /\/src\/(?:metrics\/reading|dashboard\/build)\.ts$/ },
  { name: "sessions-options", test: /\/src\/sessions\/server-options\.ts$/ },
  { name: "cli", test: /\/src\/(?:cli\/(?:program|operation|format|input|security)\.ts$|config\/file\.ts$)/ },
  { name: "node", test: /\/src\/cli\/node\.ts$/ },
  { name: "node-start", test: /\/src\/cli\/node-start\.ts$/ },
];

/** In the folders of ES modules, for `require`. @type {import("rolldown").OutputOptions} */
const commonjs = { format: "cjs", entryFileNames: "[name].cjs", chunkFileNames: "[name].cjs" };

/**
 * @param {Record<string, string>} input names in the build, modules
 * @param {string} dir
 * @param {import("rolldown").Plugin[]} plugins
 * @param {import("rolldown").OutputOptions} output
 */
function build(input, dir, plugins = [], output = {}) {
  return defineConfig({
    input,
    platform: "node",
    external: isOutside,
    plugins: [...plugins, smallFiles],
    checks: { eval: false }, // hdr-histogram-js looks for zlib by it.
    output: {
      dir,
      chunkFileNames: "chunks/[name].js",
      // The package has no maps, and tools warn of a missing one.
      sourcemap: "hidden",
      // Declarations have the docstrings. V8 would read comments at each start.
      comments: { annotation: true, jsdoc: false, legal: true },
      codeSplitting: { groups: [packages] },
      ...output,
    },
  });
}

/** @param {readonly string[]} names @param {string} folder */
function modules(names, folder) {
  return Object.fromEntries(names.map((name) => [name, `${folder}/${name}.ts`]));
}

/** The parts of the build, each as the configurations that make it in a folder. */
export function library(folder = "dist") {
  const ofLibrary = licences(folder);
  return [
    build(modules(entries, "src"), folder, [ofLibrary], { codeSplitting: { groups: chunks } }),
    // Loaded synchronously on demand: loadBundled() in src/core/packages.ts.
    build({ msgpackr: "scripts/bundled/msgpackr.js" }, `${folder}/bundled`, [ofLibrary], {
      ...commonjs,
      codeSplitting: false,
    }),
    // For `require` by tools that cannot require ES modules, such as jest: the sockets, as in the package zeromq.
    build({ index: "src/index.ts", draft: "src/sockets/draft/index.ts" }, `${folder}/cjs`, [ofLibrary], {
      ...commonjs,
      codeSplitting: { groups: [packages, { name: "sockets", test: /\/src\// }] },
    }),
    build(modules(micro, "src"), `${folder}/micro`),
    // The dashboard's page, served by src/dashboard/server.ts.
    defineConfig({
      input: { main: "src/dashboard/page/main.ts" },
      platform: "browser",
      plugins: [ofLibrary],
      output: { dir: `${folder}/dashboard/page`, format: "es", minify: true, entryFileNames: "[name].js" },
    }),
    ...browser(folder),
  ];
}

export function bench(folder = "dist") {
  return [build(modules(harness, "bench"), `${folder}/bench`, [licences(`${folder}/bench`)])];
}
