/** Calls of a node that is alone, by a clock that the test turns. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { GroupCalls } from "../../src/cluster/node/group-calls.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});

afterEach(() => {
  vi.useRealTimers();
});

it("a node calls again and again while it is alone, and no more once it has stopped", () => {
  let called = 0;
  const call = (): void => {
    called += 1;
  };
  const calls = new GroupCalls({ isAlone: () => true, call });
  calls.start();
  vi.advanceTimersByTime(60_000);
  expect(called).toBeGreaterThan(8);
  calls.stop();
  expect(vi.getTimerCount()).toBe(0);
});

it("a call that stops them is the last one", () => {
  let called = 0;
  const calls = new GroupCalls({
    isAlone: () => true,
    call: () => {
      called += 1;
      calls.stop();
    },
  });
  calls.start();
  vi.advanceTimersByTime(60_000);
  expect([called, vi.getTimerCount()]).toEqual([1, 0]);
});
