/** shoal doctor: what it makes of a machine's facts, and of endpoints. */
import { describe, expect, test } from "vitest";
import { filesFinding, openFiles, runtimeFinding } from "../../src/cli/doctor.js";
import { freePort } from "../support/ports.js";
import { run, start } from "./in-process.js";
import { ipc, jsonOf, useFolder } from "./support.js";

useFolder();

test.each([
  [runtimeFinding({ node: "20.18.1" }), "fail"],
  [runtimeFinding({ node: "20.19.0" }), "ok"],
  [runtimeFinding({ node: "21.7.0" }), "fail"],
  [runtimeFinding({ node: "22.11.0" }), "fail"],
  [runtimeFinding({ node: "24.0.0" }), "ok"],
  [runtimeFinding({ node: "20.0.0", bun: "1.0.0" }), "ok"],
  [filesFinding(256), "fail"],
  [filesFinding(1_024), "warn"],
  [filesFinding(4_096), "ok"],
  [filesFinding(Number.POSITIVE_INFINITY), "ok"],
] as const)("%j is %s", (finding, verdict) => {
  expect(finding.verdict).toBe(verdict);
  // A verdict that is not ok comes with a remedy.
  expect(finding.remedy !== undefined).toBe(verdict !== "ok");
});

test("a machine without a shell has an unknown limit of open files", () => {
  expect(openFiles("/nonexistent/sh")).toMatchObject({
    verdict: "info",
    text: expect.stringContaining("ENOENT"),
  });
  expect(openFiles().text).toMatch(/\d+ open files per process|no limit/);
});

/** Of the lines of --json those about one thing. */
async function report(what: string, ...args: string[]): Promise<{ code: number | null; found: unknown[] }> {
  const { code, stdout } = await run("", "doctor", "--json", ...args);
  return { code, found: jsonOf(stdout).filter((line) => line.what === what) };
}

describe("shoal doctor", () => {
  test("passes messages over tcp and ipc here, and says which engines load", async () => {
    const { code, stdout } = await run("", "doctor");
    expect(String(stdout)).toMatch(/^ok {3}tcp {6}a first message took [\d.]+ ms$/m);
    expect(String(stdout)).toMatch(/^ok {3}engine {3}zmtp loads$/m);
    expect(String(stdout)).toMatch(/^(?:ok|info) +package +.*\bpg\b/m);
    expect(code).toBe(0);
  });

  test("says why nothing answers, and what answers", async () => {
    const endpoint = `tcp://127.0.0.1:${await freePort()}`;
    const nobody = await report("connect", endpoint, "--timeout", "300");
    const why = { text: `${endpoint}: connection refused`, remedy: "Check that a peer is bound there" };
    expect(nobody.found).toMatchObject([{ verdict: "fail", ...why }]);
    expect(nobody.code).toBe(1);
    const pull = start("pull", "--bind", endpoint);
    await pull.endpoint();
    const text = `${endpoint} answers: a DEALER cannot talk to a PULL`;
    expect(await report("connect", endpoint, "--timeout", "10000")).toEqual({
      code: 0,
      found: [{ what: "connect", verdict: "ok", text }],
    });
    const taken = { verdict: "fail", text: expect.stringContaining("the address is in use") };
    expect(await report("bind", "--bind", endpoint)).toMatchObject({ code: 1, found: [taken] });
    const mixed = await report("connect", "http://db:80", "--timeout", "300", endpoint);
    expect(mixed.found).toMatchObject([
      { verdict: "fail", text: expect.stringContaining('got "http"') },
      { verdict: "ok", text: expect.stringContaining(endpoint) },
    ]);
    const odd = { verdict: "fail", text: expect.stringContaining('got "http"') };
    expect(await report("bind", "--bind", "http://*:80")).toMatchObject({ code: 1, found: [odd] });
    const lost = `${ipc()}-folder/socket`;
    const other = await report("bind", "--bind", lost, "--bind", "tcp://no.such.name.invalid:5");
    const nowhere = expect.stringContaining("there is no interface");
    const texts = [`Cannot bind ${lost}: there is no such folder`, nowhere];
    expect(other).toMatchObject({ code: 1, found: texts.map((text) => ({ verdict: "fail", text })) });
    const rep = start("rep", "--echo", "--bind", ipc());
    const { found } = await report("connect", "--timeout", "10000", await rep.endpoint());
    expect(found).toMatchObject([{ verdict: "ok", text: expect.stringMatching(/ answers, after \d+ ms$/) }]);
  });
});

test("a command that connects to nobody says why after a second, once, and goes on", async () => {
  const endpoint = `tcp://127.0.0.1:${await freePort()}`;
  const push = start("push", "--connect", endpoint);
  push.end("one\n");
  await push.until("stderr", /\n/);
  expect(push.stderr.replace(/^\S+ /, "")).toBe(
    `warn shoal push: nothing answers at ${endpoint}: connection refused; trying again\n`,
  );
  await start("pull", "--bind", endpoint, "--count", "1").prints("one\n");
  const { code, stderr } = await push.ended;
  expect(code).toBe(0);
  expect(stderr.trim().split("\n")).toHaveLength(1);
});

test("a command that connects says that its peer is gone, and when it is back", async () => {
  const push = start("push", "--bind", "tcp://127.0.0.1:*");
  const endpoint = await push.endpoint();
  const pull = start("pull", "--connect", endpoint);
  push.write("one\n");
  await pull.until("stdout", /one\n/);
  push.signal("SIGTERM");
  await push.ended;
  await pull.until("stderr", new RegExp(`warn shoal pull: the peer at ${endpoint} is gone; trying again\n`));
  const again = start("push", "--bind", endpoint);
  await pull.until("stderr", new RegExp(`info shoal pull: connected to ${endpoint} again\n`));
  again.end("two\n");
  await pull.until("stdout", /two\n/);
});
