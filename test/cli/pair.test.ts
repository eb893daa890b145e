/** `--binary-star`: brokers in pairs. */
import { describe, expect, it } from "vitest";
import { type Command, fails, keygen, run, startWithout } from "./in-process.js";
import { file, ipc, useFolder } from "./support.js";

useFolder();

/** ms between two states: longer than this process, which has both servers, is held up by a busy machine. */
const HEARTBEAT = 3_000;

/** The two, of which the primary serves. */
async function startPair(
  command: readonly string[],
  ...security: string[]
): Promise<{ primary: Command; backup: Command }> {
  const states = { primary: ipc(), backup: ipc() };
  const begin = (role: "primary" | "backup"): Command => {
    const other = role === "primary" ? "backup" : "primary";
    const pair = ["--binary-star", role, "--state", states[role], "--peer", states[other]];
    return startWithout(...command, ...pair, "--peer-heartbeat", String(HEARTBEAT), ...security);
  };
  const primary = begin("primary");
  const backup = begin("backup");
  await primary.until("stderr", /serving: /);
  await backup.until("stderr", /standing by: /);
  return { primary, backup };
}

/** Where a broker listens: not where it reports its state, which it says later. */
async function bound(child: Command): Promise<string> {
  return (await child.until("stderr", /: listening at (\S+)/))[1] as string;
}

describe("a pair of brokers", () => {
  const BROKER = ["majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--heartbeat", "200"];

  it("hands over when the one that serves is asked to stop", async () => {
    const { primary, backup } = await startPair([...BROKER, "--titanic", file()]);
    const both = ["--connect", await bound(primary), "--connect", await bound(backup), "--heartbeat", "200"];
    startWithout("majordomo", "worker", "echo", ...both, "--echo");
    await backup.until("stderr", /offers echo/);
    expect(backup.stderr).not.toContain("keeping requests");
    await primary.stop();
    await backup.until("stderr", /serving: its peer's state decides it/);
    // The folder is of one at a time.
    await backup.until("stderr", /keeping requests in /);
    const { code, stdout } = await run("one\ntwo\n", "majordomo", "call", "echo", ...both);
    expect([code, String(stdout)]).toEqual([0, "one\ntwo\n"]);
  });

  it("reports its states under the servers' certificate", async () => {
    const { secretFile } = await keygen();
    const { primary, backup } = await startPair(BROKER, "--curve-certificate", secretFile);
    await primary.stop();
    await backup.until("stderr", /serving: its peer's state decides it/);
  });
});

const bind = ["--bind", "tcp://127.0.0.1:*"];
it.each<[readonly string[], string]>([
  [["--binary-star", "primary"], "--peer EP"],
  [["--peer", "tcp://127.0.0.1:1"], "--binary-star primary or backup"],
  [["--binary-star", "third", "--peer", "tcp://127.0.0.1:1"], "third"],
  [["--binary-star", "backup", "--peer", "ipc://x"], "needs --state EP"],
  [["--binary-star", "backup", "--peer", "nonsense", "--state", "ipc://x"], "nonsense"],
  [["--peer-heartbeat", "0"], "whole number"],
  [["--binary-star", "backup", "--peer", "cluster:x", "--state", "ipc://x"], "cluster:x"],
])("bad usage: majordomo broker %j", async (args, what) => {
  await fails(2, what, ["majordomo", "broker", ...bind, ...args]);
});
