// @ts-check
/**
 * Declarations that no entry point of the package leads to: the compiler writes one for each module that it reads, and a third
 * of them are of modules that no public type mentions.
 */
import { cpSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

/** What a declaration names of other files: `from "./x.js"`, `import("./x.js")`, `import "./x.js"`. */
const NAMED = /(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]+)\.js"/g;

/** @typedef {Record<string, string | { types?: string, require?: { types: string } }>} Exports of package.json */

/**
 * @param {string} place the folder that stands for dist
 * @param {Exports} exports
 * @returns {Set<string>} names of files below the folder
 */
export function reachedDeclarations(place, exports) {
  /** @type {Set<string>} */
  const reached = new Set();
  /** @param {string} name */
  const visit = (name) => {
    if (reached.has(name)) return;
    reached.add(name);
    for (const [, path] of readFileSync(join(place, name), "utf8").matchAll(NAMED))
      visit(join(dirname(name), `${path}.d.ts`));
  };
  for (const entry of Object.values(exports))
    if (typeof entry === "object" && entry.types !== undefined) visit(entry.types.replace(/^\.\/dist\//, ""));
  return reached;
}

/**
 * Removes all others, and folders that are empty then.
 *
 * @param {string} place the folder that stands for dist
 * @param {Exports} exports
 */
export function removeUnreached(place, exports) {
  const reached = reachedDeclarations(place, exports);
  /** @param {string} folder */
  const clean = (folder) => {
    for (const entry of readdirSync(join(place, folder), { withFileTypes: true })) {
      const name = join(folder, entry.name);
      if (entry.isDirectory()) clean(name);
      else if (name.endsWith(".d.ts") && !reached.has(name)) rmSync(join(place, name));
    }
    if (folder !== "" && readdirSync(join(place, folder)).length === 0) rmdirSync(join(place, folder));
  };
  clean("");
}

/**
 * Copies what the entry points for `require` lead to: a declaration is of the kind of module that its folder's package.json
 * says, and TypeScript refuses to `require` what belongs to an ES module.
 *
 * @param {string} place the folder that stands for dist
 * @param {Exports} exports
 */
export function copyForRequire(place, exports) {
  const required = Object.entries(exports).filter(
    ([, entry]) => typeof entry === "object" && entry.require !== undefined,
  );
  for (const name of reachedDeclarations(place, Object.fromEntries(required)))
    cpSync(join(place, name), join(place, "cjs/types", name));
}
