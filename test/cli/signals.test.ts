import { describe, expect, test } from "vitest";
import { start as startHere } from "./in-process.js";
import { Child, ipc, MAIN, run, start, startWithout, useShoal } from "./support.js";

useShoal();

describe.each(["SIGINT", "SIGTERM"] as const)("%s", (signal) => {
  // Two as processes: how a signal comes to the command is the same for all.
  test.each([
    ["pull", start],
    ["router", start],
    ["sub", startHere],
    ["rep", startHere],
    ["dealer", startHere],
    ["pair", startHere],
    ["xpub", startHere],
    ["xsub", startHere],
  ] as const)("ends an idle %s with exit code 0", async (command, begin) => {
    const child = begin(command, "--bind", ipc(), "-v");
    await child.endpoint();
    child.signal(signal);
    expect(await child.ended).toMatchObject({ code: 0 });
  });

  test("a sender with nothing left to deliver ends with exit code 0", async () => {
    const endpoint = ipc();
    const pull = startWithout("pull", "--bind", endpoint);
    const push = start("push", "--connect", endpoint);
    push.write("a\nb\n");
    await pull.until("stdout", /a\nb\n/);
    push.signal(signal);
    expect((await push.ended).code).toBe(0);
  });

  test("a sender whose message nobody took says so, with exit code 1", async () => {
    const push = start("push", "--bind", ipc());
    push.end("a\n");
    await push.endpoint();
    push.signal(signal);
    const { code, stderr } = await push.ended;
    expect(stderr).toMatch(/stopped before every message was delivered|not every message was delivered/);
    expect(code).toBe(1);
  });
});

test("what has come is printed before a receiver ends", async () => {
  const endpoint = ipc();
  const pull = startWithout("pull", "--bind", endpoint);
  const push = start("push", "--connect", endpoint);
  push.write("first\n");
  await pull.until("stdout", /first\n/);
  // The rest comes while it sleeps, and with it the signal. Not more than the system's buffer holds, line by line.
  pull.process.kill("SIGSTOP");
  const lines = Array.from({ length: 100 }, (_, i) => `${i}\n`).join("");
  expect((await push.end(lines).ended).code).toBe(0);
  pull.signal("SIGTERM");
  pull.process.kill("SIGCONT");
  const { code, stdout } = await pull.ended;
  expect(stdout.toString()).toBe(`first\n${lines}`);
  expect(code).toBe(0);
});

test("a second signal ends the waiting at once", async () => {
  const push = start("push", "--bind", ipc()).end("a\n");
  await push.endpoint();
  const started = performance.now();
  push.signal("SIGINT");
  push.signal("SIGTERM");
  expect((await push.ended).code).toBe(1);
  expect(performance.now() - started).toBeLessThan(900); // The first alone allows 1,000 ms.
});

test("a reader that stopped reading does not keep the command from ending", async () => {
  const endpoint = ipc();
  // The shell's end of the pipe stays open and unread until the shell itself is ended.
  const script = `{ "${process.execPath}" "${MAIN}" pull -q --bind ${endpoint} & echo "pid $!" >&2; wait $!; echo "code $?" >&2; } | sleep 60`;
  const shell = new Child("/bin/sh", ["-c", script], { group: true });
  const [, pid] = await shell.until("stderr", /pid (\d+)\n/);
  await run("x".repeat(1_000_000), "push", "--connect", endpoint);
  process.kill(Number(pid), "SIGTERM");
  await shell.until("stderr", /stopped before every message was printed\n/);
  await shell.until("stderr", /code 1\n/);
});
