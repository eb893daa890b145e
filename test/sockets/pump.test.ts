/** The loop that moves messages: its gate, its end, and what it does not lose. */
import { afterEach, describe, expect, it } from "vitest";
import { Pull, Push } from "../../src/index.js";
import { Pump, type PumpEffects } from "../../src/sockets/pump.js";
import { CORE } from "../../src/sockets/socket.js";
import { collect, turn, until } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";

const own = closeAfterEach();
const pumps: Pump[] = [];
let names = 0;

afterEach(() => {
  for (const pump of pumps.splice(0)) pump.end();
});

/** What a batch is checked for, message by message: one is refused, and one cannot be checked. */
const suspicious: Partial<PumpEffects> = {
  needsInspection: () => true,
  check: (frames) => {
    if (String(frames[0]) === "bad") throw new Error("unforeseen");
    return String(frames[0]) === "odd" ? "malformed" : "pass";
  },
};

type Transport = "inproc" | "tcp";

/** push -> pull ~pump~> push -> pull, all in this process */
async function chain(
  host: Partial<PumpEffects> = {},
  options: { readonly sendHighWaterMark?: number } = {},
  into: Transport = "inproc",
  onward: Transport = into,
) {
  const [source, from] = [own(new Push()), own(new Pull())];
  const [to, sink] = [own(new Push(options)), own(new Pull({ receiveHighWaterMark: 1 }))];
  const name = (transport: Transport) =>
    transport === "tcp" ? "tcp://127.0.0.1:0" : `inproc://move-${names++}`;
  await from.bind(name(into));
  await sink.bind(name(onward));
  source.connect(from.lastEndpoint as string);
  to.connect(sink.lastEndpoint as string);
  const failures: unknown[] = [];
  const pump = new Pump(from, to, {
    check: undefined,
    capture: undefined,
    refused: () => undefined,
    failed: (error) => failures.push(error),
    ...host,
  });
  pumps.push(pump);
  let over = false;
  const running = pump.run().then(() => {
    over = true;
  });
  return { source, from, to, sink, pump, failures, running, isOver: () => over };
}

/** Does it when a message has come to the pump that waits, which has not gone on yet. */
function whenItComes(from: Pull, act: () => void): void {
  const core = from[CORE];
  const { engineOnReadable } = core;
  core.engineOnReadable = () => {
    engineOnReadable.call(core);
    act();
  };
}

describe("a pump", () => {
  it("held takes nothing, and loses nothing when it is held in the middle of a wait", async () => {
    const { source, from, sink, pump } = await chain();
    await turn();
    pump.pause();
    pump.pause();
    await source.send("a");
    await source.send("b");
    for (let i = 0; i < 5; i++) await turn();
    expect([from.stats().receiveQueued, pump.inFlight]).toEqual([2, 0]);
    pump.resume();
    pump.resume();
    expect(await collect(sink, 2)).toEqual(["a", "b"]);
  });

  it.each([
    ["by itself", { check: () => "pass" as const }],
    ["relayed", {}],
  ])("held at the very moment at which a message comes does not pass it on, %s", async (_, host) => {
    const { source, from, sink, pump } = await chain(host);
    await turn();
    let times = 0;
    whenItComes(from, () => {
      times += 1;
      pump.pause();
    });
    await source.send("a");
    for (let i = 0; i < 10; i++) await turn();
    expect(times).toBe(1);
    expect(sink.stats().receiveQueued).toBe(0);
    expect(pump.inFlight + from.stats().receiveQueued).toBe(1);
    pump.resume();
    expect(await collect(sink, 1)).toEqual(["a"]);
  });

  it("that finishes takes so many more, and ends", async () => {
    const { source, from, sink, pump, running, isOver } = await chain();
    pump.pause();
    for (let i = 0; i < 5; i++) await source.send(`${i}`);
    pump.finish(3);
    pump.finish(5);
    expect(isOver()).toBe(false);
    pump.resume();
    expect(await collect(sink, 3)).toEqual(["0", "1", "2"]);
    await running;
    expect(from.stats().receiveQueued).toBe(2);
  });

  it("waits with one message in flight while there is no room", async () => {
    const { source, from, to, sink, pump } = await chain({ check: () => "pass" }, { sendHighWaterMark: 1 });
    for (let i = 0; i < 10; i++) await source.send(`${i}`);
    await until(() => pump.inFlight === 1, "a message without room");
    expect(to.stats().pendingSends).toBe(1);
    expect(from.stats().received + from.stats().receiveQueued).toBe(10);
    expect(await collect(sink, 10)).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
    await until(() => pump.inFlight === 0, "the last");
  });

  it("goes on with the rest of a batch of which one message cannot be passed", async () => {
    const { source, sink, pump, failures } = await chain(suspicious, {}, "tcp");
    for (const text of ["good", "bad", "odd", "better", "bad", "best"]) await source.send(text);
    expect(await collect(sink, 3)).toEqual(["good", "better", "best"]);
    expect(failures).toHaveLength(2);
    expect(pump.counts).toMatchObject({ dropped: { malformed: 1, failed: 2 } });
  });

  it("keeps and counts what a suspect batch has left, held and to its end, and takes no more", async () => {
    // Onward over inproc, where room is counted: what a kernel takes differs from machine to machine.
    const { source, from, sink, pump, running } = await chain(
      suspicious,
      { sendHighWaterMark: 1 },
      "tcp",
      "inproc",
    );
    pump.pause();
    const texts = Array.from({ length: 500 }, (_, i) => `${i}`.padStart(3_000));
    for (const text of texts) await source.send(text);
    await until(() => from.stats().receiveQueued > 300, "the messages");
    pump.resume();
    await until(() => pump.inFlight > 1, "a batch without room");
    pump.pause();
    const received = from.stats().received;
    expect(received).toBeLessThan(500);
    pump.finish(0);
    pump.resume();
    expect(await collect(sink, received)).toEqual(texts.slice(0, received));
    await running;
    expect([pump.inFlight, from.stats().received]).toEqual([0, received]);
  });

  it.each([
    ["relayed", {}],
    ["checked one by one", { needsInspection: () => true, check: () => "pass" as const }],
  ])("counts what a batch has left when it ends, %s", async (_, host) => {
    const { source, from, to, pump, running } = await chain(host, { sendHighWaterMark: 1 }, "tcp", "inproc");
    pump.pause();
    for (let i = 0; i < 500; i++) await source.send("x".repeat(3_000));
    await until(() => from.stats().receiveQueued > 300, "the messages");
    pump.resume();
    await until(() => pump.inFlight > 2, "a batch without room");
    pump.end();
    await to.close({ linger: 0 });
    await running;
    const { stopped } = pump.counts.dropped;
    expect(stopped).toBeGreaterThan(1);
    const { delivered, dropped } = to.stats();
    expect(delivered + dropped.closed + (stopped as number)).toBe(from.stats().received);
  });

  it("leaves a message that came just as it ends with its socket", async () => {
    const { source, from, pump, running } = await chain({ check: () => "pass" });
    await turn();
    whenItComes(from, () => pump.end());
    await source.send("a");
    await running;
    expect([from.stats().receiveQueued, pump.counts.dropped.stopped]).toEqual([1, undefined]);
  });
});
