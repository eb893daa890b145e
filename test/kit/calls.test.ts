import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ShoalError } from "../../src/core/errors.js";
import { PendingCalls } from "../../src/kit/calls.js";
import { abortListeners, turn, watch } from "../support/settled.js";

const LIMITS = { maxPending: 3, maxPendingBytes: 100 };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("calls are bounded in bytes: a single call may be larger", () => {
  const calls = new PendingCalls(LIMITS);
  const large = calls.add<string>(1_000);
  expect(() => calls.add(1)).toThrow("maxPendingBytes)");
  large.reject(new ShoalError("EFSM", "no"));
  large.promise.catch(() => undefined);
  calls.add(60);
  expect(() => calls.add(41)).toThrow(expect.objectContaining({ code: "ERR_TOO_MANY_PENDING" }));
  calls.add(40);
  expect([calls.size, calls.bytes]).toEqual([2, 100]);
});

test("whatever ends a call first gives its room back, and hears no signal any more", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const calls = new PendingCalls(LIMITS);
  const onGivenUp = vi.fn();
  const replied = calls.add<string>(10, { signal, timeout: 10 });
  const late = calls.add<string>(10, { signal, timeout: 10, onGivenUp });
  const aborted = calls.add<string>(10, { signal, timeout: 1_000, onGivenUp });
  const outcomes = [replied, late, aborted].map(({ promise }) => watch(promise));
  expect(abortListeners(signal)).toBe(1);
  replied.resolve("reply");
  replied.reject(new ShoalError("EFSM", "too late"));
  vi.advanceTimersByTime(10);
  await turn();
  controller.abort("why");
  await turn();
  expect(outcomes).toMatchObject([
    { value: "reply" },
    { code: "ETIMEDOUT", error: { message: "No reply came within 10 ms" } },
    { code: "ABORT_ERR", error: { cause: "why" } },
  ]);
  expect(onGivenUp.mock.calls).toEqual([["timeout"], ["aborted"]]);
  expect([calls.size, calls.bytes, abortListeners(signal), vi.getTimerCount()]).toEqual([0, 0, 0, 0]);
});

test("close rejects with EAGAIN, which nobody has to look at; idle settles then, or with the last result", async () => {
  const calls = new PendingCalls(LIMITS);
  await calls.idle();
  const only = calls.add<string>(1);
  const drained = watch(calls.idle());
  await turn();
  expect(drained.state).toBe("pending");
  only.resolve("reply");
  await turn();
  expect(drained.state).toBe("fulfilled");
  calls.add(1); // Nobody looks at it: the run would fail with an unhandled rejection.
  const looked = watch(calls.add(1).promise);
  const closed = watch(calls.idle());
  calls.close();
  await turn();
  expect(looked.code).toBe("EAGAIN");
  expect(closed.state).toBe("fulfilled");
  expect([calls.size, calls.bytes]).toEqual([0, 0]);
});
