import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Endpoints } from "../../../src/engine/libzmq/endpoints.js";
import { FakeNativeSocket, nativeError } from "../../support/fake-native.js";
import { turn, watch } from "../../support/settled.js";

const GIVEN = "tcp://127.0.0.1:*";
const RESOLVED = "tcp://127.0.0.1:5555";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

function endpoints() {
  const native = new FakeNativeSocket();
  return { native, made: new Endpoints(native) };
}

test("a bind that failed with what is no error of a bind is tried again, for its reason", () => {
  const { made, native } = endpoints();
  native.failures = [nativeError("EAGAIN"), nativeError("EAGAIN"), nativeError("EADDRINUSE")];
  expect(() => made.bind(GIVEN)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
  native.failures = Array.from({ length: 11 }, () => nativeError("EAGAIN"));
  expect(() => made.bind(GIVEN)).toThrow(expect.objectContaining({ code: "EAGAIN" }));
  expect(native.failures.length).toBe(1);
});

test("unbind waits until the listener is gone, but not forever", async () => {
  const { made } = endpoints();
  made.bind(GIVEN);
  const freed = watch(made.unbind(RESOLVED));
  await turn();
  expect(freed.state).toBe("pending");
  vi.advanceTimersByTime(10_000);
  await turn();
  expect(freed.state).toBe("fulfilled");
});

test("an inproc name is free at once", async () => {
  const { made } = endpoints();
  made.bind("inproc://name");
  await made.unbind("inproc://name");
  expect(vi.getTimerCount()).toBe(0);
});

test("an unbind that fails is its error, and leaves no timer behind", async () => {
  const { native, made } = endpoints();
  made.bind(GIVEN);
  native.failures = [nativeError("ENOENT")];
  await expect(made.unbind(RESOLVED)).rejects.toMatchObject({ code: "ENOENT" });
  expect(vi.getTimerCount()).toBe(0);
  expect(made.bound).toBe(1);
});

test("an unbind ends with its socket", async () => {
  const { made } = endpoints();
  made.bind(GIVEN);
  const freed = watch(made.unbind(RESOLVED));
  made.end();
  await turn();
  expect(freed.state).toBe("fulfilled");
});
