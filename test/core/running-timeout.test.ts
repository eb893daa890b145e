import { setImmediate as turn } from "node:timers/promises";
import { afterEach, expect, test, vi } from "vitest";
import { RunningTimeout } from "../../src/core/timers.js";
import { blockThread } from "../support/block.js";

afterEach(() => void vi.useRealTimers());

test("while the process stands still, its time does not pass: many turns of the loop come before its end", async () => {
  let isOver = false;
  const ended = new Promise<void>((resolve) => {
    new RunningTimeout(120, () => {
      isOver = true;
      resolve();
    });
  });
  for (let stalls = 0; stalls < 6; stalls++) {
    blockThread(60);
    await turn();
    expect(isOver).toBe(false);
  }
  // It does not hold the process: this timer does.
  const alive = setInterval(() => undefined, 1_000);
  await ended;
  clearInterval(alive);
});
