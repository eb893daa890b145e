/** When a worker leaves a server that its source of endpoints no longer has, in virtual time. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Departure } from "../../../src/patterns/kit/departure.js";

let isBusy: boolean;
let left: number;
let departure: Departure;

beforeEach(() => {
  vi.useFakeTimers();
  isBusy = false;
  left = 0;
  departure = new Departure(
    () => isBusy,
    () => {
      left += 1;
    },
  );
});

afterEach(() => void vi.useRealTimers());

it("comes 5 s after it began, or after the last request", () => {
  departure.onRequest(); // Before it begins: of no interest.
  expect(departure.hasBegun).toBe(false);
  departure.begin();
  departure.begin();
  expect(departure.hasBegun).toBe(true);
  vi.advanceTimersByTime(4_999);
  departure.onRequest();
  vi.advanceTimersByTime(4_999);
  expect(left).toBe(0);
  vi.advanceTimersByTime(1);
  expect(left).toBe(1);
});

it("does not come while requests are handled", () => {
  departure.begin();
  isBusy = true;
  vi.advanceTimersByTime(14_999);
  isBusy = false;
  expect(left).toBe(0);
  vi.advanceTimersByTime(1);
  expect(left).toBe(1);
});

it("is cancelled when the server is in the list again", () => {
  departure.begin();
  departure.cancel();
  vi.advanceTimersByTime(60_000);
  expect([left, departure.hasBegun]).toEqual([0, false]);
  departure.begin();
  vi.advanceTimersByTime(5_000);
  expect(left).toBe(1);
});
