import { expect, it } from "vitest";
import { describeTransports } from "./support/engines.js";
import { turn } from "./support/wait.js";

const FLOOD = 50_000;

/** A turn of the event loop comes at least so often, in ms of computing: what else the machine does is not counted. */
const SLOWEST = 50;

/** Counts turns of the event loop and calls of a 1 ms timer, until stopped; `due`: how many turns there have to be. */
function watch(): () => { turns: number; ticks: number; due: number } {
  let turns = 0;
  let ticks = 0;
  const started = process.cpuUsage();
  let immediate: NodeJS.Immediate;
  const onTurn = (): void => {
    turns += 1;
    immediate = setImmediate(onTurn);
  };
  immediate = setImmediate(onTurn);
  const timer = setInterval(() => {
    ticks += 1;
  }, 1);
  return () => {
    clearImmediate(immediate);
    clearInterval(timer);
    const { user, system } = process.cpuUsage(started);
    return { turns, ticks, due: Math.max(1, (user + system) / 1_000 / SLOWEST) };
  };
}

describeTransports("a flood", (world) => {
  it("consumed by for await lets timers and the event loop run", async () => {
    const [push, pull] = [world.push(), world.pull()];
    await world.link(pull, push);
    const stop = watch();
    const sending = (async () => {
      for (let i = 0; i < FLOOD; i++) await push.send("x");
    })();
    let count = 0;
    for await (const _ of pull) if (++count === FLOOD) break;
    await sending;
    const { turns, ticks, due } = stop();
    expect(turns).toBeGreaterThanOrEqual(due);
    expect(ticks).toBeGreaterThan(5);
  });

  it("of messages that are all there already is consumed in bounded pieces", async () => {
    const marks = { sendHighWaterMark: 0, receiveHighWaterMark: 0 };
    const push = world.push({ sendHighWaterMark: marks.sendHighWaterMark });
    const pull = world.pull({ receiveHighWaterMark: marks.receiveHighWaterMark });
    await world.link(pull, push);
    const count = 40_000;
    for (let i = 0; i < count; i++) await push.send("x");
    for (const way of ["receive", "receiveMany"] as const) {
      let received = 0;
      const stop = watch();
      const goal = count / 2;
      while (received < goal) {
        if (way === "receive") await pull.receive();
        received += way === "receive" ? 1 : (await pull.receiveMany({ max: goal - received })).length;
      }
      const { turns, due } = stop();
      expect(turns, way).toBeGreaterThanOrEqual(due);
    }
  });

  it("read one by one from a short queue lets the event loop turn, too", async () => {
    const push = world.push({ sendHighWaterMark: 0 });
    const pull = world.pull({ receiveHighWaterMark: 1 });
    await world.link(pull, push);
    const count = 5_000;
    for (let i = 0; i < count; i++) await push.send("x");
    const stop = watch();
    let received = 0;
    for await (const _ of pull) if (++received === count) break;
    const { turns, due } = stop();
    expect(turns).toBeGreaterThanOrEqual(due);
  });

  it("of sends lets the event loop turn", async () => {
    const [push, pull] = [world.push({ sendHighWaterMark: 0 }), world.pull({ receiveHighWaterMark: 0 })];
    await world.link(pull, push);
    await push.send("connected");
    const stop = watch();
    for (let i = 0; i < 20_000; i++) await push.send("x");
    const { turns, due } = stop();
    expect(turns).toBeGreaterThanOrEqual(due);
  });

  it("on one socket does not keep another waiting", async () => {
    const [push, pull, quiet, other] = [world.push(), world.pull(), world.push(), world.pull()];
    await world.link(pull, push);
    await world.link(other, quiet);
    let running = true;
    let read = true;
    const flood = (async () => {
      while (running) await push.send("x");
    })();
    const reader = (async () => {
      for await (const _ of pull) if (!read) break;
    })();
    for (let i = 0; i < 50; i++) {
      await quiet.send(String(i));
      expect(String(await other.receive({ timeout: 2_000 }))).toBe(String(i));
      await turn();
    }
    running = false;
    await flood; // Its last send may wait for the reader.
    read = false;
    await push.send("one more, should the reader wait");
    await reader;
  });
});
