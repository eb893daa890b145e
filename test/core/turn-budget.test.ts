import { expect, test } from "vitest";
import { TurnBudget } from "../../src/core/turn-budget.js";

/** A budget of 1 ms under a clock that each operation moves by `step` ms. */
function underClock(step: number): { budget: TurnBudget; spendUntilYield: () => number } {
  let now = 0;
  const budget = new TurnBudget(1, { now: () => now });
  const spendUntilYield = (): number => {
    for (let spent = 1; ; spent++) {
      now += step;
      if (budget.spend()) return spent;
      if (spent > 1_000_000) throw new Error("never");
    }
  };
  return { budget, spendUntilYield };
}

test("lets fast operations go on until their time is over, again and again", () => {
  const { spendUntilYield } = underClock(1 / 10_000);
  for (let round = 0; round < 3; round++) {
    const spent = spendUntilYield();
    expect(spent).toBeGreaterThanOrEqual(10_000);
    expect(spent).toBeLessThanOrEqual(10_000 + 128);
  }
});

test("stops slow operations soon", () => {
  const { spendUntilYield } = underClock(5);
  expect(spendUntilYield()).toBeLessThanOrEqual(128);
  expect(spendUntilYield()).toBeLessThanOrEqual(128);
});

test("of what was noted, the next to spend has to yield, once", () => {
  let now = 0;
  const budget = new TurnBudget(1, { now: () => now });
  budget.note(64);
  expect(budget.exhausted).toBe(false);
  now = 2;
  budget.note(64);
  expect(budget.exhausted).toBe(true);
  expect(budget.spend()).toBe(true);
  expect(budget.exhausted).toBe(false);
  expect(budget.spend()).toBe(false);
});
