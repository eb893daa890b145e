import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Context, Pull } from "../../src/index.js";
import { collectGarbage } from "../support/collect-garbage.js";
import { FakeEngine } from "../support/fake-engine.js";
import { turn, watch } from "../support/settled.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

test("an inbox does not keep the calls that were given up behind one that waits", async () => {
  const socket = new Pull({ context: new Context({ engine: new FakeEngine() }) });
  const first = watch(socket.receive());
  const signals: WeakRef<AbortSignal>[] = [];
  for (let i = 0; i < 1_000; i++) {
    const { signal } = new AbortController();
    signals.push(new WeakRef(signal));
    watch(socket.receive({ timeout: 1, signal }));
    vi.advanceTimersByTime(2);
    await turn();
  }
  await turn();
  collectGarbage();
  expect(signals.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(100);
  expect(first.state).toBe("pending");
  await socket.close();
});
