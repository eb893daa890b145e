import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ShoalError, TimeoutError } from "../../src/core/errors.js";
import { refusedWait, Waiter } from "../../src/core/waiter.js";
import { abortListeners, turn, watch } from "../support/settled.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function waiter(timeout: number, signal?: AbortSignal) {
  const givenUp = vi.fn();
  const made = new Waiter<string>(timeout, signal, () => new TimeoutError("EAGAIN", "late"), givenUp);
  return { made, givenUp, outcome: watch(made.promise) };
}

const ENDS: Record<string, (made: Waiter<string>, controller: AbortController) => void> = {
  resolve: (made) => made.resolve("value"),
  reject: (made) => made.reject(new ShoalError("EFSM", "no")),
  timeout: () => vi.advanceTimersByTime(10),
  abort: (_, controller) => controller.abort("why"),
};
const EXPECTED: Record<string, object> = {
  resolve: { state: "fulfilled", value: "value" },
  reject: { state: "rejected", code: "EFSM" },
  timeout: { state: "rejected", code: "EAGAIN" },
  abort: { state: "rejected", code: "ABORT_ERR", error: { cause: "why" } },
};

test.each(
  Object.keys(ENDS),
)("is settled once, by %s when that is first, and cleans up after itself", async (first) => {
  for (const second of Object.keys(ENDS)) {
    const controller = new AbortController();
    const { made, givenUp, outcome } = waiter(10, controller.signal);
    expect(made.settled).toBe(false);
    ENDS[first]?.(made, controller);
    await turn();
    expect(made.settled).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    expect(abortListeners(controller.signal)).toBe(0);
    ENDS[second]?.(made, controller);
    await turn();
    expect(outcome).toMatchObject(EXPECTED[first] as object);
    const why = first === "timeout" ? [["timeout"]] : first === "abort" ? [["aborted"]] : [];
    expect(givenUp.mock.calls).toEqual(why);
  }
});

test("without a time-out sets no timer", () => {
  const { made } = waiter(-1);
  expect(vi.getTimerCount()).toBe(0);
  made.resolve("value");
});

test("that is settled while the program computes is not late for it", async () => {
  const { made, outcome, givenUp } = waiter(5);
  vi.advanceTimersByTime(5);
  made.resolve("value");
  await turn();
  expect(outcome).toMatchObject({ state: "fulfilled", value: "value" });
  expect(givenUp).not.toHaveBeenCalled();
});

test("knows that it is settled before its owner hears that it was given up", async () => {
  const heard = vi.fn();
  const made: Waiter<string> = new Waiter<string>(
    1,
    undefined,
    () => new TimeoutError("EAGAIN", "late"),
    () => heard(made.settled),
  );
  const outcome = watch(made.promise);
  vi.advanceTimersByTime(1);
  await turn();
  expect(heard.mock.calls).toEqual([[true]]);
  expect(outcome.code).toBe("EAGAIN");
});

test("a wait of 0 ms ends after the next look at the sockets, and waits for no timer", async () => {
  const wait = (): Waiter<string> =>
    new Waiter<string>(
      0,
      undefined,
      () => new TimeoutError("EAGAIN", "late"),
      () => undefined,
    );
  const [empty, served] = [wait(), wait()];
  const outcomes = [watch(empty.promise), watch(served.promise)];
  await turn();
  expect(outcomes.map(({ state }) => state)).toEqual(["pending", "pending"]);
  served.resolve("in time");
  await turn();
  expect(outcomes.map(({ state }) => state)).toEqual(["rejected", "fulfilled"]);
});

test("thousands of waits on one signal raise no warning and leave no listener", async () => {
  const warnings: unknown[] = [];
  const warn = (warning: unknown): void => {
    warnings.push(warning);
  };
  process.on("warning", warn);
  try {
    const controller = new AbortController();
    const waits = Array.from({ length: 5_000 }, () => waiter(-1, controller.signal));
    controller.abort();
    await turn();
    expect(waits.every(({ outcome }) => outcome.code === "ABORT_ERR")).toBe(true);
    expect(abortListeners(controller.signal)).toBe(0);
    expect(warnings).toEqual([]);
  } finally {
    process.off("warning", warn);
  }
});

test("a wait with options that fit may begin", () => {
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
