/** Waits by their own, without sockets. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { TimeoutError } from "../../src/core/errors.js";
import { neverLate, refusedWait, Waiter, waitFor } from "../../src/core/waiter.js";
import { abortListeners, turn, watch } from "../support/settled.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

it("ends a wait by a signal that aborts right behind the call", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const wait = waitFor(new Promise(() => undefined), { signal }, () => new TimeoutError("ETIMEDOUT", "late"));
  controller.abort();
  await expect(wait).rejects.toMatchObject({ code: "ABORT_ERR" });
});

it("many waits have one listener at their signal, and leave neither that nor a timer", () => {
  const { signal } = new AbortController();
  const waits = Array.from({ length: 12 }, () => new Waiter<void>(5, signal, neverLate, () => undefined));
  expect(abortListeners(signal)).toBe(1);
  for (const wait of waits) wait.resolve();
  expect([abortListeners(signal), vi.getTimerCount()]).toEqual([0, 0]);
});

it("knows that it is settled before its owner hears that it was given up", () => {
  const { signal } = new AbortController();
  const heard: boolean[] = [];
  const made: Waiter<void> = new Waiter(5, signal, neverLate, () => heard.push(made.settled));
  made.withdraw(neverLate());
  expect(heard).toEqual([true]);
});

it("is not late for what settles it while the program computes", async () => {
  const givenUp = vi.fn();
  const made = new Waiter<string>(5, undefined, neverLate, givenUp);
  const outcome = watch(made.promise);
  vi.advanceTimersByTime(5);
  made.resolve("value");
  await turn();
  expect(outcome).toMatchObject({ state: "fulfilled", value: "value" });
  expect(givenUp).not.toHaveBeenCalled();
});

it("of 0 ms ends after the next look at the sockets, and waits for no timer", async () => {
  const [empty, served] = [0, 0].map(() => new Waiter<string>(0, undefined, neverLate, () => undefined)) as [
    Waiter<string>,
    Waiter<string>,
  ];
  const outcomes = [watch(empty.promise), watch(served.promise)];
  await turn();
  expect(outcomes.map(({ state }) => state)).toEqual(["pending", "pending"]);
  served.resolve("in time");
  await turn();
  expect(outcomes.map(({ state }) => state)).toEqual(["rejected", "fulfilled"]);
});

it("may begin with options that fit", () => {
  const { signal } = new AbortController();
  for (const options of [
    undefined,
    {},
    { timeout: 0 },
    { timeout: -1 },
    { timeout: 0.5, signal },
    { timeout: 2 ** 31 - 1 },
  ])
    expect(refusedWait(options)).toBeUndefined();
});
