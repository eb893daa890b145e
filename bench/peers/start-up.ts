/**
 * How long a program takes from nothing to its first message: starts one again and again, a process each, and reads
 * when its line `{"type":"first"}` comes. The clock is the starter's, so that it is the same for every language.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { SideCommand } from "../contract.js";
import { measuredEnvironment } from "../environment.js";
import { Latencies } from "./node/histogram.js";
import type { Side } from "./node/side.js";

interface First {
  readonly type: "first";
  /** Seconds that loading the library took; absent where a program has no such step. */
  readonly import?: number;
}

/** @returns seconds to the first message, and of them those of the import */
async function startOnce(command: SideCommand): Promise<{ first: number; imported: number }> {
  const from = process.hrtime.bigint();
  const child = spawn(command.file, command.args, {
    env: measuredEnvironment(command.env),
    stdio: ["ignore", "pipe", "inherit"],
  });
  let first = Number.NaN;
  let imported = 0;
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    first = Number(process.hrtime.bigint() - from) / 1e9;
    imported = (JSON.parse(line) as First).import ?? 0;
  });
  const exit = once(child, "close");
  const limit = setTimeout(() => child.kill("SIGKILL"), 15_000);
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const [code] = await exit;
  process.off("exit", kill);
  clearTimeout(limit);
  if (code !== 0 || Number.isNaN(first)) throw new Error(`${command.file} ended with ${code} and no message`);
  return { first, imported };
}

/** The role `program` of the scenario start-up. */
export async function playStartUp(side: Side, command: SideCommand): Promise<void> {
  await side.ready();
  for (let i = 0; i < side.warmup; i++) await startOnce(command);
  side.begin();
  const latencies = new Latencies(side.count);
  const imports: number[] = [];
  for (let i = 0; i < side.count; i++) {
    const { first, imported } = await startOnce(command);
    latencies.record(first * 1e9);
    imports.push(imported);
  }
  side.end();
  imports.sort((a, b) => a - b);
  await side.done({
    messages: side.count,
    bytes: 0,
    ordered: true,
    latency: latencies.table,
    extra: { importSeconds: imports[imports.length >> 1] ?? 0 },
  });
}
