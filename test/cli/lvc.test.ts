/** shoal lvc, as an operator runs it. */
import { describe, expect, it } from "vitest";
import { run, start } from "./in-process.js";
import { file, ipc, useShoal } from "./support.js";

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
      ...["sub", "--subscribe", "a", "--count", "1", "--multipart", "|", "--connect", backend],
    );
    expect(subscriber).toMatchObject({ code: 0, stdout: Buffer.from("a|2\n") });
    first.signal("SIGTERM");
    const ended = await first.ended;
    expect(ended.code).toBe(0);
    expect(JSON.parse(String(ended.stdout))).toMatchObject({ topics: 2, messages: 3, subscriptions: 1 });
    const second = begin("--quiet");
    const again = await run(
      "",
      ...["sub", "--subscribe", "b", "--count", "1", "--multipart", "|", "--connect", backend],
    );
    expect(String(again.stdout)).toBe("b|1\n");
    second.signal("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0, stderr: "" });
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
