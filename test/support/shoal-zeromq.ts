/** The package `shoal-zeromq` of this checkout as an installation has it: next to shoal, which is the build in dist. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/**
 * @param name under which it is installed
 * @returns a folder with `node_modules`, which the end of the process removes
 */
export function installShoalZeromq(name = "zeromq"): string {
  const folder = mkdtempSync(join(tmpdir(), "shoal-zeromq-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  symlinkSync(ROOT, join(modules, "shoal"), "dir");
  cpSync(join(ROOT, "packages/shoal-zeromq"), join(modules, name), { recursive: true });
  return folder;
}

/** @param entry such as `/draft` */
export function loadShoalZeromq(entry = ""): unknown {
  return createRequire(join(installShoalZeromq(), "program.js"))(`zeromq${entry}`);
}
