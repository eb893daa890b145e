/**
 * The programs of examples/guide: each plays all its roles, prints what it should, and ends with nothing left open. They run
 * one after the other in one process, since a process for each would take longer than all of them do.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { freePorts } from "../support/ports.js";
import { EXPECTED } from "./support/expected.js";

const GUIDE = fileURLToPath(new URL("../../examples/guide/", import.meta.url));
const SUPPORT = fileURLToPath(new URL("./support/", import.meta.url));
/** ms; far more than they need, for a busy machine. */
const LIMIT = 35_000;
const programs = readdirSync(GUIDE, { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".ts"))
  .sort();

/** What support/run-programs.js reports of each. */
interface Outcome {
  readonly path: string;
  readonly lines: readonly string[];
  readonly error?: string;
  readonly left: readonly string[];
}

function start(args: readonly string[], output: "inherit" | "pipe"): ChildProcess {
  // Types of a Node.js that has no such feature yet.
  const { typescript } = process.features as { readonly typescript?: unknown };
  const flags = typescript ? [] : ["--import", `${SUPPORT}typescript.js`];
  return spawn(process.execPath, [...flags, ...args], {
    stdio: ["ignore", output, "inherit", "pipe"],
    timeout: LIMIT,
    killSignal: "SIGKILL",
  });
}

describe("the programs of the Guide", () => {
  const outcomes = new Map<string, Outcome>();
  let ended: unknown;

  beforeAll(async () => {
    const child = start([`${SUPPORT}run-programs.js`, ...programs.map((name) => GUIDE + name)], "inherit");
    const exit = once(child, "exit");
    for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
      const outcome = JSON.parse(line) as Outcome;
      outcomes.set(outcome.path.replaceAll("\\", "/").split("/guide/").at(-1) ?? "", outcome);
    }
    [ended] = await exit;
  });

  test("are those that are expected, and the process ends by itself", () => {
    expect(programs).toEqual(Object.keys(EXPECTED).sort());
    expect(ended).toBe(0);
  });

  test.each(programs)("%s prints what it shows, and leaves nothing open", (name) => {
    const outcome = outcomes.get(name);
    expect(outcome?.error).toBeUndefined();
    expect(outcome?.left).toEqual([]);
    EXPECTED[name]?.(outcome?.lines ?? []);
  });

  test.each(programs)("%s says how it is started", (name) => {
    const [head = ""] = readFileSync(GUIDE + name, "utf8").split("*/");
    expect(head).toContain(`node examples/guide/${name}`);
    expect(head).toContain("Look ");
  });
});

describe("a program with a role", () => {
  /** Its output once it has ended. */
  async function run(child: ChildProcess): Promise<string> {
    let output = "";
    child.stdout?.on("data", (data) => (output += String(data)));
    const [code] = await once(child, "close");
    expect(code).toBe(0);
    return output;
  }

  test("talks to another process, and ends with Ctrl-C", async () => {
    const [port] = await freePorts(1);
    const hello = (role: string) =>
      start([`${GUIDE}chapter1/hello-world.ts`, role, `tcp://127.0.0.1:${port}`], "pipe");
    const server = hello("server");
    const served = run(server);
    expect(await run(hello("client"))).toContain("client: received World 3");
    server.kill("SIGINT");
    expect(await served).toContain("server: received Hello");
  });
});
