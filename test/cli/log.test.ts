import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { Log, logFailure } from "../../src/cli/log.js";
import { withTerminal } from "../../src/cli/terminal.js";

test("warnOnce says a text once, however often it happens, and each of several", () => {
  const stderr = new PassThrough();
  withTerminal({ stdin: undefined, stdout: new PassThrough(), stderr, signals: new EventEmitter() }, () => {
    const log = new Log("test");
    for (let i = 0; i < 5; i++) {
      log.warnOnce("a peer was refused");
      log.warnOnce("another was refused");
      log.warn("said each time");
    }
    new Log("other").warnOnce("a peer was refused");
  });
  const said = String(stderr.read())
    .split("\n")
    .map((line) => line.slice(line.indexOf(" ") + 1));
  expect(said.filter((line) => line === "warn shoal test: a peer was refused")).toHaveLength(1);
  expect(said.filter((line) => line === "warn shoal test: another was refused")).toHaveLength(1);
  expect(said.filter((line) => line === "warn shoal test: said each time")).toHaveLength(5);
  expect(said.filter((line) => line === "warn shoal other: a peer was refused")).toHaveLength(1);
});

test("what peers call things begins no line, and steers no terminal", () => {
  const stderr = new PassThrough();
  const name = "x\n2026-01-01T00:00:00.000Z error shoal broker: the store is lost\r\u001b[2J\u202e";
  withTerminal({ stdin: undefined, stdout: new PassThrough(), stderr, signals: new EventEmitter() }, () => {
    new Log("broker").debug("not at this level");
    new Log("broker").info(`worker 1 offers ${name}`);
    logFailure("call", `no worker offers ${name}`);
  });
  const said = String(stderr.read());
  expect(said.match(/\n/g)).toHaveLength(2);
  expect(said).toContain("offers x\\u{a}2026");
  expect(said.replaceAll("\n", "")).not.toMatch(/\p{C}/u);
});
