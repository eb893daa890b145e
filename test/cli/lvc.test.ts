/** shoal lvc, as an operator runs it. */
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Publisher, Subscriber } from "../../src/index.js";
import { LONG } from "../support/long.js";
import { run, start } from "./in-process.js";
import { file, ipc, startWithout as startProcess, useShoal } from "./support.js";

useShoal();

describe("shoal lvc", () => {
  it("gives newcomers the last value, keeps it over a restart, and reports its statistics", async () => {
    const store = file();
    const [frontend, backend] = [ipc(), ipc()];
    const begin = (...more: string[]) =>
      start("lvc", "--frontend", frontend, "--backend", backend, "--store", store, ...more);
    const first = begin("--json");
    await first.until("stderr", /for subscribers\n/);
    const sent = await run("a|1\na|2\nb|1\n", "pub", "--multipart", "|", "--connect", frontend);
    expect(sent.code).toBe(0);
    const subscriber = await run(
      "",
      "sub",
      "--subscribe",
      "a",
      "--count",
      "1",
      "--multipart",
      "|",
      "--connect",
      backend,
    );
    expect(subscriber).toMatchObject({ code: 0, stdout: Buffer.from("a|2\n") });
    first.signal("SIGTERM");
    const ended = await first.ended;
    expect(ended.code).toBe(0);
    expect(JSON.parse(String(ended.stdout))).toMatchObject({ topics: 2, messages: 3, subscriptions: 1 });
    const second = begin("--quiet");
    const again = await run(
      "",
      "sub",
      "--subscribe",
      "b",
      "--count",
      "1",
      "--multipart",
      "|",
      "--connect",
      backend,
    );
    expect(String(again.stdout)).toBe("b|1\n");
    second.signal("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it.runIf(LONG)("is one of a pair: the backup takes over from a primary that is killed", async () => {
    const states = { primary: ipc(), backup: ipc() };
    const begin = async (role: "primary" | "backup") => {
      const [frontend, backend] = [ipc(), ipc()];
      const peer = states[role === "primary" ? "backup" : "primary"];
      const child = startProcess(
        ...["lvc", "--frontend", frontend, "--backend", backend, "--verbose"],
        ...["--binary-star", role, "--peer", peer, "--state", states[role], "--peer-heartbeat", "100"],
      );
      await child.until("stderr", /publishing its state/);
      return { child, frontend, backend };
    };
    const primary = await begin("primary");
    const backup = await begin("backup");
    await backup.child.until("stderr", /standing by/);
    const publisher = new Publisher();
    const subscriber = new Subscriber();
    subscriber.subscribe("");
    for (const { frontend, backend } of [primary, backup]) {
      publisher.connect(frontend);
      subscriber.connect(backend);
    }
    await publisher.waitForSubscribers({ count: 2, timeout: 10_000 });
    await subscriber.ready({ peers: 2, timeout: 10_000 });
    await publisher.send(["a", "1"]);
    expect(String(await subscriber.receive({ timeout: 10_000 }))).toBe("a,1");
    primary.child.signal("SIGKILL");
    const serving = backup.child.until("stderr", / serving: /).then(() => "serving");
    // Each message is a vote.
    for (let i = 2; (await Promise.race([serving, setTimeout(20, "waiting")])) === "waiting"; i++)
      await publisher.send(["a", String(i)]);
    await publisher.send(["b", "1"]);
    while (String(await subscriber.receive({ timeout: 10_000 })) !== "b,1");
    await Promise.all([publisher.close({ linger: 0 }), subscriber.close({ linger: 0 })]);
    backup.child.signal("SIGTERM");
    expect((await backup.child.ended).code).toBe(0);
  });

  it("says what is missing or wrong in one line", async () => {
    const wrong: [string[], RegExp][] = [
      [["--backend", ipc()], /expected --frontend EP or --connect EP/],
      [["--frontend", ipc()], /expected --backend EP/],
      [["--frontend", ipc(), "--backend", "nonsense"], /nonsense/],
      [["--frontend", ipc(), "--backend", ipc(), "--max-topics", "0"], /whole number/],
    ];
    for (const [args, why] of wrong) {
      const { code, stdout, stderr } = await run("", "lvc", ...args);
      expect(stderr.split("\n").at(-2)).toMatch(why);
      expect([code, stdout.length]).toEqual([2, 0]);
    }
  });
});
