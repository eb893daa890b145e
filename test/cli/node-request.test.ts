/** shoal node request, as a user types it. */
import { expect, it, onTestFinished } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { run, startWithout } from "./in-process.js";
import { NodeRun, newCluster } from "./nodes.js";
import { type Ended, ipc, useShoal } from "./support.js";

useShoal();

it("shoal node request prints the reply to a text or to each line, and fails with the service's error", async () => {
  const cluster = newCluster();
  const control = ipc();
  const node = NodeRun.start("asker", ["--cluster", cluster, "--control", control]);
  await node.ready();
  const server = new ClusterNode({ name: "server", cluster, registry: false });
  const upper = server.serve("upper", (body) => {
    if (body === "3") throw Object.assign(new Error("no three"), { expose: true });
    return String(body).toUpperCase();
  });
  onTestFinished(() => server.close({ linger: 0 }));
  await server.start();
  await node.untilSees("server");
  await upper.ready;
  const ask = (input: string | Buffer, ...args: string[]): Promise<Ended> =>
    run(input, "node", "request", ...args, "--control", control);
  expect(await ask("", "upper", "hello")).toMatchObject({ code: 0, stdout: Buffer.from("HELLO\n") });
  expect(await ask("a\n\nb\n", "upper")).toMatchObject({ code: 0, stdout: Buffer.from("A\n\nB\n") });
  const json = await ask("", "upper", "x", "--json");
  expect(JSON.parse(String(json.stdout))).toEqual({ ok: true, command: "request", reply: "X" });
  const long = "x".repeat(70_000);
  const refused: [number, Buffer | string, RegExp, ...string[]][] = [
    [1, "", /no three/, "upper", "3"],
    [1, "", /no node serves it/, "nobody", "x"],
    [1, Buffer.from([0x61, 0x0a, 0xff, 0x0a]), /line 2: expected UTF-8/, "upper"],
    [1, `1\n${long}\n`, /line 2: a command has at most 65536 bytes as JSON; this one has 70\d{3}/, "upper"],
  ];
  for (const [exitCode, input, why, ...args] of refused) {
    const { code, stderr } = await ask(input, ...args);
    expect([code, stderr], args.join(" ")).toEqual([exitCode, expect.stringMatching(why)]);
  }
  const without = await startWithout("node", "request", "upper", "--control", control).ended;
  expect(without.stderr).toContain("expected a text, or lines");
  expect(without.code).toBe(2);
});
