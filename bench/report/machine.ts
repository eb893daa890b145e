/** Description of the machine of the measurements. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, release, totalmem, type } from "node:os";
import { promisify } from "node:util";
import { ROOT } from "../places.js";
import type { MachineRecord } from "./records.js";

const run = promisify(execFile);
const require = createRequire(import.meta.url);

export async function describeMachine(
  given: Pick<MachineRecord, "pinned" | "smoke">,
): Promise<MachineRecord> {
  const { version } = require("shoal/package.json") as { version: string };
  return {
    type: "machine",
    started: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
    shoal: version,
    commit: await commit(),
    ...given,
  };
}

/** Commit of the checkout; null in an installed package. */
async function commit(): Promise<string | null> {
  const cwd = ROOT;
  try {
    const root = await run("git", ["rev-parse", "--show-prefix"], { cwd });
    // An installation within another project's checkout does not have its commit.
    if (root.stdout.trim() !== "") return null;
    const head = await run("git", ["rev-parse", "--short=12", "HEAD"], { cwd });
    const changes = await run("git", ["status", "--porcelain", "--untracked-files=no"], { cwd });
    return head.stdout.trim() + (changes.stdout.trim() === "" ? "" : "+");
  } catch {
    return null;
  }
}
