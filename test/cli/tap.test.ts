/** shoal tap: the binary at a tap's capture endpoint. */
import { afterEach, describe, expect, it } from "vitest";
import { msgpack, Publisher } from "../../src/index.js";
import { EspressoTap } from "../../src/patterns/espresso/index.js";
import { until } from "../contract/support/wait.js";
import { run, startWithout } from "./in-process.js";
import { useFolder } from "./support.js";

useFolder();

let tap: EspressoTap;
afterEach(() => tap?.close());

async function startTap(): Promise<string> {
  tap = new EspressoTap();
  return tap.bind("tcp://127.0.0.1:*");
}

/** Once the command listens. */
async function pass(
  ...messages: [from: "frontend" | "backend", ...frames: (string | Buffer)[]][]
): Promise<void> {
  await until(() => tap.stats().subscriptions > 0, "the command's subscription");
  for (const [from, ...frames] of messages) {
    tap.capture(
      from,
      frames.map((frame) => Buffer.from(frame as string)),
    );
  }
}

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

describe("shoal tap", () => {
  it("prints a line for each message: time, side, bytes, frames", async () => {
    const endpoint = await startTap();
    const command = startWithout("tap", "--connect", endpoint, "--count", "3");
    await pass(
      ["frontend", "weather", "sunny"],
      ["backend", "two\nlines\u001b[2J", Buffer.from([0xff, 0])],
      ["frontend", ""],
    );
    const { code, stdout, stderr } = await command.ended;
    expect(String(stdout).replaceAll(TIME, "TIME")).toBe(
      "TIME frontend 12 weather sunny\nTIME backend 15 two\\u{a}lines\\u{1b}[2J 0xff00\nTIME frontend 0 \n",
    );
    expect([code, stderr]).toEqual([0, ""]);
  });

  it("filters by topic and side, and samples", async () => {
    const endpoint = await startTap();
    const options = ["--topic", "a", "--topic", "b", "--from", "frontend", "--sample", "1/2", "--count", "3"];
    const command = startWithout("tap", "--connect", endpoint, ...options);
    await until(() => tap.stats().subscriptions === 2, "both subscriptions");
    await pass(["frontend", "a1"], ["frontend", "c"], ["backend", "a2"]);
    await pass(["frontend", "a3"], ["frontend", "b4"], ["frontend", "a5"], ["frontend", "b6"]);
    const { stdout } = await command.ended;
    expect(
      String(stdout)
        .replaceAll(TIME, "")
        .trim()
        .split("\n")
        .map((line) => line.split(" ").at(-1)),
    ).toEqual(["a1", "b4", "b6"]);
  });

  it.each([
    ["json", '{ "t" : 7 }', '{"t":7}', { value: { t: 7 } }],
    ["json", "no json", "no json", { error: "The frame is not valid json" }],
    [
      "msgpack",
      Buffer.from(msgpack().encode({ n: 2n ** 60n, b: Buffer.from("x") }) as Buffer),
      '{"n":"1152921504606846976","b":{"base64":"eA=="}}',
      { value: { n: "1152921504606846976", b: { base64: "eA==" } } },
    ],
    ["hex", "AB", "4142", {}],
  ])("decodes %s", async (decode, body, shown, members) => {
    const endpoint = await startTap();
    const options = ["tap", "--connect", endpoint, "--count", "1", "--decode", decode];
    const asText = startWithout(...options);
    const asJson = startWithout(...options, "--json", "--topic", "t");
    await until(() => tap.stats().subscriptions === 2, "both commands");
    await pass(["backend", "t", body]);
    const topic = decode === "hex" ? "74" : "t";
    expect(String((await asText.ended).stdout)).toMatch(` ${topic} ${shown}\n`);
    const { time, from, size, frames, ...rest } = JSON.parse(String((await asJson.ended).stdout));
    expect([time.match(TIME)?.length, from, size, frames[0]]).toEqual([1, "backend", body.length + 1, topic]);
    expect(rest).toEqual(members);
  });

  it("stops with SIGTERM, prints what has come, and exits 0", async () => {
    const endpoint = await startTap();
    const command = startWithout("tap", "--connect", endpoint, "-v");
    await pass(["backend", "one"]);
    await command.until("stdout", /one\n/);
    command.signal("SIGTERM");
    const { code, stderr } = await command.ended;
    expect(code).toBe(0);
    expect(stderr).toMatch(/shoal tap: 1 message, 0 missed\n$/);
  });

  it("shows the capture of a proxy that names no side", async () => {
    await startTap();
    const capture = new Publisher();
    await capture.bind("tcp://127.0.0.1:*");
    const command = startWithout("tap", "--connect", capture.lastEndpoint as string, "--count", "1");
    await capture.waitForSubscribers();
    await capture.send(["t", "raw"]);
    expect(String((await command.ended).stdout)).toMatch(/Z - 4 t raw\n$/);
    await capture.close();
  });

  it("answers with its metrics while it listens", async () => {
    const endpoint = await startTap();
    const command = startWithout("tap", "--connect", endpoint, "--metrics", "127.0.0.1:0");
    const [, url] = await command.until("stderr", /metrics at (http:\S+)\/metrics/);
    await pass(["frontend", "one"]);
    await command.until("stdout", /one\n/);
    const [metrics, ready] = await Promise.all([fetch(`${url}/metrics`), fetch(`${url}/readyz`)]);
    expect(await metrics.text()).toMatch(/^shoal_espresso_listener_delivered_total\{listener="tap"\} 1$/m);
    expect(ready.status).toBe(200);
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);
  });

  it("fails when nothing comes in time", async () => {
    const { code, stderr } = await run("", "tap", "--connect", await startTap(), "--timeout", "50");
    expect([code, stderr]).toEqual([1, "shoal tap: no message came within 50 ms\n"]);
  });

  it.each([
    ["no endpoint", /expected --connect EP/, []],
    ["a bad endpoint", /endpoints such as .* got "nonsense"/, ["--connect", "nonsense"]],
    ["a sample that is none", /Expected 1\/N/, ["--connect", "ipc://x", "--sample", "2"]],
    ["a sample of none", /Expected 1\/N/, ["--connect", "ipc://x", "--sample", "1/0"]],
    ["an unknown decoder", /Allowed choices are text, json/, ["--connect", "ipc://x", "--decode", "xml"]],
    ["bad metrics", /HOST:PORT/, ["--connect", "ipc://x", "--metrics", "nowhere"]],
    ["an unknown side", /Allowed choices are frontend/, ["--connect", "ipc://x", "--from", "left"]],
  ])("is bad usage with %s", async (_, why, args) => {
    const { code, stdout, stderr } = await run("", "tap", ...args);
    expect(stderr).toMatch(why);
    expect([code, stdout.length]).toEqual([2, 0]);
  });
});
