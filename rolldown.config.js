// @ts-check
/**
 * The library, the binary and the benchmark harness as few files: of the time from start to first message, most was the
 * reading of hundreds. What entry points share is in chunks, so each class exists once, whichever entry point it comes
 * from. Declarations are TypeScript's own, one a module (tsconfig.build.json). scripts/build.js runs this.
 *
 * Packages that only the binary, the harness or a part of the library needs are bundled, each in chunks of its own
 * (chunks/package-NAME.js), which only those load: whoever installs shoal for its sockets installs none of them. Their
 * licences are gathered in THIRD-PARTY-LICENSES.txt.
 */
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig } from "rolldown";
import { minifySync } from "rolldown/utils";
import { licences } from "./scripts/licences.js";

const manifest = JSON.parse(readFileSync("package.json", "utf8"));
/**
 * What the user has installed. zeromq is no peer, since another package may stand for it; @colors/colors is an option of
 * cli-table3, which nothing here asks for.
 */
const outside = [
  ...Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }),
  ...["shoal", "zeromq", "@colors/colors"],
];

/** What package.json names; threads, which src/core/built-file.ts finds; and what the benchmark of a cluster's rules loads. */
const entries = [
  .../** @type {{ default?: string }[]} */ (Object.values(manifest.exports))
    .map((entry) => entry.default ?? "")
    .concat(manifest.bin.shoal)
    .flatMap((file) => /^\.\/dist\/(?!web\/)(.+)\.js$/.exec(file)?.[1] ?? []),
  ...filesOf("src", /-thread$/),
  "cluster/simulation/index",
];

/** The harness: its programs, of which the binary loads `main`, and what test/bench asks of it. */
const harness = [...filesOf("bench", /(?:^|[/-])main$/), "peers/index", "scenarios/index", "runner/run"];

/** Modules of src that are also built by themselves, in dist/micro: for bench/micro and scripts. They are not in the package. */
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

/**
 * What bundled packages need of OpenTelemetry comes with them: an install without it has to have metrics.
 *
 * @param {string} id
 * @param {string | undefined} [importer]
 */
function isOutside(id, importer) {
  if (id.startsWith("@opentelemetry/") && importer?.includes("/node_modules/")) return false;
  return id.startsWith("node:") || outside.some((name) => id === name || id.startsWith(`${name}/`));
}

/** @param {string} id of a module */
function packageOf(id) {
  return /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
}

/** @type {import("rolldown").CodeSplittingGroup} */
const packages = {
  debugName: "packages",
  priority: 11,
  test: /\/node_modules\//,
  name: (id) => `package-${(packageOf(id) ?? "").replaceAll("/", "-")}`,
};

/**
 * Chunks of the library, the lower floors first: a group has what its files import, too, unless a group before it has it. What
 * `shoal` itself loads is in two, since a file that is loaded costs more than the code in it. Links load the smaller one alone,
 * a cluster's thread no cluster, and without the last two the start of a node takes 8 % more of the processor.
 *
 * @type {import("rolldown").CodeSplittingGroup[]}
 */
const chunks = [
  { name: "core", test: /\/src\/(?:core\/|patterns\/kit\/driver\.ts$)/ },
  { name: "sockets", test: /\/src\/index\.ts$/ },
  { name: "sockets-more", test: /\/src\/sockets\// },
  { name: "kit", test: /\/src\/patterns\/kit\/[^/]+$/ },
  { name: "control", test: /\/src\/control\// },
  {
    name: "membership",
    test: /\/src\/cluster\/(?:identity\.ts$|membership\/|wire\/|net\/(?:beat-messages|bus-codec|datagrams)\.ts$)/,
  },
  { name: "cluster", test: /\/src\/cluster\/index\.ts$/ },
  {
    name: "cli",
    test: /\/src\/(?:cli\/(?:program|operation|format|input|reloads)\.ts$|config\/(?:file|watch)\.ts$)/,
  },
  { name: "node", test: /\/src\/cli\/node\.ts$/ },
  { name: "node-start", test: /\/src\/cli\/node-start\.ts$/ },
].map((group, index) => ({ ...group, priority: 10 - index }));

/**
 * Files of other packages, of the harness, and the second copy of the sockets, which nobody reads: without white space, and with
 * short names of what is local. Names of functions and classes stay, since a package may look at them, and so does whose files they
 * are (scripts/check-package.js).
 *
 * @type {import("rolldown").Plugin}
 */
const smallFiles = {
  name: "small-files",
  generateBundle({ dir }, bundle) {
    const isHarness = dir?.endsWith("/bench") === true;
    for (const chunk of Object.values(bundle)) {
      const isModule = !chunk.fileName.endsWith(".cjs");
      if (chunk.type !== "chunk" || (isModule && !isHarness && !chunk.name.startsWith("package-"))) continue;
      const small = minifySync(chunk.fileName, chunk.code, {
        module: isModule,
        compress: false,
        mangle: { toplevel: false, keepNames: true },
        codegen: { removeWhitespace: true },
      });
      if (small.errors.length > 0)
        throw new Error(`${chunk.fileName} cannot be read`, { cause: small.errors });
      const from = new Set(chunk.moduleIds.flatMap((id) => packageOf(id) ?? []));
      chunk.code = Array.from(from, (each) => `//#region node_modules/${each}/\n`).join("") + small.code;
      chunk.map = null;
    }
  },
};

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
    // hdr-histogram-js looks for zlib by it.
    checks: { eval: false },
    output: {
      dir,
      chunkFileNames: "chunks/[name].js",
      // The package has no maps: a name of one would be a warning of whatever reads the files.
      sourcemap: "hidden",
      // Docstrings are in the declarations. Most of a file was comments, which V8 reads at each start; and a single character
      // beyond Latin-1 in one doubles the file in memory.
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

/** The codes of all errors without what they mean, which the documentation has: a page does without a text for each. @param {string} code */
function codesAlone(code) {
  const names = Array.from(code.matchAll(/^ {2}(\w+):/gm), ([, name]) => name).join(" ");
  return `export const ERROR_CODES = Object.fromEntries("${names}".split(" ").map((code) => [code, "See docs/errors.md"]));`;
}

/** The globals of Node.js that the library uses, and which file has each. */
const GLOBALS_IN_BROWSERS = Object.fromEntries(
  Object.entries({
    buffer: ["Buffer"],
    process: ["process"],
    timers: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "setImmediate"],
  }).flatMap(([file, names]) =>
    names.map((name) => [
      name,
      /** @type {[string, string]} */ ([resolve(`src/browser/node/${file}.ts`), name]),
    ]),
  ),
);

/** @type {import("rolldown").Plugin} */
const withoutTexts = {
  name: "without-texts",
  transform(code, id) {
    return id === resolve("src/core/error-codes.ts") ? { code: codesAlone(code), map: null } : undefined;
  },
};

/**
 * Entry points: what all pages load, and additions, which take from it what they need.
 *
 * @param {string} folder of the build
 * @param {import("rolldown").OutputOptions} output
 */
function browserBuild(folder, output) {
  return defineConfig({
    input: {
      index: "src/browser/index.ts",
      curve: "src/browser/curve/index.ts",
      draft: "src/browser/draft/index.ts",
      inproc: "src/browser/inproc/index.ts",
    },
    platform: "browser",
    // Where nothing uses it, it is not in the result; where something does, test/browser/bundle finds it.
    external: /^node:(?!buffer$|net$|os$)/,
    resolve: {
      // `./x.js` is x.browser.ts, where a page needs another than x.ts; `./x.ts` is that file itself.
      extensionAlias: { ".js": [".browser.ts", ".ts", ".js"] },
      alias: {
        "node:buffer": resolve("src/browser/node/constants.ts"),
        "node:net": resolve("src/browser/node/net.ts"),
        "node:os": resolve("src/browser/node/os.ts"),
      },
    },
    preserveEntrySignatures: "allow-extension",
    plugins: [withoutTexts, licences(`${folder}/web`)],
    transform: { inject: GLOBALS_IN_BROWSERS },
    // No module reads a property for what that does, or a global that may be missing.
    treeshake: {
      moduleSideEffects: [{ external: true, sideEffects: false }],
      propertyReadSideEffects: false,
      unknownGlobalSideEffects: false,
    },
    optimization: { inlineConst: { mode: "all", pass: 3 } },
    output: { format: "es", sourcemap: "hidden", ...output },
  });
}

/** The parts of the build, each as the configurations that make it in a folder. */
export function library(folder = "dist") {
  const ofLibrary = licences(folder);
  return [
    build(modules(entries, "src"), folder, [ofLibrary], { codeSplitting: { groups: [...chunks, packages] } }),
    // What has to be loaded at once and not at import: loadBundled() in src/core/built-file.ts.
    build({ msgpackr: "scripts/bundled/msgpackr.js" }, `${folder}/bundled`, [ofLibrary], {
      format: "cjs",
      entryFileNames: "[name].cjs",
      codeSplitting: false,
    }),
    // For `require` where ES modules cannot be required: the sockets, which is what the package zeromq has.
    build({ index: "src/index.ts", draft: "src/sockets/draft/index.ts" }, `${folder}/cjs`, [ofLibrary], {
      format: "cjs",
      entryFileNames: "[name].cjs",
      chunkFileNames: "[name].cjs",
      codeSplitting: { groups: [{ name: "sockets", test: /\/src\// }, packages] },
    }),
    build(modules(micro, "src"), `${folder}/micro`),
    // The dashboard's page: one file, which src/dashboard/server.ts serves.
    defineConfig({
      input: { main: "src/dashboard/page/main.ts" },
      platform: "browser",
      output: { dir: `${folder}/dashboard/page`, format: "es", minify: true, entryFileNames: "[name].js" },
    }),
    // A file for each module, of which a program's own bundler keeps what the program uses; and one for pages without a bundler.
    browserBuild(folder, {
      dir: `${folder}/web`,
      comments: { annotation: true, jsdoc: false, legal: true },
      preserveModules: true,
      preserveModulesRoot: "src",
      // npm leaves folders out that have that name.
      entryFileNames: ({ name }) => `${name.replace("node_modules/", "packages/")}.js`,
    }),
    browserBuild(folder, {
      dir: `${folder}/web/min`,
      minify: true,
      comments: { annotation: false },
      entryFileNames: "[name].js",
      chunkFileNames: "chunks/[name].js",
    }),
  ];
}
export function bench(folder = "dist") {
  return [build(modules(harness, "bench"), `${folder}/bench`, [licences(`${folder}/bench`)])];
}

export default [...library(), ...bench()];
