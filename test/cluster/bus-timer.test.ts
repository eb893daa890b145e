/** The timer of a bus: what it wakes up for, and stalls between two wake-ups. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { afterEach, expect, test, vi } from "vitest";
import { BusTimer } from "../../src/cluster/node/bus-timer.js";
import { MACHINE, type Platform } from "../../src/engine/zmtp/transport/transports.js";
import { until } from "../contract/support/wait.js";
import { blockThread } from "../support/block.js";

/** Of a simulation: the real event loop is not looked at. */
const OTHER = { ...MACHINE } as Platform;

class Timed {
  next = Number.POSITIVE_INFINITY;
  readonly ticks: number[] = [];
  stalls = 0;

  nextWakeUp(): number {
    return this.next;
  }

  tick(): void {
    this.ticks.push(performance.now());
    this.next = Number.POSITIVE_INFINITY;
  }

  stalled(): void {
    this.stalls += 1;
  }
}

afterEach(() => {
  vi.useRealTimers();
});

test("a wake-up for what is done by then ticks nothing, and is put off until the next", () => {
  vi.useFakeTimers();
  const timed = new Timed();
  const timer = new BusTimer(OTHER, 100, timed);
  const start = performance.now();
  timed.next = start + 100;
  timer.start();
  // A probe was answered.
  timed.next = start + 300;
  timer.update();
  vi.advanceTimersByTime(299);
  expect(timed.ticks).toEqual([]);
  vi.advanceTimersByTime(2);
  expect(timed.ticks).toHaveLength(1);
  // What comes after nothing was left to do is not missed.
  timed.next = start + 400;
  timer.update();
  vi.advanceTimersByTime(110);
  expect(timed.ticks).toHaveLength(2);
  timer.stop();
});

test("a stall for the time of a probe is seen, though no wake-up was late by it", async () => {
  const timed = new Timed();
  const timer = new BusTimer(MACHINE, 200, timed);
  timed.next = performance.now() + 1_000;
  timer.start();
  // A delay is measured from one sample to the next: the timer's has one before this one.
  const samples = monitorEventLoopDelay({ resolution: 100 });
  samples.enable();
  await until(() => samples.count > 0, "a sample of the event loop's delay");
  samples.disable();
  blockThread(250);
  expect(timed.ticks).toEqual([]);
  await until(() => timed.ticks.length > 0, "the wake-up");
  expect(timer.stalls).toBe(1);
  expect(timer.loopDelay).toBeGreaterThan(100);
  timer.stop();
});
