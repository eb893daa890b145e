/** Snails over real sockets, on every engine: publishers that are faster than they are. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import { Context, Publisher } from "../../../src/index.js";
import { SequencedPublisher } from "../../../src/patterns/sequenced/index.js";
import {
  SuicidalSnail,
  SuicidalSnailError,
  type SuicidalSnailEvent,
  type SuicidalSnailOptions,
} from "../../../src/patterns/suicidal-snail/index.js";
import { failure, until } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { LONG } from "../../support/long.js";
import { missing } from "../../support/peers.js";
import { pythonIn } from "../pirate/python.js";

const LIMIT = { timeout: 8_000 };
const kept = closeAfterEach();

/** Where what is published has arrived. */
const AT_ONCE = "inproc://snail";

/** The machine's clock, and what a test adds to it: a program that was held up. */
class HeldClock {
  held = 0;
  now(): number {
    return performance.now() + this.held;
  }
}

describe.each(ENGINE_NAMES.slice(0, LONG ? undefined : 1))("the suicidal snail, engine %s", (engine) => {
  const context = new Context({ engine });

  async function begin(options: SuicidalSnailOptions, address = "tcp://127.0.0.1:*") {
    const publisher = kept(new SequencedPublisher({ socketOptions: { context } }));
    const endpoint = await publisher.bind(address);
    const clock = new HeldClock();
    const snail = kept(new SuicidalSnail({ clock, ...options, socketOptions: { context } }));
    const events: SuicidalSnailEvent[] = [];
    for (const type of ["lateness:exceeded", "lateness:recovered", "message:invalid"] as const)
      snail.events.on(type, (event) => events.push(event));
    snail.subscribe("");
    snail.connect(endpoint);
    await publisher.waitForSubscribers(LIMIT);
    publisher.publish("a", "0");
    expect((await snail.receive(LIMIT)).sequence).toBe(1);
    const publish = (count: number, topic = "a"): void => {
      for (let i = 0; i < count; i++) publisher.publish(topic, String(i));
    };
    return { publisher, snail, clock, events, publish };
  }

  /** The second of its messages is late. A listener of an event closes the snail. */
  async function oneLate(): Promise<SuicidalSnail> {
    const publisher = kept(new Publisher({ context }));
    const stamp = ([, time]: readonly Buffer[]) => ({ source: "clock", time: Number(time) });
    const snail = kept(new SuicidalSnail({ maxLateness: 500, stamp, socketOptions: { context } }));
    snail.events.on("lateness:exceeded", () => void snail.close());
    snail.subscribe("");
    snail.connect(await publisher.bind("tcp://127.0.0.1:*"));
    await publisher.waitForSubscribers(LIMIT);
    for (const time of [1_000, 300]) await publisher.send(["t", String(time)]);
    return snail;
  }

  it("die: it closes itself, and its owner's loop gets an error that says how late it was", async () => {
    const { snail, clock, publish, events } = await begin({ maxLateness: 500 });
    publish(10);
    const looping = async (): Promise<void> => {
      for await (const _ of snail) clock.held += 300;
    };
    const error = await failure(looping());
    expect(error).toBeInstanceOf(SuicidalSnailError);
    expect(error).toMatchObject({ code: "ETIMEDOUT" });
    expect((error as SuicidalSnailError).lateness).toBeGreaterThan(500);
    expect(events).toMatchObject([{ type: "lateness:exceeded", policy: "die" }]);
    expect(snail.closed).toBe(true);
    expect((await failure(snail.receive())).code).toBe("EBADF");
    const { received, delivered, dropped, waiting } = snail.stats();
    expect(received).toBe(delivered + dropped + waiting);
  });

  it("event: everything is handed over; one event when it becomes late, one when it is in time again", async () => {
    const { snail, clock, publish, events } = await begin({ policy: "event", maxLateness: 500 });
    publish(5);
    await snail.receive(LIMIT);
    clock.held += 700;
    for (let i = 0; i < 4; i++) await snail.receive(LIMIT);
    clock.held -= 700;
    publish(1);
    await snail.receive(LIMIT);
    expect(events.map(({ type }) => type)).toEqual(["lateness:exceeded", "lateness:recovered"]);
    expect(snail.stats()).toMatchObject({ delivered: 7, late: 1 });
  });

  it("event: of messages that are late and in time by turns one is reported in each `holdOff`", async () => {
    const { snail, clock, publish, events } = await begin({ policy: "event", maxLateness: 500 }, AT_ONCE);
    for (let turn = 0; turn < 10; turn++) {
      publish(2);
      clock.held += 700;
      await snail.receive(LIMIT);
      clock.held -= 700;
      await snail.receive(LIMIT);
    }
    expect(events.map(({ type }) => type)).toEqual(["lateness:exceeded", "lateness:recovered"]);
    clock.held += 1_000;
    publish(1);
    clock.held += 700;
    await snail.receive(LIMIT);
    expect(snail.stats()).toMatchObject({ delivered: 22, late: 2 });
  });

  it("die: a listener that closes it does not hide its death", async () => {
    const snail = await oneLate();
    await snail.receive(LIMIT);
    await expect(snail.receive(LIMIT)).rejects.toBeInstanceOf(SuicidalSnailError);
  });

  it("a queue that is too long is lateness, where it has a bound", async () => {
    const { snail, publish } = await begin({ policy: "die", maxQueue: 5 }, AT_ONCE);
    publish(200);
    const reading = async (): Promise<void> => {
      for (;;) await snail.receive(LIMIT);
    };
    const error = await failure(reading());
    expect(error).toMatchObject({ code: "ETIMEDOUT", lateCause: "slow" });
    expect((error as SuicidalSnailError).queued).toBeGreaterThan(5);
  });

  it("messages without a stamp are an event and a counter, whatever the program's function does", async () => {
    const { snail, publish } = await begin({});
    const liar = kept(new Publisher({ context }));
    await liar.bind("tcp://127.0.0.1:*");
    snail.connect(liar.lastEndpoint as string);
    await liar.waitForSubscribers(LIMIT);
    const reading = snail.receive(LIMIT);
    await liar.send("nonsense");
    await liar.send(["a", "b", "c"]);
    await until(() => snail.stats().invalid === 2, "two events");
    publish(1);
    expect(await reading).toMatchObject({ sequence: 2 });
    const stamp = (): never => {
      throw new Error("a fault of the program");
    };
    const strict = kept(new SuicidalSnail({ stamp, socketOptions: { context } }));
    strict.subscribe();
    strict.connect(liar.lastEndpoint as string);
    await liar.waitForSubscribers({ count: 2, ...LIMIT });
    const waiting = failure(strict.receive({ timeout: 300 }));
    await liar.send("x");
    expect((await waiting).code).toBe("EAGAIN");
    expect(strict.stats().invalid).toBe(1);
  });

  it.skipIf(missing("pyzmq"))(
    "dies of the Guide's publisher in pyzmq, whose clock is an hour off",
    async () => {
      const child = pythonIn(kept)("late_publisher.py");
      const clock = new HeldClock();
      const stamp = ([frame]: readonly Buffer[]) => ({ source: "guide", time: Number(frame) });
      const options = { clock, maxLateness: 60_000, stamp, socketOptions: { context } };
      const snail = kept(new SuicidalSnail(options));
      snail.subscribe();
      snail.connect(`tcp://127.0.0.1:${await child.line()}`);
      for (let i = 0; i < 50; i++) expect((await snail.receive(LIMIT)).lateness).toBeLessThan(60_000);
      clock.held += 120_000;
      expect(await failure(snail.receive(LIMIT))).toBeInstanceOf(SuicidalSnailError);
    },
  );
});
