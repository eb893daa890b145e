/** shoal lvc, as an operator runs it. */
import { expect, it } from "vitest";
import { fails, run, start } from "./in-process.js";
import { file, ipc, useShoal } from "./support.js";

useShoal();

it("gives newcomers the last value, keeps it over a restart, and reports its statistics", async () => {
  const store = file();
  const [frontend, backend] = [ipc(), ipc()];
  const begin = (...more: string[]) =>
    start("lvc", "--frontend", frontend, "--backend", backend, "--store", store, ...more);
  const first = begin("--json");
  await first.until("stderr", /for subscribers\n/);
  const last = (topic: string) =>
    run("", ..."sub --count 1 --multipart | --connect".split(" "), backend, "--subscribe", topic);
  const sent = await run("a|1\na|2\nb|1\n", "pub", "--multipart", "|", "--connect", frontend);
  expect(sent.code).toBe(0);
  expect(await last("a")).toMatchObject({ code: 0, stdout: Buffer.from("a|2\n") });
  const { stdout } = await first.stop();
  expect(JSON.parse(String(stdout))).toMatchObject({ topics: 2, messages: 3, subscriptions: 1 });
  const second = begin("--quiet");
  expect(String((await last("b")).stdout)).toBe("b|1\n");
  expect((await second.stop()).stderr).toBe("");
});

it("says what is missing or wrong in one line", async () => {
  const wrong: [string[], RegExp][] = [
    [["--backend", ipc()], /expected --frontend EP or --connect EP/],
    [["--frontend", ipc()], /expected --backend EP/],
    [["--frontend", ipc(), "--backend", "nonsense"], /nonsense/],
    [["--frontend", ipc(), "--backend", ipc(), "--max-topics", "0"], /whole number/],
  ];
  for (const [args, why] of wrong) await fails(2, why, ["lvc", "--quiet", ...args]);
});
