/** shoal node serve and shoal node request, as a user types them. */
import { describe, expect, it } from "vitest";
import { run, start } from "./in-process.js";
import { NodeRun } from "./nodes.js";
import { type Ended, ipc, useShoal } from "./support.js";

useShoal();

let made = 0;
describe("shoal node serve", () => {
  it("runs a program for each request, fails with its last words, and takes the service back at a signal", async () => {
    made += 1;
    const group = `serve-${process.pid}-${made}`;
    const control = ipc();
    const node = NodeRun.start("asker", ["--group", group, "--control", control]);
    await node.ready();
    const served = ["upper", "fails"].map((name) =>
      start(
        "node",
        "serve",
        name,
        "--group",
        group,
        "--name",
        name,
        "--exec",
        name === "upper" ? "tr a-z A-Z" : "echo oops >&2; exit 3",
      ),
    );
    await node.untilSees("upper", "fails");
    const ask = (input: string, ...args: string[]): Promise<Ended> =>
      run(input, "node", "request", ...args, "--control", control);
    for (const child of served) await child.until("stderr", /serving/);
    expect(await ask("", "upper", "hello")).toMatchObject({ code: 0, stdout: Buffer.from("HELLO\n") });
    expect(await ask("a\nb\n", "upper")).toMatchObject({ code: 0, stdout: Buffer.from("A\nB\n") });
    expect(await ask("", "fails", "x")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("fails: exit status 3: oops"),
    });
    expect(await ask("", "nobody", "x")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("no node serves it"),
    });
    for (const child of served) {
      child.signal("SIGTERM");
      expect((await child.ended).code).toBe(0);
    }
    expect(await ask("", "upper", "x")).toMatchObject({ code: 1 });
  });

  it("refuses mistakes with exit code 2", async () => {
    for (const [args, why] of [
      [["upper"], "expected --echo or --exec CMD"],
      [["bad name", "--echo"], "a service's name has"],
      [[], "missing required argument"],
      [["upper", "--echo", "--concurrency", "0"], "concurrency"],
    ] as const) {
      const ended = await run("", "node", "serve", ...args);
      expect([ended.code, ended.stderr], args.join(" ")).toEqual([2, expect.stringContaining(why)]);
    }
  });
});
