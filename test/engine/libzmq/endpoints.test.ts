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
  const releases = new Map<string, Promise<void>>();
  return { native, releases, made: new Endpoints(native, releases) };
}

test("a bind that failed with what is no error of a bind is tried again, for its reason", () => {
  const { made, native } = endpoints();
  native.failures = [nativeError("EAGAIN"), nativeError("EAGAIN"), nativeError("EADDRINUSE")];
  expect(() => made.bindSync(GIVEN)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
  native.failures = Array.from({ length: 11 }, () => nativeError("EAGAIN"));
  expect(() => made.bindSync(GIVEN)).toThrow(expect.objectContaining({ code: "EAGAIN" }));
  expect(native.failures.length).toBe(1);
});

test("unbind waits until the listener is gone, but not forever", async () => {
  const { made, releases } = endpoints();
  made.bindSync(GIVEN);
  const freed = watch(made.unbind(RESOLVED));
  await turn();
  expect(freed.state).toBe("pending");
  expect(releases.size).toBe(1);
  vi.advanceTimersByTime(10_000);
  await turn();
  expect(freed.state).toBe("fulfilled");
  expect(releases.size).toBe(0);
});

test("an inproc name is free at once", async () => {
  const { made } = endpoints();
  made.bindSync("inproc://name");
  await made.unbind("inproc://name");
  expect(vi.getTimerCount()).toBe(0);
});

test("an unbind that fails leaves no timer and no release behind", async () => {
  const { native, made, releases } = endpoints();
  made.bindSync(GIVEN);
  native.failures = [nativeError("ENOENT")];
  await expect(made.unbind(RESOLVED)).rejects.toMatchObject({ code: "ENOENT" });
  expect(vi.getTimerCount()).toBe(0);
  expect(releases.size).toBe(0);
  expect(made.bound).toBe(1);
});

test("closing gives everything up, and leaves no timer once the socket is gone", () => {
  const { made, releases } = endpoints();
  made.bindSync(GIVEN);
  made.bindSync("ipc://path");
  made.bindSync("inproc://name");
  const gone = made.releaseAll();
  expect([...releases.keys()]).toEqual([RESOLVED, "ipc://path", "inproc://name"]);
  expect(made.bound).toBe(0);
  gone();
  expect(releases.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});
