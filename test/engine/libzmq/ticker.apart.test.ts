import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type * as Ticker from "../../../src/engine/libzmq/monitor.js";

let ticker: typeof Ticker;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.resetModules();
  ticker = await import("../../../src/engine/libzmq/monitor.js");
});
afterEach(() => void vi.useRealTimers());

function socket() {
  return { tick: vi.fn(), touch: vi.fn() };
}

describe("ticking", () => {
  test("goes on every 100 ms until it is stopped, and then leaves no timer", () => {
    const one = socket();
    const stop = ticker.startTicking(one);
    vi.advanceTimersByTime(350);
    expect(one.tick).toHaveBeenCalledTimes(3);
    stop();
    vi.advanceTimersByTime(1_000);
    expect(one.tick).toHaveBeenCalledTimes(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("slows down with the number of sockets, to 2 s at most, so that its cost stays the same", () => {
    const many = Array.from({ length: 100 }, socket);
    const stops = many.map((one) => ticker.startTicking(one));
    vi.advanceTimersByTime(100);
    const ticksAfter = (ms: number): number => {
      vi.advanceTimersByTime(ms);
      return many[0]?.tick.mock.calls.length ?? 0;
    };
    const first = ticksAfter(0);
    expect(ticksAfter(400)).toBe(first + 1);
    const more = Array.from({ length: 2_000 }, socket);
    stops.push(...more.map((one) => ticker.startTicking(one)));
    ticksAfter(400);
    more[0]?.tick.mockClear();
    vi.advanceTimersByTime(8_000);
    expect(more[0]?.tick).toHaveBeenCalledTimes(4);
    for (const stop of stops) stop();
  });

  test("does not keep the process alive", () => {
    const timeouts = vi.spyOn(globalThis, "setTimeout");
    const stop = ticker.startTicking(socket());
    const timer = timeouts.mock.results[0]?.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    stop();
    timeouts.mockRestore();
  });
});

test("touching goes on, at least every 50 ms, until it is done", () => {
  const one = socket();
  const stopTicking = ticker.startTicking(one);
  const done = ticker.touchUntilDone();
  vi.advanceTimersByTime(0);
  expect(one.touch).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(200);
  one.touch.mockClear();
  vi.advanceTimersByTime(500);
  expect(one.touch).toHaveBeenCalledTimes(10);
  done();
  one.touch.mockClear();
  vi.advanceTimersByTime(500);
  expect(one.touch).not.toHaveBeenCalled();
  stopTicking();
});
