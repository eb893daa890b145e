// @ts-check
/** A plugin of the build: the licences of all packages that are bundled, in one file next to the bundles. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const FILE = "THIRD-PARTY-LICENSES.txt";
/** What a package calls the file of its licence, and what the Apache licence wants passed on with it. */
const TEXTS = /^(licen[cs]e|copying|notice)/i;
/** Packages that bring no such file, and a file with the text that their package.json names. */
const ELSEWHERE = new Map([["@assemblyscript/loader", "node_modules/typescript/LICENSE.txt"]]);
const HEAD =
  "shoal itself is under the licence in LICENSE. These packages are part of the bundled files, under licences of their own.";

/**
 * @param {string} folder where the file goes, unless no package is bundled
 * @returns {import("rolldown").Plugin} for all builds into that folder, or into folders of it
 */
export function licences(folder) {
  /** @type {Map<string, string>} of packages, by name and version */
  const texts = new Map();
  return {
    name: "licences",
    generateBundle(_, bundle) {
      for (const output of Object.values(bundle)) {
        if (output.type !== "chunk") continue;
        for (const id of output.moduleIds) if (id.includes("/node_modules/")) add(texts, id);
      }
    },
    writeBundle() {
      if (texts.size === 0) return;
      const sections = [...texts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
      writeFileSync(join(folder, FILE), `${[HEAD, ...sections].join(`\n\n${"-".repeat(78)}\n\n`)}\n`);
    },
  };
}

/** @param {Map<string, string>} texts @param {string} id of a module */
function add(texts, id) {
  // Some modules have ids with a mark in front or behind.
  let path = dirname(id.replace(/^\0/, "").replace(/\?.*$/, ""));
  let found = manifest(path);
  while (found?.name === undefined || found.version === undefined) {
    const above = dirname(path);
    if (above === path) throw new Error(`${id} belongs to no package`);
    path = above;
    found = manifest(path);
  }
  const title = `${found.name} ${found.version}`;
  if (texts.has(title)) return;
  const files = readdirSync(path, { withFileTypes: true })
    .filter(({ name }) => TEXTS.test(name))
    .flatMap((entry) => {
      const inside = () => readdirSync(join(path, entry.name)).map((name) => join(entry.name, name));
      return entry.isDirectory() ? inside() : [entry.name];
    });
  const written = files.map((name) => readFileSync(join(path, name), "utf8").trim());
  if (written.length === 0) written.push(unwritten(title, found));
  texts.set(title, [`${title} (${found.license})`, ...written].join("\n\n"));
}

/** @param {string} folder @returns {Record<string, any> | undefined} */
function manifest(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  } catch {
    return undefined;
  }
}

/** @param {string} title @param {Record<string, any>} found @returns {string} */
function unwritten(title, found) {
  const file = ELSEWHERE.get(found.name);
  if (file === undefined || found.license !== manifest(dirname(file))?.license)
    throw new Error(`${title} (${found.license}) has no file with its licence`);
  return `By ${found.author?.name ?? found.author ?? found.name}.\n\n${readFileSync(file, "utf8").trim()}`;
}
