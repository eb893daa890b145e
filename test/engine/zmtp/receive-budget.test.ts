import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ReceiveBudget } from "../../../src/engine/zmtp/receive-limits.js";
import fc, { forAll } from "../../support/properties.js";

const LIMIT = 1_000_000;

/** A pipe by its bytes alone. */
class FakePipe {
  whole = 0;
  unfinished = 0;
  paused = false;
  /** This side does not read it for a reason of its own. */
  stalled = 0;
  readonly #budget: ReceiveBudget;

  constructor(budget: ReceiveBudget) {
    this.#budget = budget;
  }

  /** Brings so many bytes of a message. @param ends whether it is whole now */
  brings(bytes: number, ends: boolean): void {
    if (ends) {
      this.#budget.add(this.unfinished + bytes);
      this.#budget.arriving(this, 0);
      this.whole += this.unfinished + bytes;
      this.unfinished = 0;
    } else this.unfinished += bytes;
    this.#budget.arriving(this, this.unfinished);
    this.#budget.check(this);
  }

  taken(): void {
    const bytes = this.whole;
    this.whole = 0;
    this.#budget.add(-bytes);
  }

  leaves(): void {
    this.unfinished = 0;
    this.paused = false;
    this.#budget.forget(this);
  }

  budgetOnFull(): void {
    this.paused = true;
  }
  budgetOnRoom(): void {
    this.paused = false;
  }
  budgetOnStall(): void {
    this.stalled += 1;
    this.leaves();
  }
}

function make(count: number, limit = LIMIT): FakePipe[] {
  const budget = new ReceiveBudget(() => limit);
  return Array.from({ length: count }, () => new FakePipe(budget));
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("the bytes of all peers together are without a bound where it is 0", () => {
  const [a] = make(1, 0) as [FakePipe];
  a.brings(1e12, true);
  a.brings(1e12, false);
  expect(a.paused).toBe(false);
});

describe("peers in the middle of large messages", () => {
  test("wait for the one that began first, then for the next", () => {
    const [a, b, c] = make(3) as [FakePipe, FakePipe, FakePipe];
    a.brings(200_000, false);
    b.brings(200_000, false);
    c.brings(200_000, false);
    expect([a.paused, b.paused, c.paused]).toEqual([false, false, true]);
    b.brings(1, false);
    a.brings(1, false);
    expect([a.paused, b.paused, c.paused]).toEqual([false, true, true]);
    a.brings(300_000, true);
    a.taken();
    expect([b.paused, c.paused]).toEqual([false, false]);
  });

  test("go behind the others with their next one", () => {
    const [a, b] = make(2) as [FakePipe, FakePipe];
    a.brings(300_000, false);
    b.brings(300_000, false);
    a.brings(1, true);
    a.taken();
    a.brings(400_000, false);
    expect([a.paused, b.paused]).toEqual([true, false]);
  });

  test("are rid of one that stops in the middle, and not of one that gets on", () => {
    const [a, b] = make(2) as [FakePipe, FakePipe];
    a.brings(300_000, false);
    b.brings(300_000, false);
    for (let i = 0; i < 5; i++) {
      a.brings(65_536, false);
      vi.advanceTimersByTime(10_000);
      expect([a.stalled, b.paused]).toEqual([0, true]);
    }
    a.brings(65_535, false);
    vi.advanceTimersByTime(10_000);
    expect([a.stalled, b.paused]).toEqual([1, false]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("are not rid of a slow one that nobody waits for any longer", () => {
    const [a, b] = make(2) as [FakePipe, FakePipe];
    a.brings(600_000, false);
    b.brings(100_000, false);
    expect(b.paused).toBe(true);
    b.leaves();
    vi.advanceTimersByTime(60_000);
    expect([a.stalled, vi.getTimerCount()]).toEqual([0, 0]);
  });

  test("are not rid of one that this side does not read", () => {
    const [a, b] = make(2) as [FakePipe, FakePipe];
    a.brings(300_000, false);
    b.brings(300_000, false);
    a.paused = true;
    vi.advanceTimersByTime(60_000);
    expect(a.stalled).toBe(0);
    a.paused = false;
    vi.advanceTimersByTime(20_000);
    expect(a.stalled).toBe(1);
  });
});

test("whatever peers do, the bound holds, and a program that takes messages never stands still", () => {
  const step = fc.record({ who: fc.nat(5), bytes: fc.integer({ min: 1, max: 200_000 }), ends: fc.boolean() });
  const act = fc.oneof(
    { arbitrary: step.map((brings) => ({ brings })), weight: 8 },
    { arbitrary: fc.nat(5).map((takes) => ({ takes })), weight: 2 },
    { arbitrary: fc.nat(5).map((leaves) => ({ leaves })), weight: 1 },
  );
  forAll([fc.array(act, { maxLength: 200 })], { numRuns: 300, defaultRuns: 55 }, (acts) => {
    const pipes = make(6);
    for (const each of acts) {
      if ("takes" in each) (pipes[each.takes] as FakePipe).taken();
      else if ("leaves" in each) (pipes[each.leaves] as FakePipe).leaves();
      else {
        const pipe = pipes[each.brings.who] as FakePipe;
        if (!pipe.paused) pipe.brings(each.brings.bytes, each.brings.ends);
      }
      const whole = pipes.reduce((sum, pipe) => sum + pipe.whole, 0);
      const large = pipes.reduce((sum, pipe) => sum + pipe.unfinished, 0);
      // The bound, one read of each peer past it, and the one message that may be of any size.
      const longest = Math.max(...pipes.map(({ unfinished }) => unfinished));
      expect(whole + large - longest).toBeLessThanOrEqual(LIMIT + 6 * 265_536);
    }
    // All is taken: somebody is read, and once all large ones but the first are paused, it is the first.
    for (const pipe of pipes) pipe.taken();
    expect(pipes.some(({ paused }) => !paused)).toBe(true);
    for (let round = 0; round < 6; round++)
      for (const pipe of pipes)
        if (!pipe.paused) {
          pipe.brings(1, true);
          pipe.taken();
        }
    expect(pipes.filter(({ paused }) => paused)).toEqual([]);
  });
});
