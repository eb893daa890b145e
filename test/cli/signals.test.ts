import { afterEach, describe, expect, test, vi } from "vitest";
import { Dealer, Request } from "../../src/index.js";
import { run, start, startUnread, startWithout } from "./in-process.js";
import { Child, ipc, MAIN, startWithout as spawnWithout, useShoal } from "./support.js";

useShoal();
afterEach(() => void vi.useRealTimers());

/** Until a command that listens has taken its line: it reads in the turns after that, and waits for nothing of the system. */
async function taken(command: ReturnType<typeof start>): Promise<void> {
  await command.endpoint();
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
}

describe.each(["SIGINT", "SIGTERM"] as const)("%s", (signal) => {
  test.each([
    // One as a process: how a signal comes to the command is the same for all. SIGTERM: below.
    ["pull", signal === "SIGINT" ? spawnWithout : start],
    ["router", start],
    ["sub", start],
    ["rep", start],
    ["dealer", start],
    ["pair", start],
    ["xpub", start],
    ["xsub", start],
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
    await taken(push);
    push.signal(signal);
    await push.fails(/stopped before every message was delivered|not every message was delivered/);
  });
});

test("what has come is printed before a receiver ends", async () => {
  const endpoint = ipc();
  const pull = spawnWithout("pull", "--bind", endpoint);
  const push = start("push", "--connect", endpoint);
  push.write("first\n");
  await pull.until("stdout", /first\n/);
  // The rest comes while it sleeps, and with it the signal. Not more than the system's buffer holds, line by line.
  pull.process.kill("SIGSTOP");
  const lines = Array.from({ length: 100 }, (_, i) => `${i}\n`).join("");
  expect((await push.end(lines).ended).code).toBe(0);
  pull.signal("SIGTERM");
  pull.process.kill("SIGCONT");
  await pull.prints(`first\n${lines}`);
});

test("a second signal ends the waiting at once", async () => {
  const push = start("push", "--bind", ipc()).end("a\n");
  await taken(push);
  // Time stands still: the first one alone would wait for ever.
  vi.useFakeTimers({ toFake: ["setTimeout", "setInterval"] });
  push.signal("SIGINT");
  push.signal("SIGTERM");
  expect((await push.ended).code).toBe(1);
});

test("a reader that stopped reading does not keep the command from ending", async () => {
  const endpoint = ipc();
  // The shell's end of the pipe stays open and unread until the shell itself is ended.
  const script = `{ "${process.execPath}" "${MAIN}" pull -q --bind ${endpoint} & echo "pid $!" >&2; wait $!; echo "code $?" >&2; } | sleep 60`;
  const shell = new Child("/bin/sh", ["-c", script], { group: true });
  const [, pid] = await shell.until("stderr", /pid (\d+)\n/);
  await run("x".repeat(1_000_000), "push", "--connect", endpoint);
  process.kill(Number(pid), "SIGTERM");
  await shell.until("stderr", /stopped before everything was printed\n/);
  await shell.until("stderr", /code 1\n/);
});

test("a rep whose output nobody reads still replies, and says what is not printed", async () => {
  const endpoint = ipc();
  const rep = startUnread("rep", "--echo", "--bind", endpoint);
  await using request = new Request({ linger: 0 });
  request.connect(endpoint);
  const body = "x".repeat(100_000);
  const reply = request.request(body, { timeout: 5_000 });
  await rep.until("stdout", /x/);
  rep.signal("SIGTERM");
  rep.signal("SIGINT");
  expect(String((await reply)[0])).toBe(body);
  await rep.fails(/stopped before everything was printed\n$/);
});

test("a dealer whose output nobody reads says so, and not that its lines are undelivered", async () => {
  const endpoint = ipc();
  await using peer = new Dealer({ linger: 0 });
  await peer.bind(endpoint);
  const dealer = startUnread("dealer", "--connect", endpoint);
  dealer.write("line\n");
  expect(String((await peer.receive())[0])).toBe("line");
  await peer.send("x".repeat(100_000));
  await dealer.until("stdout", /x/);
  dealer.signal("SIGTERM");
  dealer.signal("SIGTERM");
  await dealer.fails(/stopped before everything was printed\n$/);
});

test("a rep that is stopped while it waits for a line says that a request has no reply", async () => {
  const endpoint = ipc();
  const rep = start("rep", "--bind", endpoint);
  await using request = new Request({ linger: 0 });
  request.connect(endpoint);
  await request.send("question");
  await rep.until("stdout", /question/);
  rep.signal("SIGTERM");
  await rep.fails(/stopped: a request is left without a reply\n$/);
});
