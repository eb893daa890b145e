import { expect, it } from "vitest";
import { describeTransports } from "./support/engines.js";
import { turn } from "./support/wait.js";

/** A turn of the event loop comes at least so often, in ms of computing: what else the machine does is not counted. */
const SLOWEST = 50;

/** Counts turns of the event loop until stopped; `due`: how many there have to be. */
function watch(): () => { turns: number; due: number } {
  let turns = 0;
  const started = process.cpuUsage();
  let immediate: NodeJS.Immediate;
  const onTurn = (): void => {
    turns += 1;
    immediate = setImmediate(onTurn);
  };
  immediate = setImmediate(onTurn);
  return () => {
    clearImmediate(immediate);
    const { user, system } = process.cpuUsage(started);
    return { turns, due: Math.floor((user + system) / 1_000 / SLOWEST) };
  };
}

describeTransports("a flood", (world) => {
  it("of messages that are all there already is consumed in bounded pieces", async () => {
    const [push, pull] = [world.push({ sendHighWaterMark: 0 }), world.pull({ receiveHighWaterMark: 0 })];
    await world.link(pull, push);
    const count = 60_000;
    for (let i = 0; i < count; i++) await push.send("x");
    const messages = pull.messages();
    for (const way of ["receive", "receiveMany", "messages"] as const) {
      let received = 0;
      const stop = watch();
      const goal = count / 3;
      while (received < goal) {
        if (way === "receive") await pull.receive();
        else if (way === "messages") await messages.next();
        received += way !== "receiveMany" ? 1 : (await pull.receiveMany({ max: goal - received })).length;
      }
      const { turns, due } = stop();
      expect(turns, way).toBeGreaterThanOrEqual(due);
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
