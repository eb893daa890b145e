/**
 * Runs the tests of what changed: `npm run test:changed`, `npm run test:changed -- --base REV` for what changed since REV (default: main's
 * last common commit, where there is a main, else HEAD); other arguments go to vitest.
 *
 * Changed are committed, uncommitted and new files. Their tests are those that import them, over any number of files, and those in the folder
 * of `test` that mirrors theirs: tests that start processes import nothing of what these run. A change of the engine or the core runs the
 * long forms of contract and interop as well: every transport, engine and peer.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

const git = (...args) => execFileSync("git", args, { encoding: "utf8" }).trim();
const lines = (text) => text.split("\n").filter((line) => line !== "");

function baseOf(given) {
  if (given !== undefined) return git("merge-base", given, "HEAD");
  const { status, stdout } = spawnSync("git", ["merge-base", "main", "HEAD"], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : "HEAD";
}

/** The tests in the folder that mirrors that of a source file, or in the nearest one above it that is there. */
function mirrored(file) {
  let folder = dirname(file).replace(/^src/, "test");
  while (folder !== "test" && !existsSync(folder)) folder = dirname(folder);
  if (folder === "test") return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join(folder, name));
}

const args = process.argv.slice(2);
const at = args.indexOf("--base");
const [, given] = at < 0 ? [] : args.splice(at, 2);
const changed = [
  ...lines(git("diff", "--name-only", "--diff-filter=d", baseOf(given))),
  ...lines(git("ls-files", "--others", "--exclude-standard")),
].filter((file) => /\.[cm]?[jt]sx?$/.test(file));
const files = new Set([...changed, ...changed.filter((file) => file.startsWith("src/")).flatMap(mirrored)]);
if (files.size === 0) {
  console.log("No source file and no test changed.");
} else {
  console.log(`${changed.length} changed files:\n  ${changed.join("\n  ")}`);
  const vitest = (...words) =>
    spawnSync("npx", ["vitest", ...words, ...args], { stdio: "inherit" }).status ?? 1;
  process.exitCode = vitest("related", "--run", "--passWithNoTests", ...files);
  if (changed.some((file) => /^src\/(core|engine)\//.test(file)))
    process.exitCode ||= vitest("run", "--mode", "long", "test/contract", "test/interop");
}
