/** When a worker leaves a server that its source of endpoints no longer has, in virtual time. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Draining } from "../../src/kit/endpoint-list.js";

let isBusy: boolean;
let left: number;
let draining: Draining;

beforeEach(() => {
  vi.useFakeTimers();
  isBusy = false;
  left = 0;
  draining = new Draining(
    () => isBusy,
    () => {
      left += 1;
    },
  );
});

afterEach(() => void vi.useRealTimers());

it("comes 5 s after it began, or after the last request", () => {
  draining.onRequest(); // Before it begins: of no interest.
  expect(draining.hasStarted).toBe(false);
  draining.start();
  draining.start();
  expect(draining.hasStarted).toBe(true);
  vi.advanceTimersByTime(4_999);
  draining.onRequest();
  vi.advanceTimersByTime(4_999);
  expect(left).toBe(0);
  vi.advanceTimersByTime(1);
  expect(left).toBe(1);
});

it("does not come while requests are handled", () => {
  draining.start();
  isBusy = true;
  vi.advanceTimersByTime(14_999);
  isBusy = false;
  expect(left).toBe(0);
  vi.advanceTimersByTime(1);
  expect(left).toBe(1);
});

it("is cancelled when the server is in the list again", () => {
  draining.start();
  draining.cancel();
  vi.advanceTimersByTime(60_000);
  expect([left, draining.hasStarted]).toEqual([0, false]);
  draining.start();
  vi.advanceTimersByTime(5_000);
  expect(left).toBe(1);
});
