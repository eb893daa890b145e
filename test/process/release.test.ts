/** The release script, in a checkout of a few files. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { removeAfterEach } from "../support/folders.js";

const SCRIPT = join(import.meta.dirname, "../../scripts/release.js");
/** Scripts have no declarations. */
const {
  datedChangelog,
  isNewer,
  problemsOf,
}: {
  datedChangelog(text: string, version: string, date: string): string;
  isNewer(version: string, other: string): boolean;
  problemsOf(manifest: object, changelog: string, version: string): string[];
} = await import(SCRIPT);
const CHANGELOG =
  "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.1.0 – 2026-01-01\n- The first.\n";
/** Each needs the one before. */
const OTHERS = ["shoal-zeromq", "shoal-zeromq-v5"].map((name, i) => ({
  file: `packages/${name}/package.json`,
  needs: i === 0 ? "shoal" : "shoal-zeromq",
}));
const makeFolder = removeAfterEach();
let folder = "";

beforeEach(() => {
  folder = makeFolder();
  mkdirSync(join(folder, "deploy"));
  for (const { file, needs } of OTHERS) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    write(file, JSON.stringify({ version: "0.1.0", dependencies: { [needs]: "0.1.0" } }));
  }
  write("package.json", `${JSON.stringify({ name: "shoal", version: "0.1.0" }, null, 2)}\n`);
  write("CHANGELOG.md", CHANGELOG);
  write("deploy/compose.yaml", "image: shoal:0.1.0\n");
  write("README.md", "npm install ./shoal-0.1.0.tgz\n");
  git("init", "--quiet");
  git("config", "user.name", "A");
  git("config", "user.email", "a@example.org");
  git("add", ".");
  git("commit", "--quiet", "--message", "first");
});

const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
const read = (name: string): string => readFileSync(join(folder, name), "utf8");
const git = (...args: string[]): string =>
  execFileSync("git", args, { cwd: folder, encoding: "utf8" }).trim();
const release = (...args: string[]) =>
  spawnSync(process.execPath, [SCRIPT, ...args], { cwd: folder, encoding: "utf8", timeout: 20_000 });

it("changes nothing where something is wrong; else writes the version everywhere, dates the changelog, commits and tags", () => {
  for (const [args, why] of [
    [["0.1.0"], "0.1.0 is not after 0.1.0"],
    [["next"], "a version is MAJOR.MINOR.PATCH"],
    [["--check", "v0.2.0"], "package.json has the version 0.1.0; CHANGELOG.md has no heading of 0.2.0; "],
  ] as const) {
    const refused = release(...args);
    expect([refused.stderr, refused.status]).toEqual([expect.stringContaining(`release: ${why}`), 1]);
    expect([git("status", "--porcelain"), git("tag")]).toEqual(["", ""]);
  }
  write("README.md", "changed\n");
  expect(release("0.2.0").stderr).toBe("release: the checkout has changes\n");
  git("checkout", "--quiet", "README.md");

  const { stderr, status } = release("0.2.0");
  expect(stderr).toBe("");
  expect(status).toBe(0);
  expect(JSON.parse(read("package.json")).version).toBe("0.2.0");
  for (const { file, needs } of OTHERS)
    expect(JSON.parse(read(file))).toEqual({ version: "0.2.0", dependencies: { [needs]: "0.2.0" } });
  expect(read("deploy/compose.yaml")).toBe("image: shoal:0.2.0\n");
  expect(read("README.md")).toContain("shoal-0.2.0.tgz");
  expect(read("CHANGELOG.md")).toMatch(
    /^# Changelog\n\n## Unreleased\n\n## 0\.2\.0 – \d{4}-\d\d-\d\d\n\n### Added\n- A thing\.\n\n## 0\.1\.0/,
  );
  expect(git("log", "--format=%s", "-1")).toBe("release: 0.2.0");
  expect(git("tag")).toBe("v0.2.0");
  expect(git("status", "--porcelain")).toBe("");
});

it("knows what comes after what, and what is missing", () => {
  expect(["0.1.1", "0.2.0", "1.0.0-rc.1", "1.0.0"].every((each) => isNewer(each, "0.1.0"))).toBe(true);
  expect(isNewer("1.0.0", "1.0.0-rc.1")).toBe(true);
  expect(["0.1.0", "0.0.9", "0.1.0-rc.1"].some((each) => isNewer(each, "0.1.0"))).toBe(false);
  expect(() => datedChangelog("## Unreleased\n\n## 0.1.0 –\n- x\n", "0.2.0", "2026-01-01")).toThrow(
    "nothing under",
  );
  const manifest = { version: "0.1.0", repository: { type: "git", url: "x" } };
  expect(problemsOf(manifest, CHANGELOG, "0.1.0")).toEqual([]);
  expect(problemsOf({ version: "0.1.0" }, CHANGELOG, "0.1.0")).toHaveLength(1);
});
