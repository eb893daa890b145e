import { AsyncLocalStorage, createHook } from "node:async_hooks";
import { inspect } from "node:util";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { OfferResult } from "../../../src/engine/engine.js";
import { Sender, type SendMode } from "../../../src/engine/libzmq/sender.js";
import { FakeNativeSocket } from "../../support/fake-native.js";
import { turn } from "../../support/settled.js";

function sender(mode: SendMode, highWaterMark = 8) {
  const native = new FakeNativeSocket();
  const notify = vi.fn();
  return { native, notify, made: new Sender(native, mode, highWaterMark, notify) };
}

describe("a sender that waits", () => {
  test("copies what it takes where that is asked for, and nothing that it refuses", async () => {
    const { native, made } = sender("waits");
    native.room = 1;
    const body = Buffer.from("a");
    const copied = vi.spyOn(Buffer, "from");
    onTestFinished(() => copied.mockRestore());
    expect(made.offer(body, true)).toBe(OfferResult.Accepted);
    expect(made.offer(body, true)).toBe(OfferResult.Mute);
    expect(copied).toHaveBeenCalledTimes(1);
    body[0] = 0;
    expect(native.sent.map(String)).toEqual(["a"]);
  });

  test("keeps what it accepted and libzmq refused, and sends it before anything else", async () => {
    const { native, made, notify } = sender("waits");
    made.want();
    native.makeRoom(1);
    await turn();
    // Now it sends some without a look, more than there turns out to be room for.
    expect([made.offer("a"), made.offer("b"), made.offer("c")]).toEqual([0, 0, 0]);
    await turn();
    expect(native.sent).toEqual(["a"]);
    expect(made.queued).toBe(2);
    expect(made.writable).toBe(false);
    native.room = 1;
    expect(made.offer("d")).toBe(OfferResult.Mute);
    notify.mockClear();
    native.makeRoom(1);
    await turn();
    expect(native.sent).toEqual(["a", "b"]);
    expect(notify).not.toHaveBeenCalled();
    native.makeRoom(5);
    await turn();
    expect(native.sent).toEqual(["a", "b", "c"]);
    expect(notify).toHaveBeenCalledTimes(1);
    expect(made.queued).toBe(0);
  });

  test("that closes says how many accepted messages it still had, and notifies nothing", async () => {
    const { native, made, notify } = sender("waits");
    made.want();
    native.makeRoom(1);
    await turn();
    notify.mockClear();
    for (const body of ["a", "b", "c"]) made.offer(body);
    await turn();
    expect(made.close()).toBe(2);
    native.makeRoom(9);
    await turn();
    expect(notify).not.toHaveBeenCalled();
  });
});

test("a sender that drops takes everything, and a refusal is no unhandled rejection", async () => {
  const { native, made } = sender("drops");
  native.room = 1;
  expect([made.offer("a"), made.offer("b")]).toEqual([OfferResult.Accepted, OfferResult.Accepted]);
  await turn();
  expect(native.sent).toEqual(["a"]);
});

/** What programs do to all promises, or to how they are shown. */
const CHANGES: Readonly<Record<string, () => () => void>> = {
  "no such change": () => () => undefined,
  "async hooks": () => {
    const hook = createHook({ init: () => undefined }).enable();
    return () => void hook.disable();
  },
  AsyncLocalStorage: () => {
    const storage = new AsyncLocalStorage<object>();
    // Shown with the promise, and not to be taken for its state.
    storage.enterWith({ undefined: undefined, code: "EHOSTUNREACH" });
    return () => storage.disable();
  },
  "colours and depth of util.inspect": () => {
    // A copy: setting it writes into the object that reading it gives.
    const before = { ...inspect.defaultOptions };
    inspect.defaultOptions = { ...before, colors: true, depth: 0, compact: false, breakLength: 10 };
    return () => {
      inspect.defaultOptions = before;
    };
  },
  "short stacks": () => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    return () => {
      Error.stackTraceLimit = stackTraceLimit;
    };
  },
};

describe.each(Object.entries(CHANGES))("in a program with %s", (_, change) => {
  test.each([
    ["routes", "EAGAIN", OfferResult.PeerFull],
    ["routes", "EHOSTUNREACH", OfferResult.Unroutable],
    ["looks", "EAGAIN", OfferResult.Mute],
  ] as const)("a sender that %s knows what became of a message, and reports %s", async (mode, code, result) => {
    onTestFinished(change());
    const { native, made } = sender(mode);
    native.room = 1;
    expect(made.offer(["id", "a"])).toBe(OfferResult.Accepted);
    const error = Object.assign(new Error("of libzmq"), { errno: 11, code });
    vi.spyOn(native, "send").mockImplementationOnce(() => Promise.reject(error));
    expect(made.offer(["id", "b"])).toBe(result);
    await turn();
    expect(native.sent).toEqual([["id", "a"]]);
  });

  test("what was refused is sent again once, when there is room", async () => {
    onTestFinished(change());
    const { native, made } = sender("waits");
    made.want();
    native.makeRoom(1);
    await turn();
    expect([made.offer("a"), made.offer("b")]).toEqual([OfferResult.Accepted, OfferResult.Accepted]);
    await turn();
    native.makeRoom(1);
    await turn();
    await turn();
    expect(native.sent).toEqual(["a", "b"]);
    expect(made.queued).toBe(0);
  });
});
