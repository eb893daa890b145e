// @ts-check
/**
 * Builds dist/: the code (bundles, the schemas of configurations, the manual), its declarations, and the benchmark harness; and
 * writes the tables of the documentation, whose rows are in the source (scripts/tables.js).
 * What is up to date is left alone: each part keeps the names, sizes and times of the files that it was made from, and of
 * those that it made, in node_modules, which a fresh install empties. A part is made in a folder of its own, .dist-PID, and its
 * files then take the place of the old ones: what runs from dist meanwhile, such as tests, finds each file, and a build that
 * fails leaves what was built.
 *
 *   node scripts/build.js            all
 *   node scripts/build.js library    without the harness
 *   node scripts/build.js code       without the declarations, too: enough to run a program
 *   node scripts/build.js --force    all, whatever is there
 *   node scripts/build.js --quiet    all, without a word when all is up to date
 *
 * The bundler is native code, for which npm has a package for each platform: an optional one, which may be missing. The
 * TypeScript compiler makes a file for each module then, which runs as well, but starts later and loads the packages
 * that are otherwise bundled from node_modules. Such a build is not for publishing, so --force refuses it.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const STAMPS = join(ROOT, "node_modules/.cache/shoal");
const LEVELS = ["code", "library", "all"];
const force = process.argv.includes("--force");
const level = LEVELS.indexOf(process.argv.slice(2).find((word) => LEVELS.includes(word)) ?? "all");
const DECLARATION = /\.d\.ts$/;
/** What a stamp begins with when the part was built without the bundler. */
const MODULES = "modules ";

let isBundled = true;

const started = performance.now();
process.chdir(ROOT);
const inputs = [
  ...["src", "scripts", "rolldown.config.js", "package.json", "package-lock.json"],
  ...["tsconfig.json", "tsconfig.build.json", "tsconfig.modules.json"],
];
// Before anything is removed.
if (force) await bundler();
let isNew = await make("code", inputs, (name) => isLibrary(name) && !DECLARATION.test(name), buildCode);
if (isBundled)
  isNew =
    (await make(
      "tables",
      [...inputs, "docs"],
      () => false,
      async () => tables(),
    )) || isNew;
if (level >= LEVELS.indexOf("library"))
  isNew =
    (await make(
      "declarations",
      inputs,
      (name) => isLibrary(name) && DECLARATION.test(name),
      async (place) => {
        run("typescript/bin/tsc", "-p", "tsconfig.build.json", "--outDir", place);
        const { copyForRequire, removeUnreached } = await import("./declarations.js");
        const { exports } = JSON.parse(readFileSync("package.json", "utf8"));
        removeUnreached(place, exports);
        copyForRequire(place, exports);
      },
    )) || isNew;
if (level >= LEVELS.indexOf("all"))
  isNew = (await make("bench", [...inputs, "bench"], (name) => !isLibrary(name), buildHarness)) || isNew;
if (isNew || !process.argv.includes("--quiet")) {
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(isNew ? `dist: built in ${seconds} s` : "dist is up to date");
}

/** @param {string} place the folder that stands for dist */
async function buildCode(place) {
  const bundles = await bundler();
  if (bundles === undefined) {
    console.log("The bundler is not installed for this platform: TypeScript builds a file for each module.");
    run("typescript/bin/tsc", "-p", "tsconfig.modules.json", "--outDir", place);
  } else await bundles.write(bundles.library(place));
  const { writeSchemas } = await import("./write-schema.js");
  await writeSchemas(place, bundles === undefined ? place : join(place, "micro"));
  mkdirSync(join(place, "cjs/types"), { recursive: true });
  writeFileSync(join(place, "cjs/types/package.json"), '{ "type": "commonjs" }\n');
  mkdirSync(join(place, "man"), { recursive: true });
  const manual = execFileSync(process.execPath, [join(place, "cli/main.js"), "man"]);
  writeFileSync(join(place, "man/shoal.1.gz"), gzipSync(manual));
}

/** The tables in the pages of docs/, made of what was built. */
function tables() {
  execFileSync(process.execPath, ["scripts/tables.js"], { stdio: "inherit" });
}

/** @param {string} place the folder that stands for dist */
async function buildHarness(place) {
  const bundles = await bundler();
  if (bundles === undefined)
    run("typescript/bin/tsc", "-p", "bench", "--noCheck", "--outDir", join(place, "bench"));
  else await bundles.write(bundles.bench(place));
}

/** The bundler and what it is to do; `undefined`: it does not run here. */
async function bundler() {
  /** @type {typeof import("rolldown").rolldown} */
  let rolldown;
  try {
    ({ rolldown } = await import("rolldown"));
  } catch (error) {
    if (force) {
      console.error(
        "A build for publishing needs the bundler, rolldown, with its native code for this platform: an optional package, " +
          `which npm leaves out with --omit=optional. Install it with: npm ci --include=optional\n(${error})`,
      );
      process.exit(1);
    }
    isBundled = false;
    return undefined;
  }
  return {
    ...(await import("../rolldown.config.js")),
    /** @param {readonly import("rolldown").RolldownOptions[]} builds */
    async write(builds) {
      for (const options of builds) {
        // On a slow or busy machine a plugin's share of the time is a warning.
        const checks = { ...options.checks, bundlerTimings: false };
        const build = await rolldown({ ...options, checks, onLog: refuse });
        await build.write(/** @type {import("rolldown").OutputOptions} */ (options.output));
        await build.close();
      }
    },
  };
}

/**
 * A warning, such as of an import that is not found, is an error.
 *
 * @param {string} severity
 * @param {import("rolldown").RolldownLog} log
 */
function refuse(severity, log) {
  if (severity === "warn") throw new Error(log.message);
}

/**
 * @param {string} part
 * @param {string[]} from files and folders
 * @param {(name: string) => boolean} isOutput of files in dist
 * @param {(place: string) => Promise<void>} build
 * @returns {Promise<boolean>} whether it was built
 */
async function make(part, from, isOutput, build) {
  const stamp = join(STAMPS, `${part}.stamp`);
  const how = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  const now = () => `${fingerprint(from, () => true)} ${fingerprint(["dist"], isOutput)}`;
  if (!force && how === now()) return false;
  // Built without the bundler, and there is still none.
  if (!force && how === `${MODULES}${now()}` && (await bundler()) === undefined) return false;
  rmSync(stamp, { force: true });
  const place = `.dist-${process.pid}`;
  try {
    await build(place);
    replace(place, isOutput);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
  mkdirSync(STAMPS, { recursive: true });
  writeFileSync(stamp, (isBundled ? "" : MODULES) + now());
  return true;
}

/**
 * Puts what was built in the place of what was there.
 *
 * @param {string} place
 * @param {(name: string) => boolean} isOutput
 */
function replace(place, isOutput) {
  const made = new Map(filesOf(place).map((name) => [`dist${name.slice(place.length)}`, name]));
  for (const [name, from] of made) {
    mkdirSync(dirname(name), { recursive: true });
    renameSync(from, name);
  }
  for (const name of filesOf("dist").filter(isOutput)) if (!made.has(name)) rmSync(name);
}

/** @param {string} name */
function isLibrary(name) {
  return !name.startsWith("dist/bench/");
}

/**
 * @param {string[]} places
 * @param {(name: string) => boolean} counts
 */
function fingerprint(places, counts) {
  const hash = createHash("sha256").update(process.version);
  for (const place of places)
    for (const name of filesOf(place).filter(counts)) {
      const { size, mtimeMs } = statSync(name);
      hash.update(`${name} ${size} ${mtimeMs}\n`);
    }
  return hash.digest("hex");
}

/** @param {string} place @returns {string[]} */
function filesOf(place) {
  if (!existsSync(place)) return [];
  if (!statSync(place).isDirectory()) return [place];
  return readdirSync(place, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory() ? filesOf(`${place}/${entry.name}`) : [`${place}/${entry.name}`],
    );
}

/** @param {string} program in node_modules @param {string[]} args */
function run(program, ...args) {
  execFileSync(process.execPath, [join("node_modules", program), ...args], { stdio: "inherit" });
}
