/** shoal tap: the binary at a tap's capture endpoint. */
import { afterEach, describe, expect, it } from "vitest";
import { Publisher } from "../../src/index.js";
import { EspressoTap } from "../../src/patterns/espresso/index.js";
import { until } from "../contract/support/wait.js";
import { fails, startWithout } from "./in-process.js";
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
  const bytes = (frame: string | Buffer): Buffer => Buffer.from(frame as string);
  for (const [from, ...frames] of messages) tap.capture(from, frames.map(bytes));
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
    expect(Array.from(String(stdout).matchAll(/ (\w+)\n/g), ([, body]) => body)).toEqual(["a1", "b4", "b6"]);
  });

  it("prints JSON, of bytes that are not UTF-8 as base64", async () => {
    const endpoint = await startTap();
    const command = startWithout("tap", "--connect", endpoint, "--count", "1", "--json");
    await pass(["backend", "t", Buffer.from([0xff, 0])]);
    const { time, ...record } = JSON.parse(String((await command.ended).stdout));
    expect(time.match(TIME)).toHaveLength(1);
    expect(record).toEqual({ from: "backend", size: 3, frames: ["t", { base64: "/wA=" }] });
  });

  it("stops with SIGTERM, prints what has come, and exits 0", async () => {
    const endpoint = await startTap();
    const command = startWithout("tap", "--connect", endpoint, "-v");
    await pass(["backend", "one"]);
    await command.until("stdout", /one\n/);
    expect((await command.stop()).stderr).toMatch(/shoal tap: 1 message\n$/);
  });

  it("takes other messages than it prints for none: it stops, and fails when none comes in time", async () => {
    const endpoint = await startTap();
    const command = startWithout("tap", "--connect", endpoint, "--from", "frontend");
    await pass(["frontend", "one"]);
    await command.until("stdout", /one\n/);
    const others = setInterval(() => tap.capture("backend", [Buffer.from("other")]), 5);
    try {
      expect((await command.stop()).code).toBe(0);
      const why = /^shoal tap: no message came within 200 ms\n$/;
      await fails(1, why, ["tap", "--connect", endpoint, "--from", "frontend", "--timeout", "200"]);
    } finally {
      clearInterval(others);
    }
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

  it("fails when nothing comes in time", async () => {
    const why = /^shoal tap: no message came within 50 ms\n$/;
    await fails(1, why, ["tap", "--connect", await startTap(), "--timeout", "50"]);
  });

  it.each([
    ["no endpoint", /expected --connect EP/, []],
    ["a bad endpoint", /endpoints such as .* got "nonsense"/, ["--connect", "nonsense"]],
    ["a sample that is none", /Expected 1\/N/, ["--connect", "ipc://x", "--sample", "2"]],
    ["a sample of none", /Expected 1\/N/, ["--connect", "ipc://x", "--sample", "1/0"]],
    ["an unknown side", /Allowed choices are frontend/, ["--connect", "ipc://x", "--from", "left"]],
  ])("is bad usage with %s", async (_, why, args) => void (await fails(2, why, ["tap", ...args])));
});
