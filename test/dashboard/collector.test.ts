/** When the dashboard reads what it watches: while somebody looks, and the slow ones less often. Time is virtual. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Subject } from "../../src/dashboard/build.js";
import { Collector } from "../../src/dashboard/collector.js";

beforeEach(() => {
  const timers = ["setInterval", "clearInterval", "setTimeout", "clearTimeout"] as const;
  vi.useFakeTimers({ toFake: [...timers, "performance", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Counts how often it is read. @param cost ms of an answer @param fails whether it answers */
function subject(cost: number, fails: () => boolean = () => false) {
  let reads = 0;
  const own: Subject = {
    address: "tcp://h:1",
    read: async () => {
      reads += 1;
      await new Promise((resolve) => setTimeout(resolve, cost));
      if (fails()) throw new Error("refused");
      return { reading: { sources: [], process: {} }, details: new Map() };
    },
    act: async () => undefined,
    reasonOf: (error) => (error as Error).message,
  };
  /** The reads of a time in ms. */
  const readsIn = async (time: number): Promise<number> => {
    const before = reads;
    await vi.advanceTimersByTimeAsync(time);
    return reads - before;
  };
  return { own, readsIn };
}

const OPTIONS = { interval: 1_000, control: false };

describe("the collector", () => {
  it("reads at each interval while somebody looks, for 10 s after, and then no more", async () => {
    const { own, readsIn } = subject(1);
    const collector = new Collector([own], OPTIONS);
    expect(await readsIn(20_000)).toBe(0);
    const states: number[] = [];
    const stop = collector.subscribe(({ state }) => states.push(state.time));
    // The first one was at once.
    expect(await readsIn(20_500)).toBe(20);
    expect(states.length).toBeGreaterThanOrEqual(19);
    expect(new Set(states).size).toBe(states.length);
    stop();
    expect(await readsIn(30_000)).toBeLessThanOrEqual(11);
    expect(await readsIn(60_000)).toBe(0);
    await collector.close();
  });

  it("asks one whose answer takes long so often that answering is 1 % of its time, but every 10 s", async () => {
    for (const [cost, least, most] of [
      [5, 55, 61],
      [40, 12, 18],
      [900, 5, 9],
    ] as const) {
      const { own, readsIn } = subject(cost);
      const collector = new Collector([own], OPTIONS);
      collector.subscribe(() => undefined);
      const reads = await readsIn(60_000);
      expect([cost, reads >= least, reads <= most], `${reads} reads`).toEqual([cost, true, true]);
      await collector.close();
    }
  });

  it("has since when one is away, and asks on", async () => {
    let isAway = true;
    const { own, readsIn } = subject(1, () => isAway);
    const collector = new Collector([own], OPTIONS);
    const stop = collector.subscribe(() => undefined);
    await readsIn(100);
    const began = Date.now();
    await readsIn(10_000);
    const [process] = (await collector.snapshot()).state.processes;
    expect(process).toMatchObject({ up: false, reason: "refused" });
    expect(process?.since).toBeLessThan(began);
    isAway = false;
    await readsIn(2_000);
    expect((await collector.snapshot()).state.processes[0]?.up).toBe(true);
    stop();
    await collector.close();
  });
});
