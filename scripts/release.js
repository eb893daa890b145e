// @ts-check
/**
 * Prepares a release, or checks one:
 *
 *   node scripts/release.js 0.2.0            writes the version everywhere it stands, dates the changelog, commits and tags
 *   node scripts/release.js --check v0.2.0   whether what is checked out is that release, and can be published
 *
 * Nothing is published here: the tag's push starts the workflow that does (.github/workflows/release.yml).
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const VERSION = /^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?$/;
/** Files and folders that name the version, apart from package.json and package-lock.json. */
const NAMES_VERSION = ["deploy", "docs/installing.md", "packages", "README.md"];
/** The other packages, each of which needs this very version of the one before. */
const OTHERS = ["packages/shoal-zeromq/package.json", "packages/shoal-zeromq-v5/package.json"];

/**
 * The changelog with what was unreleased under a version of its own.
 *
 * @param {string} text @param {string} version @param {string} date YYYY-MM-DD
 */
export function datedChangelog(text, version, date) {
  const heading = "## Unreleased\n";
  const at = text.indexOf(heading);
  if (at === -1) throw new Error(`CHANGELOG.md has no heading "## Unreleased"`);
  const rest = text.slice(at + heading.length);
  const [own = ""] = rest.split(/^## /m, 1);
  if (!/^- /m.test(own)) throw new Error(`CHANGELOG.md has nothing under "## Unreleased"`);
  if (text.includes(`\n## ${version} `)) throw new Error(`CHANGELOG.md has ${version} already`);
  return `${text.slice(0, at)}${heading}\n## ${version} – ${date}\n${rest}`;
}

/** Whether a version comes after another; one with a pre-release part comes before the same without. @param {string} version @param {string} other */
export function isNewer(version, other) {
  const [a, b] = [parts(version), parts(other)];
  for (let at = 0; at < 3; at++) {
    const difference = Number(a[at]) - Number(b[at]);
    if (difference !== 0) return difference > 0;
  }
  return a[3] === undefined ? b[3] !== undefined : b[3] !== undefined && a[3] > b[3];
}

/** @param {string} version */
function parts(version) {
  const match = VERSION.exec(version);
  if (match === null) throw new Error(`a version is MAJOR.MINOR.PATCH; got ${JSON.stringify(version)}`);
  return match.slice(1);
}

/**
 * What keeps a checkout from being published.
 *
 * @param {{ version: string, repository?: unknown }} manifest
 * @param {string} changelog
 * @param {string} version
 * @returns {string[]}
 */
export function problemsOf(manifest, changelog, version) {
  const problems = [];
  if (manifest.version !== version) problems.push(`package.json has the version ${manifest.version}`);
  if (!changelog.includes(`\n## ${version} `)) problems.push(`CHANGELOG.md has no heading of ${version}`);
  if (manifest.repository === undefined)
    problems.push("package.json names no repository, which the statement of provenance is checked against");
  return problems;
}

/** @param {string} version */
function prepare(version) {
  const manifest = readFileSync("package.json", "utf8");
  const { version: current } = JSON.parse(manifest);
  if (!isNewer(version, current)) throw new Error(`${version} is not after ${current}`);
  if (git("status", "--porcelain", "--untracked-files=no") !== "")
    throw new Error("the checkout has changes");
  const date = new Date().toISOString().slice(0, 10);
  writeFileSync("CHANGELOG.md", datedChangelog(readFileSync("CHANGELOG.md", "utf8"), version, date));
  for (const file of NAMES_VERSION.flatMap(filesOf)) {
    const text = readFileSync(file, "utf8");
    const replaced = text
      .replaceAll(`shoal:${current}`, `shoal:${version}`)
      .replaceAll(`shoal-${current}.tgz`, `shoal-${version}.tgz`)
      .replaceAll(`shoal-zeromq@${current}`, `shoal-zeromq@${version}`)
      .replaceAll(`shoal-zeromq-v5@${current}`, `shoal-zeromq-v5@${version}`);
    if (replaced !== text) writeFileSync(file, replaced);
  }
  for (const file of OTHERS) {
    const other = JSON.parse(readFileSync(file, "utf8"));
    const dependencies = Object.fromEntries(Object.keys(other.dependencies).map((name) => [name, version]));
    writeFileSync(file, `${JSON.stringify({ ...other, version, dependencies }, null, 2)}\n`);
  }
  execFileSync("npm", ["version", version, "--no-git-tag-version"], { stdio: "ignore" });
  git("commit", "--all", "--message", `release: ${version}`);
  git("tag", "--annotate", `v${version}`, "--message", `shoal ${version}`);
  console.log(`${version} is committed and tagged; git push --follow-tags publishes it`);
}

/** @param {string} path @returns {string[]} */
function filesOf(path) {
  if (!existsSync(path)) return [];
  return statSync(path).isDirectory()
    ? readdirSync(path).flatMap((name) => filesOf(join(path, name)))
    : [path];
}

/** @param {string[]} args */
function git(...args) {
  return execFileSync("git", args, { encoding: "utf8" }).trim();
}

/** @param {string[]} args */
function main(args) {
  const [first = "", second = ""] = args;
  if (first !== "--check") return prepare(first);
  const version = second.replace(/^v/, "");
  parts(version);
  const manifest = JSON.parse(readFileSync("package.json", "utf8"));
  const problems = problemsOf(manifest, readFileSync("CHANGELOG.md", "utf8"), version);
  if (problems.length > 0) throw new Error(problems.join("; "));
  console.log(`${version} can be published`);
}

if (process.argv[1] === import.meta.filename) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    console.error(`release: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
