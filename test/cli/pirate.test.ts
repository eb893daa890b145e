/** shoal pirate: a queue, workers that run programs, and calls, as processes. */
import { describe, expect, it } from "vitest";
import { type Command, run, startWithout } from "./in-process.js";
import { useFolder } from "./support.js";

useFolder();

const ANY = "tcp://127.0.0.1:*";

async function startQueue(...more: string[]): Promise<{ queue: Command; frontend: string; backend: string }> {
  const queue = startWithout("pirate", "queue", "--frontend", ANY, "--backend", ANY, "-v", ...more);
  const frontend = (await queue.until("stderr", /listening at (\S+) for clients/))[1] as string;
  const backend = (await queue.until("stderr", /listening at (\S+) for workers/))[1] as string;
  return { queue, frontend, backend };
}

describe("shoal pirate", () => {
  it("calls a program through a queue, with arguments and with lines of input", async () => {
    const { queue, frontend, backend } = await startQueue();
    startWithout("pirate", "worker", "--connect", backend, "--exec", "tr a-z A-Z");
    await queue.until("stderr", /is ready/);
    const once = await run("", "pirate", "call", "hello", "--connect", frontend);
    expect({ ...once, stdout: String(once.stdout) }).toEqual({ code: 0, stdout: "HELLO\n", stderr: "" });
    const lines = await run("one\ntwo\n", "pirate", "call", "--connect", frontend);
    expect(String(lines.stdout)).toBe("ONE\nTWO\n");
  });

  it("serves Simple Pirates, and drains with SIGTERM", async () => {
    const { queue, frontend, backend } = await startQueue("--simple", "--json");
    const worker = startWithout(
      "pirate",
      "worker",
      "--connect",
      backend,
      "--exec",
      "sleep 0.3; cat",
      "--simple",
      "-v",
    );
    await queue.until("stderr", /\(simple\) is ready/);
    const calling = run("", "pirate", "call", "a", "--connect", frontend, "--json");
    const { code, stdout } = await calling;
    expect([code, String(stdout)]).toEqual([0, '{"frames":["a"]}\n']);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
    queue.signal("SIGTERM");
    const ended = await queue.ended;
    expect(ended.code).toBe(0);
    expect(JSON.parse(String(ended.stdout))).toMatchObject({ requests: 1, replies: 1 });
  });

  it("fails with the reason: a program's exit status, and nobody there", async () => {
    const { queue, frontend, backend } = await startQueue();
    startWithout("pirate", "worker", "--connect", backend, "--exec", "echo no fish >&2; exit 3", "-q");
    await queue.until("stderr", /is ready/);
    const failed = await run("", "pirate", "call", "x", "--connect", frontend);
    expect([failed.code, String(failed.stdout)]).toEqual([1, ""]);
    expect(failed.stderr).toContain("exit status 3: no fish");
    const nobody = await run(
      "",
      "pirate",
      "call",
      "x",
      "--connect",
      "tcp://127.0.0.1:9",
      "--timeout",
      "50",
      "--retries",
      "1",
    );
    expect(nobody.code).toBe(1);
    expect(nobody.stderr).toContain("No reply came, 2 attempts from tcp://127.0.0.1:9");
  });

  it.each([
    [["queue", "--frontend", ANY], "--backend"],
    [["queue", "--frontend", "tcp://nope", "--backend", ANY], "tcp://nope"],
    [["worker", "--connect", "tcp://127.0.0.1:9"], "--echo or --exec"],
    [
      ["worker", "--echo", "--connect", "tcp://127.0.0.1:9", "--simple", "--paranoid"],
      "cannot be used with option",
    ],
    [["call", "x"], "--connect"],
    [["call", "x", "--connect", "tcp://127.0.0.1:9", "--timeout", "soon"], "--timeout"],
  ])("%j is bad usage", async (args, what) => {
    const { code, stderr } = await run("", "pirate", ...args);
    expect(code).toBe(2);
    expect(stderr).toContain(what);
  });
});
