/** The build for publishing, in a checkout without the bundler's native code: an optional package. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "shoal-build-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("names the command that installs the bundler, and leaves what was built", () => {
  cpSync(join(import.meta.dirname, "../../scripts/build.js"), join(folder, "scripts/build.js"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  mkdirSync(join(folder, "dist"));
  writeFileSync(join(folder, "dist/index.js"), "built before");
  const build = spawnSync(process.execPath, ["scripts/build.js", "--force"], {
    cwd: folder,
    encoding: "utf8",
    timeout: 20_000,
  });
  expect(build.stderr).toContain("npm ci --include=optional");
  expect(build.stderr).not.toContain("    at ");
  expect(build.status).toBe(1);
  expect(readFileSync(join(folder, "dist/index.js"), "utf8")).toBe("built before");
});
