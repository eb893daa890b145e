/** The build, in a folder of its own, with a bundler that only writes files. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sharedFolder } from "../support/folders.js";

const folder = sharedFolder();

/** Writes a new file in the place of dist, unless it fails, and what dist has meanwhile. */
const BUNDLER = `
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
export const rolldown = async () => ({
  async write({ dir }) {
    mkdirSync(dir + "/cli", { recursive: true });
    writeFileSync(dir + "/cli/main.js", "console.log('manual')");
    writeFileSync(dir + "/new.js", "new");
    writeFileSync(dir + "/index.js", "new");
    console.log("meanwhile: " + readFileSync("dist/index.js", "utf8"));
    if (process.env.FAILS) throw new Error("no bundle");
  },
  async close() {},
});
`;

it("leaves what was built until all is there, and leaves it there when it fails", () => {
  const own = join(folder, "own");
  cpSync(join(import.meta.dirname, "../../scripts/build.js"), join(own, "scripts/build.js"));
  writeFileSync(join(own, "scripts/write-schema.js"), "export async function writeSchemas() {}");
  writeFileSync(join(own, "scripts/tables.js"), "");
  writeFileSync(join(own, "package.json"), '{ "type": "module" }');
  writeFileSync(
    join(own, "rolldown.config.js"),
    "export const library = (dir) => [{ output: { dir } }]; export const bench = library;",
  );
  mkdirSync(join(own, "node_modules/rolldown"), { recursive: true });
  writeFileSync(join(own, "node_modules/rolldown/package.json"), '{ "type": "module", "main": "index.js" }');
  writeFileSync(join(own, "node_modules/rolldown/index.js"), BUNDLER);
  mkdirSync(join(own, "dist"));
  for (const name of ["index.js", "old.js"]) writeFileSync(join(own, "dist", name), "built before");
  const build = (environment: Record<string, string>) =>
    spawnSync(process.execPath, ["scripts/build.js", "code", "--force"], {
      cwd: own,
      env: { ...process.env, ...environment },
      encoding: "utf8",
      timeout: 20_000,
    });
  const here = (): string[] => readdirSync(own).filter((name) => name.includes("dist"));

  const failed = build({ FAILS: "1" });
  expect(failed.status).toBe(1);
  expect(readdirSync(join(own, "dist")).sort()).toEqual(["index.js", "old.js"]);
  expect(readFileSync(join(own, "dist/index.js"), "utf8")).toBe("built before");
  expect(here()).toEqual(["dist"]);

  const done = build({});
  expect(done.stdout).toContain("meanwhile: built before");
  expect(done.status).toBe(0);
  expect(readdirSync(join(own, "dist")).sort()).toEqual(["cjs", "cli", "index.js", "man", "new.js"]);
  expect(readFileSync(join(own, "dist/index.js"), "utf8")).toBe("new");
  expect(here()).toEqual(["dist"]);
});
