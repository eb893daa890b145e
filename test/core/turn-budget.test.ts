import { expect, test } from "vitest";
import { TurnBudget } from "../../src/core/turn-budget.js";

test("says at every limit-th operation that it is time to yield", () => {
  const budget = new TurnBudget(3);
  const said = Array.from({ length: 9 }, () => budget.spend());
  expect(said).toEqual([false, false, true, false, false, true, false, false, true]);
});

test("starts anew after the event loop has turned", () => {
  const budget = new TurnBudget(3);
  budget.spend();
  budget.spend();
  budget.reset();
  expect([budget.spend(), budget.spend(), budget.spend()]).toEqual([false, false, true]);
});
