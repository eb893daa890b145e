// @ts-check
/**
 * The library and the binary as few files: of the time from start to first message, most was the reading of hundreds.
 * What entry points share is in chunks, so each class exists once, whichever entry point it comes from. Declarations
 * are TypeScript's own, one a module (tsconfig.build.json).
 */
import { readFileSync } from "node:fs";
import { defineConfig } from "rolldown";

/** @type {Record<string, Record<string, string> | undefined>} */
const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync("package.json", "utf8"));
const packages = Object.keys({ ...dependencies, ...optionalDependencies });

/** @param {string} id */
function isOutside(id) {
  return id.startsWith("node:") || packages.some((name) => id === name || id.startsWith(`${name}/`));
}

/**
 * @param {Record<string, string>} input names in the build, modules
 * @param {string} dir
 */
function build(input, dir) {
  return defineConfig({
    input,
    platform: "node",
    external: isOutside,
    output: { dir, chunkFileNames: "chunks/[name].js", sourcemap: true },
  });
}

const entries = [
  "index",
  "patterns/index",
  "proxy/index",
  "cli/main",
  // Threads: found by src/core/built-file.ts.
  "patterns/majordomo/worker-thread-entry",
  "patterns/black-box/receiver-thread",
  "patterns/black-box/worker-thread",
];

export default [
  build(Object.fromEntries(entries.map((name) => [name, `src/${name}.ts`])), "dist"),
  // Parts that bench/micro measures by themselves, and what scripts/write-schema.js writes; not in the package.
  build(
    {
      "ring-buffer": "src/core/collections/ring-buffer.ts",
      "subscription-index": "src/engine/zmtp/routing/subscription-index.ts",
      "curve-box": "src/engine/zmtp/mechanism/curve-box.ts",
      "curve-cipher": "src/engine/zmtp/mechanism/curve-cipher.ts",
      "curve-exchange": "src/engine/zmtp/mechanism/curve-exchange.ts",
      "configuration-schema": "src/proxy/config/schema.ts",
    },
    "dist/micro",
  ),
];
