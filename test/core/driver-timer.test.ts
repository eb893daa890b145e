import { afterEach, expect, it, vi } from "vitest";
import { DriverTimer } from "../../src/core/timers.js";

afterEach(() => void vi.useRealTimers());

/** A clock and rules moved by hand. */
function world(next: number | undefined) {
  vi.useFakeTimers();
  let now = 0;
  const ticks: number[] = [];
  const timer = new DriverTimer(100, { now: () => now });
  const rules = {
    next,
    nextWakeUp: () => rules.next,
    tick(time: number): void {
      ticks.push(time);
      rules.next = time + 1_000;
    },
  };
  const pass = async (ms: number): Promise<void> => {
    now += ms;
    await vi.advanceTimersByTimeAsync(ms);
  };
  return { timer, rules, ticks, pass, jump: (ms: number) => (now += ms), time: () => now };
}

it("counts a stall as one step, for what is heard in it as for the tick after it", async () => {
  const { timer, rules, ticks, pass, jump } = world(50);
  timer.start(rules);
  jump(60_000); // Stopped, with the timer due long ago.
  expect(timer.now()).toBe(150);
  expect(timer.stalled).toBe(59_850);
  await pass(50);
  await vi.advanceTimersByTimeAsync(1); // The tick comes a turn later: what came meanwhile is heard first.
  expect(ticks).toEqual([150]);
  jump(10);
  expect(timer.now()).toBe(160);
  timer.stop();
});

it("takes what was due long ago for due now, and cuts no time out for it", async () => {
  const { timer, rules, ticks, pass } = world(undefined);
  timer.start(rules);
  await pass(5_000);
  rules.next = 0;
  timer.update();
  expect(timer.now()).toBe(5_000);
  await pass(1);
  expect(ticks).toHaveLength(1);
  expect(timer.now()).toBe(5_001);
  expect(timer.stalled).toBe(0);
  timer.stop();
});

it("is not set again once it is due", async () => {
  const { timer, rules, ticks, jump } = world(50);
  timer.start(rules);
  jump(60);
  rules.next = 40;
  timer.update();
  // Set again, it would fire at once.
  await vi.advanceTimersByTimeAsync(1);
  expect(ticks).toEqual([]);
  await vi.advanceTimersByTimeAsync(50);
  expect(ticks).toHaveLength(1);
  timer.stop();
});

it("hears what came before it ticks, after a short pause as well", async () => {
  const { timer, rules, ticks, jump } = world(50);
  timer.start(rules);
  jump(70);
  setTimeout(() => (rules.next = 200), 50); // Stands for what is read after the timers.
  vi.spyOn(rules, "tick").mockImplementation(() => ticks.push(rules.next as number));
  await vi.advanceTimersByTimeAsync(52);
  expect(ticks).toEqual([200]);
  timer.stop();
});
