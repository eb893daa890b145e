import { afterEach, beforeEach, test, vi } from "vitest";
import { Context, Pull, type PullOptions } from "../../src/index.js";
import { collectGarbage } from "../support/collect-garbage.js";
import { FakeEngine, type FakeSocket } from "../support/fake-engine.js";
import { expect } from "../support/quick-expect.js";
import { turn, watch } from "../support/settled.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

function pull(options: PullOptions = {}): { socket: Pull; fake: FakeSocket } {
  const engine = new FakeEngine();
  const socket = new Pull({ context: new Context({ engine }), ...options });
  return { socket, fake: engine.last };
}

test("an inbox takes from the engine only what a call can have at once", async () => {
  const { socket, fake } = pull();
  fake.arrive([Buffer.from("a")], [Buffer.from("b")], [Buffer.from("c")]);
  await socket.receiveMany({ max: 2 });
  expect(fake.incoming).toHaveLength(1);
  expect(socket.stats()).toMatchObject({ received: 2, bytesReceived: 2, receiveQueued: 1 });
});

test("an inbox does not keep the calls that were given up behind one that waits", async () => {
  const { socket } = pull();
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
