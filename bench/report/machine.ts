/** Description of the machine of the measurements. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, release, totalmem, type } from "node:os";
import { promisify } from "node:util";
import { ROOT } from "../places.js";
import type { BenchRecord, MachineRecord } from "./records.js";

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
    commit: await commitOf(ROOT),
    ...given,
  };
}

/** Commit of a checkout, with "+" for uncommitted changes; null in an installed package. */
export async function commitOf(cwd: string): Promise<string | null> {
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

/** One line per machine, commit and pinning, with the first and last time of its measurements. */
export function machineLines(records: readonly BenchRecord[]): string[] {
  const times = new Map<string, string[]>();
  for (const record of records) {
    if (record.type !== "machine") continue;
    const text = machineText(record);
    const minute = `${record.started.slice(0, 16).replace("T", " ")} UTC`;
    times.set(text, [...(times.get(text) ?? []), minute].sort());
  }
  return [...times].map(([text, started]) => {
    const [first, last] = [started[0], started.at(-1)];
    return `${first === last ? first : `${first} and ${last}`}: ${text}`;
  });
}

/** For each figure: `AMD EPYC, 2 cores`. */
export function shortMachine({ cpu, cores }: MachineRecord): string {
  return `${cpu}, ${cores} cores`;
}

function machineText(machine: MachineRecord): string {
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const pinned =
    machine.pinned === null ? "not pinned" : `sides pinned to cores ${machine.pinned.join(", ")}`;
  const commit = machine.commit === null ? "" : `, commit ${machine.commit}`;
  return (
    `${shortMachine(machine)}, ${memory}, ${machine.system}, Node.js ${machine.node.slice(1)}, ` +
    `shoal ${machine.shoal}${commit}, ${pinned}${machine.smoke ? ", smoke run" : ""}`
  );
}
