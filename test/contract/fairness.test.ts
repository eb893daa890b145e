import { expect, it } from "vitest";
import { describeTransports } from "./support/engines.js";
import { turn } from "./support/wait.js";

const FLOOD = 100_000;

/** Counts turns of the event loop and calls of a 1 ms timer, until stopped. */
function watch(): () => { turns: number; ticks: number; longest: number } {
  let turns = 0;
  let ticks = 0;
  let longest = 0;
  let last = performance.now();
  let immediate: NodeJS.Immediate;
  const onTurn = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
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
    return { turns, ticks, longest: Math.max(longest, performance.now() - last) };
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
    const { turns, ticks } = stop();
    expect(turns).toBeGreaterThan(FLOOD / 1_500);
    expect(ticks).toBeGreaterThan(5);
  });

  it("of messages that are all there already is consumed in bounded pieces", async () => {
    const marks = { sendHighWaterMark: 0, receiveHighWaterMark: 0 };
    const push = world.push({ sendHighWaterMark: marks.sendHighWaterMark });
    const pull = world.pull({ receiveHighWaterMark: marks.receiveHighWaterMark });
    await world.link(pull, push);
    const count = 30_000;
    for (let i = 0; i < count; i++) await push.send("x");
    for (const way of ["receive", "receiveMany"] as const) {
      let [received, turns] = [0, 0];
      let running = true;
      const onTurn = (): void => {
        turns += 1;
        if (running) setImmediate(onTurn);
      };
      setImmediate(onTurn);
      const goal = count / 2;
      while (received < goal) {
        if (way === "receive") await pull.receive();
        received += way === "receive" ? 1 : (await pull.receiveMany({ max: goal - received })).length;
      }
      running = false;
      expect(turns, way).toBeGreaterThan(goal / 1_500);
    }
  });

  it("read one by one from a short queue lets the event loop turn, too", async () => {
    const push = world.push({ sendHighWaterMark: 0 });
    const pull = world.pull({ receiveHighWaterMark: 1 });
    await world.link(pull, push);
    const count = 20_000;
    for (let i = 0; i < count; i++) await push.send("x");
    const stop = watch();
    let received = 0;
    for await (const _ of pull) if (++received === count) break;
    expect(stop().turns).toBeGreaterThan(count / 1_500);
  });

  it("of sends lets the event loop turn", async () => {
    const [push, pull] = [world.push({ sendHighWaterMark: 0 }), world.pull({ receiveHighWaterMark: 0 })];
    await world.link(pull, push);
    await push.send("connected");
    const stop = watch();
    for (let i = 0; i < 50_000; i++) await push.send("x");
    expect(stop().turns).toBeGreaterThan(50_000 / 1_500);
  });

  it("on one socket does not keep another waiting", async () => {
    const [push, pull, quiet, other] = [world.push(), world.pull(), world.push(), world.pull()];
    await world.link(pull, push);
    await world.link(other, quiet);
    let running = true;
    const flood = (async () => {
      while (running) await push.send("x");
    })();
    const reader = (async () => {
      for await (const _ of pull) if (!running) break;
    })();
    for (let i = 0; i < 50; i++) {
      await quiet.send(String(i));
      expect(String(await other.receive({ timeout: 2_000 }))).toBe(String(i));
      await turn();
    }
    running = false;
    await flood;
    await push.send("one more, should the reader wait");
    await reader;
  });
});
