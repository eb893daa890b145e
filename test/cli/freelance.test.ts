/** `shoal freelance` as its user runs it. */
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { until } from "../contract/support/wait.js";
import { run, start, startWithout } from "./in-process.js";
import { file, useFolder } from "./support.js";

useFolder();

const server = (...args: string[]) =>
  startWithout("freelance", "server", "--bind", "tcp://127.0.0.1:*", ...args);

describe("shoal freelance", () => {
  test("calls a server that runs a program for each request", async () => {
    const endpoint = await server("--exec", "tr a-z A-Z").endpoint();
    const { code, stdout } = await run("", "freelance", "call", "hello", "--connect", endpoint);
    expect([code, String(stdout)]).toEqual([0, "HELLO\n"]);
    const lines = await run("one\ntwo\n", "freelance", "call", "--connect", endpoint);
    expect(String(lines.stdout)).toBe("ONE\nTWO\n");
    const objects = await run('{"frames":["one"]}\n', "freelance", "call", "--connect", endpoint, "--json");
    expect(String(objects.stdout)).toBe('{"frames":["ONE"]}\n');
  });

  test.each(["1", "2", "3"])("passes over a server that is not there, in model %s", async (model) => {
    const endpoint = await server("--echo", "--model", model).endpoint();
    const nobody = "tcp://127.0.0.1:1";
    const where = ["--connect", nobody, "--connect", endpoint, "--model", model];
    const { code, stdout } = await run("", "freelance", "call", "hello", ...where);
    expect([code, String(stdout)]).toEqual([0, "hello\n"]);
  });

  test("a program that fails is a failed call, with its last words", async () => {
    const endpoint = await server("--exec", "echo out of fish >&2; exit 3").endpoint();
    const { code, stdout, stderr } = await run("", "freelance", "call", "x", "--connect", endpoint);
    expect([code, String(stdout)]).toEqual([1, ""]);
    expect(stderr).toMatch(/exit status 3: out of fish/);
  });

  test("no reply is a failure", async () => {
    const args = ["freelance", "call", "x", "--connect", "tcp://127.0.0.1:1", "--timeout", "300"];
    const { code, stderr } = await run("", ...args);
    expect([code, stderr]).toEqual([1, expect.stringContaining("no reply came within 300 ms")]);
  });

  test("a server asked to stop finishes what it has in flight", async () => {
    const begun = file();
    const working = server("--exec", `read word; touch ${begun}; sleep 0.5; echo done $word`);
    const endpoint = await working.endpoint();
    const call = start("freelance", "call", "--connect", endpoint).end("work");
    await until(() => existsSync(begun), "the request is in hand");
    working.signal("SIGTERM");
    const [{ code }, reply] = await Promise.all([working.ended, call.ended]);
    expect([code, String(reply.stdout)]).toEqual([0, "done work\n\n"]);
  });

  test.each([
    [["server", "--bind", "tcp://127.0.0.1:*"], "expected --echo or --exec CMD"],
    [["server", "--bind", "tcp://*:*", "--echo"], "give identity"],
    [["server", "--connect", "tcp://127.0.0.1:1", "--echo"], "unknown option '--connect'"],
    [["call", "x", "--bind", "tcp://127.0.0.1:*"], "unknown option '--bind'"],
    [["call", "x", "--connect", "tcp://127.0.0.1:1", "--model", "4"], "Expected 1, 2 or 3"],
  ])("%j is bad usage", async (args, message) => {
    const { code, stderr } = await run("", "freelance", ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});
