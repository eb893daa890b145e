import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { LONG } from "../support/long.js";
import { fails, run, start, startWithout } from "./in-process.js";
import { Child, file, ipc, MAIN, run as runProcess, start as startProcess, useShoal } from "./support.js";

useShoal();

const LINES = LONG ? 100_000 : 20_000;

const SHOAL = `"${process.execPath}" "${MAIN}"`;
const sh = (script: string): Child => new Child("/bin/sh", ["-c", script]);

const seq = (count: number): string => {
  let text = "";
  for (let i = 1; i <= count; i++) text += `${i}\n`;
  return text;
};

describe("much input", () => {
  // Not over ipc: a libzmq receiver whose queue is full loses what the kernel still holds when its peer closes.
  test(`${LINES} lines arrive unchanged and in order`, async () => {
    const pull = startWithout("pull", "--bind", "tcp://127.0.0.1:*", "--count", String(LINES));
    expect((await runProcess(seq(LINES), "push", "--connect", await pull.endpoint())).code).toBe(0);
    const { stdout } = await pull.ended;
    expect(createHash("sha256").update(stdout).digest("hex")).toBe(
      createHash("sha256").update(seq(LINES)).digest("hex"),
    );
  });

  test("a subscriber misses none of 20,000 lines", async () => {
    const pub = start("pub", "--bind", "tcp://127.0.0.1:*");
    const sub = startWithout("sub", "--connect", await pub.endpoint(), "--count", "20000");
    expect((await pub.end(seq(20_000)).ended).code).toBe(0);
    expect((await sub.ended).stdout.toString() === seq(20_000)).toBe(true);
  });

  test("a line of many chunks is one message", async () => {
    const endpoint = ipc();
    const line = "x".repeat(5_000_000);
    const pull = startWithout("pull", "--bind", endpoint, "--count", "2");
    expect((await run(`${line}\nend\n`, "push", "--connect", endpoint)).code).toBe(0);
    expect((await pull.ended).stdout.toString() === `${line}\nend\n`).toBe(true);
  });

  test("nothing is read ahead while nobody takes it", async () => {
    const push = startProcess("push", "--bind", ipc());
    await push.endpoint();
    // A pipe holds 64 KiB and a stream's buffer as much: a reader that does not pause takes all of this.
    const block = Buffer.alloc(1_048_576, "line\n");
    for (let i = 0; i < 32; i++) push.process.stdin.write(block);
    const before = residentKiB(push);
    let taken = push.process.stdin.writableLength;
    for (let quietTurns = 0; quietTurns < 5; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const now = push.process.stdin.writableLength;
      quietTurns = now === taken ? quietTurns + 1 : 0;
      taken = now;
    }
    expect(taken).toBeGreaterThan(30 * 1_048_576);
    expect(residentKiB(push) - before).toBeLessThan(20_000);
  });
});

/** The memory of a process, as Linux reports it. */
function residentKiB(child: Child): number {
  const status = readFileSync(`/proc/${child.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

describe("input that is not a message", () => {
  test("ends a sender with the line's number, after all lines before it were delivered", async () => {
    const endpoint = ipc();
    const pull = startWithout("pull", "--bind", endpoint);
    const lines = '{"frames":["a"]}\n{"frames":["b"]}\n{"frames":3}\n{"frames":["c"]}\n';
    const why = 'shoal push: line 3: expected {"frames":[…]} with one frame or more\n';
    await fails(1, why, ["push", "--json", "--connect", endpoint], lines);
    await pull.until("stdout", /^a\nb\n/);
    expect((await pull.stop()).stdout.toString()).toBe("a\nb\n");
  });

  test("a reply that is not a message makes rep fail", async () => {
    const rep = ["rep", "-q", "--json", "--bind", ipc()];
    await fails(1, "shoal rep: line 1: invalid JSON ", rep, "nonsense\n");
  });

  test("a directory is no input", async () => {
    const push = sh(`exec ${SHOAL} push --connect ${ipc()} < /`);
    await push.fails(/^shoal push: cannot read standard input: it is a directory\n$/);
  });
});

describe("a reader that goes away", () => {
  test("ends the command quietly with exit code 0", async () => {
    const endpoint = ipc();
    const shell = sh(`{ ${SHOAL} pull -q --bind ${endpoint}; echo "code $?" >&2; } | head -n 2`);
    const push = start("push", "--connect", endpoint);
    // More than the pipe holds: the command meets its end.
    for (let i = 0; i < 20; i++) push.write(seq(10_000));
    expect(await shell.ended).toMatchObject({ stdout: Buffer.from("1\n2\n"), stderr: "code 0\n" });
  });

  test("a full disk is a failure", async () => {
    const endpoint = ipc();
    const shell = sh(`exec ${SHOAL} pull -q --bind ${endpoint} > /dev/full`);
    await run("a\n", "push", "--connect", endpoint);
    await shell.fails(/^shoal pull: cannot write standard output: ENOSPC[^\n]*\n$/);
  });

  test("a key that could not be written leaves no file", async () => {
    const path = file();
    const command = `ulimit -f 0; exec ${SHOAL} keygen --cluster --out ${path}`;
    const { code, stdout, stderr } = await sh(command).ended;
    expect([code, String(stdout)]).toEqual([1, ""]);
    expect(stderr).toMatch(/^shoal keygen: cannot write \S+: EFBIG[^\n]*\n$/);
    expect(existsSync(path)).toBe(false);
  });
});
