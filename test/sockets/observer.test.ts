import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { SocketEvent } from "../../src/engine/events.js";
import { type Observed, Observer } from "../../src/sockets/socket.js";
import { CORE } from "../../src/sockets/socket-core.js";
import { collectGarbage } from "../support/collect-garbage.js";
import { turn, watch } from "../support/settled.js";

const event = (address: string): SocketEvent => ({ type: "bind", address });

function observer(isClosed = false) {
  const interest = vi.fn<(interested: boolean) => void>();
  const closed = vi.fn<() => void>();
  const hold = (change: 1 | -1): void => interest(change === 1);
  const events = { closed: isClosed, observe: () => undefined, unobserve: () => closed(), hold };
  return { made: new Observer({ [CORE]: { events } } as unknown as Observed), interest, closed };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

test("reading with time-outs, again and again, keeps nothing of the reads that were given up", async () => {
  const { made } = observer();
  const signals: WeakRef<AbortSignal>[] = [];
  for (let i = 0; i < 1_000; i++) {
    const { signal } = new AbortController();
    signals.push(new WeakRef(signal));
    watch(made.receive({ timeout: 1, signal }));
    vi.advanceTimersByTime(2);
  }
  await turn();
  collectGarbage();
  expect(signals.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(100);
});

describe("listeners", () => {
  test("added by once hear one event, and can be taken off before it", () => {
    const { made, interest } = observer();
    const heard = vi.fn();
    const never = vi.fn();
    made.once("bind", heard).once("bind", never);
    made.off("bind", never);
    made.emit(event("1"));
    made.emit(event("2"));
    expect(heard.mock.calls).toEqual([[event("1")]]);
    expect(never).not.toHaveBeenCalled();
    expect(interest.mock.calls).toEqual([[true], [false]]);
  });

  test("alone have nothing kept for a reader; once they are gone, events are kept again", async () => {
    const { made } = observer();
    const listener = (): void => undefined;
    made.on("bind", listener);
    for (let i = 0; i < 2_000; i++) made.emit(event(String(i)));
    expect(made.lost).toBe(0);
    made.off("bind", listener);
    made.emit(event("kept"));
    expect(await made.receive()).toEqual(event("kept"));
  });

  test("that throw disturb neither the others nor the one who reads, and are not silent", async () => {
    const { made } = observer();
    const heard = vi.fn();
    const thrown = new Error("listener");
    const uncaught: unknown[] = [];
    const before = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => uncaught.push(error));
    try {
      made.on("bind", () => {
        throw thrown;
      });
      made.on("bind", heard);
      const read = watch(made.receive());
      made.emit(event("1"));
      await turn();
      expect(heard).toHaveBeenCalledTimes(1);
      expect(read.value).toEqual(event("1"));
      expect(uncaught).toEqual([thrown]);
    } finally {
      process.removeAllListeners("uncaughtException");
      for (const listener of before) process.on("uncaughtException", listener);
    }
  });
});

test("an observer of a closed socket is closed", async () => {
  const { made, interest } = observer(true);
  expect(made.closed).toBe(true);
  await expect(made.receive()).rejects.toMatchObject({ code: "EBADF" });
  expect(interest).not.toHaveBeenCalled();
});

test("interest ends with the close, for listeners and waiting reads alike, and never comes back", async () => {
  const { made, interest } = observer();
  const listener = vi.fn();
  made.on("bind", listener);
  const reads = [watch(made.receive()), watch(made.receive())];
  made.close();
  made.on("bind", listener).off("bind", listener);
  made.emit(event("1"));
  await turn();
  expect(reads.map(({ code }) => code)).toEqual(["EBADF", "EBADF"]);
  expect(interest.mock.calls).toEqual([[true], [false]]);
  expect(listener).not.toHaveBeenCalled();
});
