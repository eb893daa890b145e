import { afterEach, expect, test } from "vitest";
import { Log, useLog } from "../../src/cli/log.js";

const said: string[] = [];
afterEach(() => said.splice(0));

test("warnOnce says a text once, however often it happens, and each of several", () => {
  useLog({ write: (severity, name, text) => said.push(`${severity} ${name} ${text}`) });
  const log = new Log("shoal test");
  for (let i = 0; i < 5; i++) {
    log.warnOnce("a peer was refused");
    log.warnOnce("another was refused");
    log.warn("said each time");
  }
  expect(said.filter((line) => line === "warn shoal test a peer was refused")).toHaveLength(1);
  expect(said.filter((line) => line === "warn shoal test another was refused")).toHaveLength(1);
  expect(said.filter((line) => line === "warn shoal test said each time")).toHaveLength(5);
  new Log("shoal test").warnOnce("a peer was refused");
  expect(said.filter((line) => line.includes("a peer was refused"))).toHaveLength(2);
});
