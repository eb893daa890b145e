/**
 * Whom a snapshot goes to: to the joiner alone where the engine can, whatever program the subscribers are; it waits for
 * the joiner's room, and ends with it. An old subscriber's next message is the live one: nothing came in between.
 */
import { describe, expect, it } from "vitest";
import { Context } from "../../../src/index.js";
import type { LastValueCacheOptions } from "../../../src/patterns/last-value-cache/index.js";
import { collect, until } from "../../contract/support/wait.js";
import { NO_PYTHON, startPython } from "../../interop/python-peer.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { startCache } from "./rig.js";

const zmtp = new Context({ engine: "zmtp" });

const kept = closeAfterEach();

async function start(options?: LastValueCacheOptions, endpoint?: string) {
  const started = await startCache(kept, zmtp, options, endpoint);
  const served = (count: number): Promise<void> =>
    until(() => started.cache.stats().snapshots.done >= count, `${count} snapshots`);
  return { ...started, served };
}

describe("a joiner of the last value cache, engine zmtp", () => {
  it.each([
    "zmtp",
    "libzmq",
  ] as const)("gets its values alone: another of engine %s does not", async (engine) => {
    const context = new Context({ engine });
    const { cache, publish, subscribe, served } = await start();
    await publish("a|1", "ab|1");
    const first = subscribe("a", { context });
    expect(await collect(first, 2)).toEqual(["a|1", "ab|1"]);
    const second = subscribe("a", { context });
    expect(await collect(second, 2)).toEqual(["a|1", "ab|1"]);
    await served(2);
    await publish("a|2");
    expect(await collect(first, 1)).toEqual(["a|2"]);
    expect(await collect(second, 1)).toEqual(["a|2"]);
    expect(cache.stats().snapshots).toMatchObject({ values: 4, parked: 0, waiting: 0 });
  });

  it.skipIf(NO_PYTHON)("among subscribers in pyzmq the same", async () => {
    const { publish, backend, served } = await start();
    await publish("a|1", "b|1");
    const peer = await startPython();
    kept({ close: () => peer.stop() });
    const subscribe = async () => {
      const socket = await peer.open("SUB");
      await socket.call("subscribe");
      await socket.connect(backend);
      return async (count: number): Promise<string[]> => {
        const all: string[] = [];
        while (all.length < count) all.push((await socket.receive()).join("|"));
        return all;
      };
    };
    const first = await subscribe();
    expect(await first(2)).toEqual(["a|1", "b|1"]);
    const second = await subscribe();
    expect(await second(2)).toEqual(["a|1", "b|1"]);
    await served(2);
    await publish("b|2");
    expect([await first(1), await second(1)]).toEqual([["b|2"], ["b|2"]]);
  });

  /** Values that are far more than the kernel takes for somebody who does not read. */
  const LARGE = Array.from({ length: 200 }, (_, i) => `t${String(i).padStart(3, "0")}|${"x".repeat(65_536)}`);

  it.each([
    ["tcp", "tcp://127.0.0.1:*"],
    ["inproc", "inproc://joiners"],
  ])("over %s that does not read waits for its own room, holds up nobody, and gets all of it when it reads", async (_, endpoint) => {
    const backendOptions = { sendHighWaterMark: 20 };
    const { cache, publish, subscribe, served } = await start({ backendOptions }, endpoint);
    await publish(...LARGE);
    const slow = subscribe("t", { receiveHighWaterMark: 1 });
    await until(() => cache.stats().snapshots.parked === 1, "a joiner without room");
    const quick = subscribe("t");
    expect(await collect(quick, LARGE.length)).toEqual(LARGE);
    await served(1);
    expect(cache.stats().snapshots).toMatchObject({ parked: 1, done: 1 });
    // Past half of the mark there is room for what is live.
    await publish("t000|new");
    expect(await collect(quick, 1)).toEqual(["t000|new"]);
    const texts = await collect(slow, LARGE.length + 1);
    const last = new Map(texts.map((text) => [text.slice(0, 4), text.slice(5)]));
    expect(last.size).toBe(LARGE.length);
    expect(last.get("t000")).toBe("new");
    await served(2);
    expect(cache.stats().snapshots).toMatchObject({ waiting: 0, parked: 0, abandoned: 0 });
  });

  it("that leaves in the middle ends its snapshot", async () => {
    const { cache, publish, subscribe } = await start({ backendOptions: { sendHighWaterMark: 20 } });
    await publish(...LARGE);
    const slow = subscribe("t", { receiveHighWaterMark: 1 });
    await until(() => cache.stats().snapshots.parked === 1, "a joiner without room");
    await slow.close({ linger: 0 });
    await until(() => cache.stats().snapshots.abandoned === 1, "the end of its snapshot");
    expect(cache.stats().snapshots).toMatchObject({ waiting: 0, parked: 0, done: 0 });
  });

  it("that takes its subscription back gets no more of its values", async () => {
    const { cache, publish, subscribe, served } = await start({ backendOptions: { sendHighWaterMark: 20 } });
    await publish(...LARGE, "other|1");
    const slow = subscribe("t", { receiveHighWaterMark: 1 });
    await until(() => cache.stats().snapshots.parked === 1, "a joiner without room");
    slow.unsubscribe("t");
    slow.subscribe("o");
    // What had come of the others is thrown away, so there is room for this.
    expect(await collect(slow, 1)).toEqual(["other|1"]);
    await served(1);
    expect(cache.stats().snapshots).toMatchObject({ waiting: 0, parked: 0, abandoned: 1, done: 1 });
  });
});
