import { afterEach, expect, test } from "vitest";
import { EventLoopRef } from "../../../src/engine/zmtp/process-hold.js";

const made: EventLoopRef[] = [];
afterEach(() => {
  for (const keepAlive of made.splice(0)) keepAlive.end();
});

/** Timers that hold the process. */
const holders = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function make() {
  const state = { reason: false };
  const keepAlive = new EventLoopRef(() => state.reason);
  made.push(keepAlive);
  const set = (reason: boolean): void => {
    state.reason = reason;
    keepAlive.changed();
  };
  return { keepAlive, set };
}

test("ended, no reason that comes later holds anything", async () => {
  const before = holders();
  const { keepAlive, set } = make();
  set(true);
  keepAlive.end();
  set(true);
  await turn();
  expect(holders()).toBe(before);
});
