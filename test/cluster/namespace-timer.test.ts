/** The timer of a namespace: stalls between two wake-ups. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { expect, test } from "vitest";
import { NamespaceTimer } from "../../src/cluster/node/namespace-timer.js";
import { MACHINE } from "../../src/engine/zmtp/transport/transports.js";
import { until } from "../contract/support/wait.js";
import { blockThread } from "../support/block.js";

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

test("a stall for the time of a probe is seen, though no wake-up was late by it", async () => {
  const timed = new Timed();
  const timer = new NamespaceTimer(MACHINE, 200, timed);
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
