// @ts-check
/**
 * Builds dist/: the library (declarations, bundles, the schema of the proxy's configuration), then the benchmark
 * harness on top of it. What is up to date is left alone: each part keeps the names, sizes and times of the files that it
 * was made from, and of those that it made, in node_modules, which a fresh install empties.
 *
 *   node scripts/build.js            both
 *   node scripts/build.js library    without the harness
 *   node scripts/build.js --force    both, whatever is there
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const STAMPS = join(ROOT, "node_modules/.cache/shoal");
const force = process.argv.includes("--force");

const libraryInputs = [
  ...["src", "scripts"],
  ...["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", "rolldown.config.js"],
];
const isLibraryNew = make("library", libraryInputs, ["dist"], ["bench"], () => {
  rmSync(join(ROOT, "dist"), { recursive: true, force: true });
  run("typescript/bin/tsc", "-p", "tsconfig.build.json");
  run("rolldown/bin/cli.mjs", "-c");
  execFileSync(process.execPath, ["scripts/write-schema.js"], { cwd: ROOT, stdio: "inherit" });
});
if (!process.argv.includes("library"))
  make("bench", [...libraryInputs, "bench"], ["dist/bench"], [], () => {
    run("typescript/bin/tsc", "-p", "bench");
  });
if (!isLibraryNew) console.log("dist is up to date");

/**
 * @param {string} name
 * @param {string[]} inputs files and folders
 * @param {string[]} outputs
 * @param {string[]} except folders in the outputs that another part makes
 * @param {() => void} build
 * @returns {boolean} whether it was built
 */
function make(name, inputs, outputs, except, build) {
  const stamp = join(STAMPS, `${name}.stamp`);
  const now = () => `${fingerprint(inputs, [])} ${fingerprint(outputs, except)}`;
  if (!force && existsSync(stamp) && readFileSync(stamp, "utf8") === now()) return false;
  rmSync(stamp, { force: true });
  build();
  mkdirSync(STAMPS, { recursive: true });
  writeFileSync(stamp, now());
  return true;
}

/**
 * @param {string[]} places
 * @param {string[]} except
 */
function fingerprint(places, except) {
  const hash = createHash("sha256").update(process.version);
  for (const place of places)
    for (const name of filesOf(place, except)) {
      const { size, mtimeMs } = statSync(join(ROOT, name));
      hash.update(`${name} ${size} ${mtimeMs}\n`);
    }
  return hash.digest("hex");
}

/** @param {string} place @param {string[]} except @returns {string[]} */
function filesOf(place, except) {
  const path = join(ROOT, place);
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [place];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => !except.includes(entry.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory() ? filesOf(`${place}/${entry.name}`, []) : [`${place}/${entry.name}`],
    );
}

/** @param {string} program in node_modules @param {string[]} args */
function run(program, ...args) {
  execFileSync(process.execPath, [join(ROOT, "node_modules", program), ...args], {
    cwd: ROOT,
    stdio: "inherit",
  });
}
