/** The command `shoal bench` as a process, and what it leaves behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { MAIN } from "./build.js";

export interface Bench {
  readonly child: ChildProcess;
  /** In the environment of all its processes: see {@link marked}. */
  readonly marker: string;
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

/** @param folder where it puts its temporary files */
export function startBench(folder: string, ...args: readonly string[]): Bench {
  const marker = randomUUID();
  const child = spawn(process.execPath, [MAIN, "bench", ...args], {
    env: { ...process.env, SHOAL_BENCH_TEST: marker, TMPDIR: folder },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => (stdout += chunk));
  child.stderr?.on("data", (chunk) => (stderr += chunk));
  const ended = new Promise<Awaited<Bench["ended"]>>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, marker, ended };
}

/** Processes with this marker in their environment; Linux has no event for the end of a stranger's process. */
export function marked(marker: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, "latin1").includes(marker);
    } catch {
      return false;
    }
  });
}
