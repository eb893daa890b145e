import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Watcher } from "../../src/cluster/node/watched.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** When it looked, in ms, while members change every `interval` ms for a while. */
function looks(interval: number, until: number, stopAt = Number.POSITIVE_INFINITY): number[] {
  const begun = performance.now();
  const found: number[] = [];
  const watcher = new Watcher(() => found.push(Math.round(performance.now() - begun)));
  for (let at = 0; at < 10_000; at += interval) {
    if (at <= until) watcher.lookSoon();
    if (at >= stopAt) watcher.stop();
    vi.advanceTimersByTime(interval);
  }
  return found;
}

it("looks whom to watch when members have not changed for half a second", () => {
  expect(looks(100, 0)).toEqual([500]);
  expect(looks(100, 1_000)).toEqual([1_500]);
});

it("looks after two seconds at the latest, and again after those that follow", () => {
  expect(looks(100, 3_000)).toEqual([2_000, 3_500]);
});

it("does not look once it is stopped", () => {
  expect(looks(100, 1_000, 1_200)).toEqual([]);
});
