import { expect, test } from "vitest";
import { EventLoopRef } from "../../../src/engine/zmtp/process-hold.js";
import { turn } from "../../support/settled.js";

/** Timers that hold the process. */
const holders = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

test("ended, no reason that comes later holds anything", async () => {
  const before = holders();
  const keepAlive = new EventLoopRef(() => true);
  keepAlive.changed();
  keepAlive.end();
  keepAlive.changed();
  await turn();
  expect(holders()).toBe(before);
});
