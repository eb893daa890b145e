// @ts-check
/** The build for pages: a page loads what it imports, and files `x.browser.ts` replace `x.ts` in it. */
import { resolve } from "node:path";
import { defineConfig } from "rolldown";
import { licences } from "./licences.js";

/**
 * The codes of all errors without what they mean, which the documentation has: a page does without a text for each. A "+" marks
 * the retryable ones.
 *
 * @param {string} code
 */
function codesAlone(code) {
  const rows = code.matchAll(/^ {2}(\w+): \{\s*retryable: (true)?/gm);
  const names = Array.from(rows, ([, name, retryable]) => (retryable ? `${name}+` : name)).join(" ");
  return `export const ERROR_CODES = Object.fromEntries("${names}".split(" ").map((code) => [
    code.replace("+", ""),
    { retryable: code.endsWith("+"), meaning: "See docs/errors.md" },
  ]));`;
}

/** The globals of Node.js that the library uses, and which file has each. */
const GLOBALS_IN_BROWSERS = Object.fromEntries(
  Object.entries({
    buffer: ["Buffer"],
    globals: ["process", "setTimeout", "clearTimeout", "setImmediate"],
  }).flatMap(([file, names]) =>
    names.map((name) => [
      name,
      /** @type {[string, string]} */ ([resolve(`src/browser/node/${file}.ts`), name]),
    ]),
  ),
);

/** Modules of Node.js, and the file that has what the library uses of them. */
const MODULES = Object.fromEntries(
  ["buffer", "diagnostics_channel", "os", "util", "worker_threads"].map((name) => [
    `node:${name}`,
    resolve("src/browser/node/modules.ts"),
  ]),
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
    external: (id) => id.startsWith("node:") && !(id in MODULES),
    resolve: {
      // `./x.js` is x.browser.ts, where a page needs another than x.ts; `./x.ts` is that file itself.
      extensionAlias: { ".js": [".browser.ts", ".ts", ".js"] },
      alias: MODULES,
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

/** @param {string} folder of the build */
export function browser(folder) {
  return [
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
