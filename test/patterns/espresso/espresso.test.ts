/** Taps and listeners at a real proxy. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import {
  Context,
  Proxy as MessageProxy,
  Publisher,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "../../../src/index.js";
import {
  EspressoListener,
  type EspressoListenerOptions,
  EspressoTap,
  type EspressoTapOptions,
} from "../../../src/patterns/espresso/index.js";
import { texts, until } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { LONG } from "../../support/long.js";

const ANY = "tcp://127.0.0.1:*";
const kept = closeAfterEach();

describe.each(ENGINE_NAMES.slice(0, LONG ? undefined : 1))("Espresso, engine %s", (engine) => {
  const context = new Context({ engine });

  async function startTap(options: EspressoTapOptions = {}): Promise<EspressoTap> {
    const tap = kept(new EspressoTap({ ...options, socketOptions: { context, ...options.socketOptions } }));
    await tap.bind(ANY);
    return tap;
  }

  /** A listener whose subscriptions have arrived. */
  async function listen(tap: EspressoTap, options: EspressoListenerOptions = {}): Promise<EspressoListener> {
    const before = tap.stats().subscriptions;
    const socketOptions = { context, ...options.socketOptions };
    const listener = kept(new EspressoListener(tap.endpoints, { ...options, socketOptions }));
    await until(() => tap.stats().subscriptions > before, "the listener's subscription");
    return listener;
  }

  /** Publisher, proxy with a tap, subscriber. */
  async function startForwarder(tap: EspressoTap) {
    const frontend = kept(new XSubscriber({ context }));
    const backend = kept(new XPublisher({ context }));
    await frontend.bind(ANY);
    await backend.bind(ANY);
    const proxy = new MessageProxy(frontend, backend, tap.capture);
    const running = proxy.run();
    const publisher = kept(new Publisher({ context }));
    publisher.connect(frontend.lastEndpoint as string);
    const subscriber = kept(new Subscriber({ context }));
    subscriber.subscribe("");
    subscriber.connect(backend.lastEndpoint as string);
    await publisher.waitForSubscribers();
    return { proxy, running, publisher, subscriber };
  }

  it("shows what passes a forwarder, subscriptions too", async () => {
    const tap = await startTap();
    const listener = await listen(tap);
    const { proxy, running, publisher, subscriber } = await startForwarder(tap);
    await publisher.send(["weather", '{"t":7}']);
    await subscriber.receive();
    const subscription = await listener.receive({ timeout: 5_000 });
    expect([subscription.from, texts([...subscription.frames])]).toEqual(["backend", ["\u0001"]]);
    const record = await listener.receive({ timeout: 5_000 });
    expect(record).toMatchObject({ from: "frontend", frameCount: 2, size: 14, truncated: false });
    expect(texts([...record.frames])).toEqual(["weather", '{"t":7}']);
    expect(Math.abs(Date.now() - record.time)).toBeLessThan(10_000);
    expect(listener.stats()).toMatchObject({ received: 2, raw: 0 });
    proxy.terminate();
    await running;
  });

  it("hears of subscriptions however long none comes", async () => {
    const tap = await startTap({ socketOptions: { receiveTimeout: 0 } });
    for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
    await listen(tap);
  });

  it("shows a message that its context has no room for with a trailer, and the proxy goes on", async () => {
    const small = new Context({ engine, maxMessageSize: 1_000 });
    const tap = await startTap({ socketOptions: { context: small } });
    const listener = await listen(tap);
    const { proxy, running, publisher, subscriber } = await startForwarder(tap);
    expect(await listener.receive({ timeout: 5_000 })).toMatchObject({ from: "backend", size: 1 });
    for (const bytes of [990, 991]) {
      await publisher.send(Buffer.alloc(bytes));
      await subscriber.receive({ timeout: 5_000 });
      expect((await listener.receive({ timeout: 5_000 })).size).toBe(bytes);
    }
    proxy.terminate();
    await running;
  });

  it("never waits for a slow listener, and counts what it missed", async () => {
    const tap = await startTap({ socketOptions: { sendHighWaterMark: 10 } });
    const listener = await listen(tap, { socketOptions: { receiveHighWaterMark: 10 } });
    const body = Buffer.alloc(20_000);
    for (let i = 0; i < 5_000; i++) {
      tap.capture("frontend", [Buffer.from("t"), body]);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(tap.stats().published).toBe(5_000);
    const dropped = tap.stats().socket.copies?.dropped;
    if (dropped === undefined) return; // The engine cannot count them.
    expect(dropped).toBeGreaterThan(0);
    const missing = (): number => 5_000 - dropped - listener.stats().received;
    while (missing() > 0) await listener.receiveMany({ timeout: 5_000 });
    expect(missing()).toBe(0);
  });

  it("is heard by a SUB that knows nothing of it, and hears a capture that knows nothing of it", async () => {
    const tap = await startTap();
    const subscriber = kept(new Subscriber({ context }));
    subscriber.subscribe("t");
    subscriber.connect(tap.endpoints[0] as string);
    await until(() => tap.stats().subscriptions === 1, "the subscriber");
    tap.capture("backend", [Buffer.from("t"), Buffer.from("body")]);
    const [topic, body, trailer, ...more] = await subscriber.receive({ timeout: 5_000 } as never);
    expect([String(topic), String(body), trailer?.length, more]).toEqual(["t", "body", 32, []]);

    const capture = kept(new Publisher({ context }));
    await capture.bind(ANY);
    const endpoint = capture.lastEndpoint as string;
    const listener = kept(new EspressoListener(endpoint, { socketOptions: { context } }));
    await capture.waitForSubscribers();
    await capture.send(["t", "SHOALTAP, but no trailer"]);
    await capture.send("SHOALTAP");
    const record = await listener.receive({ timeout: 5_000 });
    expect(record).toMatchObject({ from: undefined, frameCount: 2, size: 25, truncated: false });
    await listener.receive({ timeout: 5_000 });
    expect(listener.stats()).toMatchObject({ raw: 2, received: 2 });
  });

  it("ends loops and waits when it is closed, and then ignores the proxy", async () => {
    const tap = await startTap();
    const listener = await listen(tap);
    await expect(listener.receive({ timeout: 10 })).rejects.toMatchObject({ code: "EAGAIN" });
    await expect(listener.receive({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "ABORT_ERR",
    });
    const heard: string[] = [];
    for (const text of ["one", "two", "three"]) tap.capture("backend", [Buffer.from(text)]);
    for await (const { frames } of listener) {
      heard.push(String(frames[0]));
      await listener.close();
    }
    expect(heard).toEqual(["one"]);
    const { passed } = tap.stats();
    await tap.close();
    tap.capture("backend", [Buffer.from("two")]);
    expect(tap.stats().passed).toBe(passed);
  });
});

describe("Espresso", () => {
  it("reports listeners, and takes the messages that the program gives it", async () => {
    const tap = kept(new EspressoTap());
    await tap.bind(ANY);
    const events: string[] = [];
    tap.events.on("prefix:subscribed", ({ prefix }) => events.push(`+${prefix}`));
    tap.events.on("prefix:unsubscribed", ({ prefix }) => events.push(`-${prefix}`));
    const listener = kept(new EspressoListener(tap.endpoints, { topics: ["t", Buffer.from("u")] }));
    await until(() => events.length === 2, "the subscriptions");
    for (const topic of ["a", "t", "u"]) tap.capture("frontend", [Buffer.from(topic)]);
    const heard = [await listener.receive({ timeout: 5_000 }), await listener.receive({ timeout: 5_000 })];
    expect(heard.map(({ frames }) => String(frames))).toEqual(["t", "u"]);
    await listener.close();
    await until(() => events.length === 4, "the end of the subscriptions");
    expect(events.toSorted()).toEqual(["+t", "+u", "-t", "-u"]);
    expect(tap.stats()).toMatchObject({ passed: 3, unheard: 1, published: 2 });
  });

  it("refuses topics that are none", () => {
    for (const topics of [1, [1]])
      expect(() => new EspressoListener(ANY.replace("*", "1"), { topics: topics as never })).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
  });

  it.each([
    { manual: true },
    { verbosity: "allSubs" },
    { invertMatching: true },
  ] as const)("refuses the option %o of its socket, with which it could not tell what has listeners", (socketOptions) => {
    expect(() => kept(new EspressoTap({ socketOptions }))).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
  });

  it("is refused by a proxy when it is no function", () => {
    const sockets = [kept(new XSubscriber()), kept(new XPublisher())] as const;
    expect(() => new MessageProxy(...sockets, {} as never)).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
  });
});
