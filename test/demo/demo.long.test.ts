/** The demo as its user meets it: real processes, real files. It runs the built package: npm test builds it first. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Child } from "../cli/support.js";

const MAIN = fileURLToPath(new URL("../../demo/main.js", import.meta.url));
const WITH = fileURLToPath(new URL("programs/demo-with.js", import.meta.url));
/** A folder that is counted for a second or more: the demo is at work when it is ended. */
const LARGE = fileURLToPath(new URL("../../node_modules/typescript", import.meta.url));

let folder: string;
const started = new Set<Child>();

/** Starts a program in a process group of its own, as a terminal does. */
function start(program: string, ...args: string[]): Child {
  const child = new Child(process.execPath, [program, ...args], { stdin: "ignore", group: true });
  started.add(child);
  return child;
}

/** Runs a program to its end. */
async function run(...args: [program: string, ...string[]]) {
  const { code, stdout, stderr } = await start(...args).ended;
  return { code, out: String(stdout), err: stderr };
}

/** The process ids that the demo prints. */
function pidsIn(out: string): number[] {
  const line = /^Processes: (.*)$/m.exec(out)?.[1] ?? "";
  return line.split(", ").map((process) => Number(process.split(" ").at(-1)));
}

/** Whether a process runs; one that ended and was not collected yet does not. */
async function runs(pid: number): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    return !/\) [ZX] /.test(stat);
  } catch {
    try {
      return process.platform !== "linux" && process.kill(pid, 0);
    } catch {
      return false;
    }
  }
}

/** Waits until none of the processes runs; there is no event for somebody else's children. */
async function allGone(pids: number[]): Promise<void> {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; ) {
    if (!(await Promise.all(pids.map(runs))).includes(true)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Still running: ${pids.join(", ")}`);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "shoal-demo-"));
  await mkdir(join(folder, "odd/deeper"), { recursive: true });
  await mkdir(join(folder, "empty"));
  const files: Record<string, string | Buffer> = {
    "plain.txt": "One fish, two fish. Red fish, blue fish!\n",
    "odd/empty.txt": "",
    "odd/zeros.bin": Buffer.from([0x61, 0x00, 0x62]),
    "odd/latin-1.txt": Buffer.from("na\xefve caf\xe9", "latin1"),
    "odd/deeper/ünïcode.txt": "Über ÜBER über; \u{1d49c} fish\n",
    "odd/long-line.txt": "minnow ".repeat(200_000),
    "odd/data.txt": "q".repeat(300_000),
  };
  for (const [path, content] of Object.entries(files)) await writeFile(join(folder, path), content);
  // A name that is no UTF-8 is listed, and cannot be opened by the name it is listed under.
  if (process.platform === "linux")
    await writeFile(Buffer.concat([Buffer.from(`${folder}/odd/b`), Buffer.from([0xff])]), "unseen");
});

afterEach(async () => {
  // The whole group, should a test have failed; else nobody is left in it.
  for (const child of started) await child.kill().catch(() => undefined);
  started.clear();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the demo", () => {
  test("counts every kind of file the same in several processes and in one", async () => {
    const { code, out, err } = await run(MAIN, "--dir", folder, "--workers", "3");
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toMatch(
      /^shoal's demo: a ventilator, 3 workers and a sink, each a process of its own, count the words/,
    );
    const row = (name: string): string[] | undefined =>
      out
        .split("\n")
        .find((line) => line.startsWith(`│ ${name} `))
        ?.split("│")
        .slice(2, 4)
        .map((cell) => cell.trim());
    const unreadable = process.platform === "linux" ? 1 : 0;
    expect(row("files")).toEqual([`${7 + unreadable}`, `${7 + unreadable}`]);
    expect(row("  text")).toEqual(["6", "6"]);
    expect(row("  binary, skipped")).toEqual(["1", "1"]);
    expect(row("  unreadable")).toEqual([`${unreadable}`, `${unreadable}`]);
    if (unreadable > 0) expect(out).toMatch(/^Left out: {2}odd\/b\ufffd: ENOENT$/m);
    // one two red blue fish(5) | na ve caf | über(3) 𝒜→𝒜 | minnow
    expect(row("words")).toEqual(["200,016", "200,016"]);
    expect(row("different words")).toEqual(["11", "11"]);
    expect(out).toContain("Most frequent words: minnow 200,000, fish 5, über 3,");
    expect(out).toContain("Both runs agree: ");
    expect(pidsIn(out)).toHaveLength(5);
    await allGone(pidsIn(out));
  });

  test.each([
    [["--workers", "0"], "whole number from 1 to 64"],
    [["--workers", "two"], "whole number from 1 to 64"],
    [["--dir", "no/such/folder"], "There is no such folder"],
    [["--dir", MAIN], "It is no folder"],
    [["--depth", "1"], "unknown option"],
    [["folder"], "too many arguments"],
  ])("answers %j with one line and exit code 2", async (args, why) => {
    const { code, out, err } = await run(MAIN, ...args);
    expect(out).toBe("");
    expect(err.trim().split("\n")).toHaveLength(1);
    expect(err).toContain(why);
    expect(code).toBe(2);
  });

  test("fails and shows the lines that differ when a worker counts wrong", async () => {
    const { code, out } = await run(WITH, folder, "wrong-worker.js");
    expect(out).toMatch(/^The runs differ: sha256 [0-9a-f]{64} and [0-9a-f]{64}$/m);
    expect(out).toMatch(/^ {2}only together: file "plain\.txt" text 41 [0-9a-f]{64} 9$/m);
    expect(out).toMatch(/^ {2}only alone: file "plain\.txt" text 41 [0-9a-f]{64} 8$/m);
    expect(out).toMatch(/^ {2}only together: word one 2$/m);
    expect(out).not.toContain("agree");
    expect(code).toBe(1);
  });

  test("fails, and leaves nothing running, when a worker is killed", async () => {
    const { code, out, err } = await run(WITH, folder, "dying-worker.js");
    expect(err).toMatch(/^demo: worker \d \(pid \d+\) was killed by SIGKILL before the work was done$/m);
    expect(code).toBe(1);
    await allGone(pidsIn(out));
  });

  test("fails when no result comes for a long time", async () => {
    const { code, out, err } = await run(WITH, folder, "silent-worker.js", "1000");
    expect(err).toBe("demo: Nothing was heard from the processes for 1000 ms\n");
    expect(code).toBe(1);
    await allGone(pidsIn(out));
  });

  test("ends everything on Ctrl-C", async () => {
    const demo = start(MAIN, "--dir", LARGE);
    await demo.until("stdout", /^together /m);
    const pids = pidsIn(String(demo.stdout));
    process.kill(-(demo.process.pid ?? 0), "SIGINT"); // To the whole group, as the terminal does.
    expect(await demo.ended).toMatchObject({ code: 130, stderr: "demo: Stopped by SIGINT\n" });
    await allGone(pids);
  });

  test("leaves nothing running when it is killed itself", async () => {
    const demo = start(MAIN, "--dir", LARGE);
    await demo.until("stdout", /^together /m);
    demo.signal("SIGKILL");
    await allGone(pidsIn(String(demo.stdout)));
  });
});
