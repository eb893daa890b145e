/** `--binary-star`: brokers and queues in pairs, as processes that are killed and stopped. */
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { MajordomoClient } from "../../src/patterns/majordomo/client.js";
import { until } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { type Command, run, startWithout } from "./in-process.js";
import { type Child, file, ipc, startWithout as spawnWithout, useShoal } from "./support.js";

useShoal();

/** ms between two states: a server that is held up for half as long again gives its service up. */
const HEARTBEAT = 1_000;

const kept = closeAfterEach();

/** The same where none is killed or stopped: longer than this process, which has both of them then, is held up by a busy machine. */
const PATIENT_HEARTBEAT = 3_000;

/** The two, of which the primary serves: processes where the primary is killed or stopped, otherwise in this one. */
async function startPair<C extends Child | Command>(
  start: (...args: string[]) => C,
  command: readonly string[],
  ...security: string[]
): Promise<{ primary: C; backup: C }> {
  const states = { primary: ipc(), backup: ipc() };
  const begin = (role: "primary" | "backup"): C => {
    const other = role === "primary" ? "backup" : "primary";
    const pair = ["--binary-star", role, "--state", states[role], "--peer", states[other]];
    const heartbeat = String(start === spawnWithout ? HEARTBEAT : PATIENT_HEARTBEAT);
    return start(...command, ...pair, "--peer-heartbeat", heartbeat, ...security);
  };
  const primary = begin("primary");
  const backup = begin("backup");
  await primary.until("stderr", /serving: /);
  await backup.until("stderr", /standing by: /);
  return { primary, backup };
}

/** Where a broker listens: not where it reports its state, which it says later. */
async function bound(child: Child | Command): Promise<string> {
  return (await child.until("stderr", /: listening at (\S+)/))[1] as string;
}

describe("a pair of brokers", () => {
  const BROKER = ["majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--heartbeat", "200"];

  it("serves again after the primary's kill, and every request ends", async () => {
    const { primary, backup } = await startPair(spawnWithout, BROKER);
    const endpoints = [await bound(primary), await bound(backup)];
    const both = endpoints.flatMap((endpoint) => ["--connect", endpoint]);
    const worker = startWithout("majordomo", "worker", "echo", ...both, "--echo", "--heartbeat", "200");
    await primary.until("stderr", /offers echo/);
    await backup.until("stderr", /offers echo/);
    const times = { heartbeatInterval: 100, liveness: 2, timeout: 15_000 };
    const client = kept(new MajordomoClient(endpoints, times));

    let stopped = false;
    let answered = 0;
    const ask = async (first: number): Promise<void> => {
      for (let n = first; !stopped; n += 10) {
        expect(String(await client.request("echo", String(n)))).toBe(String(n));
        answered += 1;
        await setTimeout(10); // Requests all the time, and a processor for others.
      }
    };
    const load = Promise.all(Array.from({ length: 10 }, (_, index) => ask(index)));
    load.catch(() => undefined); // Reported below.
    await until(() => answered > 100, "answers of the primary");
    primary.kill();
    const before = answered;
    await until(() => answered > before + 100, "answers of the backup");
    stopped = true;
    await load;
    expect(backup.stderr).toContain("serving: ");
    expect(client.stats()).toMatchObject({ failed: 0, timedOut: 0, broker: endpoints[1] });
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
  });

  it("hands over when the one that serves is asked to stop", async () => {
    const { primary, backup } = await startPair(startWithout, [...BROKER, "--titanic", file()]);
    const both = ["--connect", await bound(primary), "--connect", await bound(backup), "--heartbeat", "200"];
    startWithout("majordomo", "worker", "echo", ...both, "--echo");
    await backup.until("stderr", /offers echo/);
    expect(backup.stderr).not.toContain("keeping requests");
    primary.signal("SIGTERM");
    expect((await primary.ended).code).toBe(0);
    await backup.until("stderr", /serving: its peer's state decides it/);
    // The folder is of one at a time.
    await backup.until("stderr", /keeping requests in /);
    const { code, stdout } = await run("one\ntwo\n", "majordomo", "call", "echo", ...both);
    expect([code, String(stdout)]).toEqual([0, "one\ntwo\n"]);
  });

  it("reports its states under the servers' certificate", async () => {
    const name = file();
    await run("", "keygen", "--out", name);
    const { primary, backup } = await startPair(
      ...[startWithout, BROKER, "--curve-certificate", `${name}_secret`],
    );
    primary.signal("SIGTERM");
    expect((await primary.ended).code).toBe(0);
    await backup.until("stderr", /serving: its peer's state decides it/);
  });
});

describe("bad usage", () => {
  const bind = ["--bind", "tcp://127.0.0.1:*"];
  it.each<[readonly string[], string]>([
    [["--binary-star", "primary"], "--peer EP"],
    [["--peer", "tcp://127.0.0.1:1"], "--binary-star primary or backup"],
    [["--binary-star", "third", "--peer", "tcp://127.0.0.1:1"], "third"],
    [["--binary-star", "backup", "--peer", "ipc://x"], "needs --state EP"],
    [["--binary-star", "backup", "--peer", "nonsense", "--state", "ipc://x"], "nonsense"],
    [["--peer-heartbeat", "0"], "whole number"],
    [["--binary-star", "backup", "--peer", "cluster:x", "--state", "ipc://x"], "cluster:x"],
  ])("majordomo broker %j", async (args, what) => {
    const { code, stderr } = await run("", "majordomo", "broker", ...bind, ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(what)]);
  });
});
