/** shoal doctor: what it makes of a machine's facts, and of endpoints. */
import { describe, expect, test } from "vitest";
import {
  backlogFinding,
  clockFinding,
  filesFinding,
  findingLines,
  ipcFinding,
  nodeFinding,
  packageFinding,
  portsFinding,
  worst,
} from "../../src/cli/doctor-rules.js";
import { freePort } from "../support/ports.js";
import { run, start } from "./in-process.js";
import { ipc, useFolder } from "./support.js";

useFolder();

describe("what it makes of facts", () => {
  test.each([
    [nodeFinding("Node.js", "20.18.1"), "fail"],
    [nodeFinding("Node.js", "20.19.0"), "ok"],
    [nodeFinding("Node.js", "21.7.0"), "fail"],
    [nodeFinding("Node.js", "22.11.0"), "fail"],
    [nodeFinding("Node.js", "24.0.0"), "ok"],
    [nodeFinding("Bun", "1.0.0"), "ok"],
    [filesFinding(256), "fail"],
    [filesFinding(1_024), "warn"],
    [filesFinding(4_096), "ok"],
    [filesFinding(Number.POSITIVE_INFINITY), "ok"],
    [portsFinding(32_768, 60_999), "ok"],
    [portsFinding(60_000, 60_999), "warn"],
    [backlogFinding(64), "warn"],
    [backlogFinding(4_096), "ok"],
    [ipcFinding("/tmp"), "ok"],
    [ipcFinding(`/${"x".repeat(90)}`), "warn"],
    [clockFinding(0, 50, 50, true), "fail"],
    [clockFinding(Date.UTC(2027, 0, 1), 50, 51, undefined), "ok"],
    [clockFinding(Date.UTC(2027, 0, 1), 3_600_050, 50, true), "warn"],
    [clockFinding(Date.UTC(2027, 0, 1), 50, 50, false), "warn"],
    [packageFinding({ name: "lmdb", use: "stores" }), "ok"],
    [packageFinding({ name: "lmdb", use: "stores", version: "1.0.0" }), "ok"],
    [packageFinding({ name: "lmdb", use: "stores", error: "no such symbol" }), "warn"],
  ] as const)("%j is %s", (finding, verdict) => {
    expect(finding.verdict).toBe(verdict);
    // What is not well has something to be done about it.
    expect(finding.remedy !== undefined).toBe(verdict !== "ok");
  });

  test("a report has a line for each, its remedy below, and is as bad as its worst", () => {
    const findings = [nodeFinding("Node.js", "24.0.0"), filesFinding(1_024)];
    expect(findingLines(findings)).toEqual([
      "ok   runtime  Node.js 24.0.0",
      "warn files    1024 open files per process",
      expect.stringMatching(/^ {14}each connection is an open file/),
    ]);
    expect(worst(findings)).toBe("warn");
    expect(worst([])).toBe("ok");
    expect(worst([...findings, filesFinding(1)])).toBe("fail");
  });
});

/** Of the lines of --json those about one thing. */
async function report(what: string, ...args: string[]): Promise<{ code: number | null; found: unknown[] }> {
  const { code, stdout } = await run("", "doctor", "--json", ...args);
  const lines = String(stdout)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { what: string });
  return { code, found: lines.filter((line) => line.what === what) };
}

describe("shoal doctor", () => {
  test("passes messages over tcp and ipc here, and says which engines load", async () => {
    const { code, stdout } = await run("", "doctor");
    expect(String(stdout)).toMatch(/^ok {3}tcp {6}a first message took [\d.]+ ms$/m);
    expect(String(stdout)).toMatch(/^ok {3}engine {3}zmtp loads$/m);
    expect(code).toBe(0);
  });

  test("says why nothing answers, and what answers", async () => {
    const endpoint = `tcp://127.0.0.1:${await freePort()}`;
    const nobody = await report("connect", "--connect", endpoint, "--timeout", "300");
    expect(nobody.found).toMatchObject([{ verdict: "fail", text: expect.stringContaining("ECONNREFUSED") }]);
    expect(nobody.code).toBe(1);
    const pull = start("pull", "--bind", endpoint);
    await pull.endpoint();
    expect(await report("connect", "--connect", endpoint, "--timeout", "10000")).toEqual({
      code: 0,
      found: [
        { what: "connect", verdict: "ok", text: `${endpoint} answers, and is no ROUTER, REP or DEALER` },
      ],
    });
    expect(await report("bind", "--bind", endpoint)).toMatchObject({
      code: 1,
      found: [{ verdict: "fail", text: expect.stringContaining("the address is in use") }],
    });
    const rep = start("rep", "--echo", "--bind", ipc());
    const { found } = await report("connect", "--timeout", "10000", "--connect", await rep.endpoint());
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
  const { stdout } = await run("", "pull", "--bind", endpoint, "--count", "1");
  expect(String(stdout)).toBe("one\n");
  const { code, stderr } = await push.ended;
  expect(code).toBe(0);
  expect(stderr.trim().split("\n")).toHaveLength(1);
});
