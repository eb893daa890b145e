/** Topics, sizes and rates: what passes, how fast, and that nothing else is lost. */
import { describe, expect, it } from "vitest";
import { Dealer, Publisher, Pull, Push, Router, Subscriber, XPublisher } from "../../../src/index.js";
import type { ProxyPolicy } from "../../../src/proxy/index.js";
import { ForwarderProxy, QueueProxy, SocketProxy, StreamerProxy } from "../../../src/proxy/index.js";
import { CURVE_SERVER, curveClient } from "../../contract/support/keys.js";
import { collect, until, within } from "../../contract/support/wait.js";
import { ANY, back, ENGINES, eventsOf, front, LIMIT, useWorld } from "../support.js";

describe.each(ENGINES)("topics on %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  async function forward(options: Partial<ConstructorParameters<typeof ForwarderProxy>[0]>) {
    const proxy = await world.start(new ForwarderProxy({ ...sides, ...options }));
    const publisher = world.peer(new XPublisher({ context, verbosity: "allSubsUnsubs" }), front(proxy));
    const subscriber = world.peer(new Subscriber({ context }), back(proxy));
    const heard = async (): Promise<string> => {
      const [change] = await publisher.receive({ timeout: LIMIT });
      return `${(change as Buffer)[0] === 1 ? "+" : "-"}${String(change?.subarray(1))}`;
    };
    await until(() => proxy.stats().frontend.peers === 1 && proxy.stats().backend.peers === 1, "both peers");
    return { proxy, publisher, subscriber, heard };
  }

  const each = it.each(["frontend", "backend"] as const);
  each("that are denied at the %s do not pass, nor do their subscriptions", async (side) => {
    const policy = { topics: { deny: ["secret", "news.inside"], allow: ["news", "weather", "secret.not"] } };
    const { proxy, publisher, subscriber, heard } = await forward({ [side]: { bind: ANY, policy } });
    const told = eventsOf(proxy, "policy:refused");
    subscriber.subscribe("secret", "secret.very", "other", "news", "weather", "n");
    for (const topic of ["+secret", "+news", "+weather", "+n"]) expect(await heard()).toBe(topic);
    subscriber.subscribe("weather.x");
    expect(await heard()).toBe("+weather.x");
    for (const topic of ["news.inside.x", "nobody", "secret.not.much", "secret.x", "news.a", "weather"])
      await publisher.send([topic, "body", ""]);
    expect(await collect(subscriber, 3)).toEqual(["secret.not.much|body|", "news.a|body|", "weather|body|"]);
    // Two subscriptions, and three of six messages.
    const other = side === "frontend" ? "backend" : "frontend";
    expect([proxy.stats()[side].refused.topic, proxy.stats()[other].refused.topic]).toEqual([5, 0]);
    expect(told[0]).toEqual({ type: "policy:refused", side, reason: "topic", refused: 1 });
    const { frontend, backend } = proxy.stats();
    expect([frontend.in.messages, backend.out.messages]).toEqual([6, 3]);
  });

  it("that become denied or allowed are taken back from publishers, or passed to them", async () => {
    const { proxy, publisher, subscriber, heard } = await forward({});
    subscriber.subscribe("a", "b", "b.c");
    expect([await heard(), await heard(), await heard()]).toEqual(["+a", "+b", "+b.c"]);
    await proxy.setPolicy("backend", { topics: { deny: ["b"] } });
    expect([await heard(), await heard()]).toEqual(["-b", "-b.c"]);
    subscriber.unsubscribe("b.c");
    subscriber.subscribe("b.d", "e");
    expect(await heard()).toBe("+e");
    await publisher.send(["b.d", "1"]);
    await publisher.send(["a", "2"]);
    expect(await collect(subscriber, 1)).toEqual(["a|2"]);
    await proxy.setPolicy("backend", { topics: { deny: ["a"] } });
    expect([await heard(), await heard(), await heard()].sort()).toEqual(["+b", "+b.d", "-a"]);
    await publisher.send(["b.d", "3"]);
    await publisher.send(["a", "4"]);
    await publisher.send(["e", "5"]);
    expect(await collect(subscriber, 2)).toEqual(["b.d|3", "e|5"]);
  });

  it("that are denied are not captured, and not passed one by one either", async () => {
    const tap = world.socket(new Pull({ context }));
    const { publisher, subscriber, heard } = await forward({
      frontend: { bind: ANY, policy: { topics: { deny: ["b"] } } },
      capture: { type: "push", connect: await tap.bind(ANY) },
    });
    subscriber.subscribe("");
    expect(await heard()).toBe("+");
    for (const topic of ["b", "a", "bb", "c"]) await publisher.send([topic, "x"]);
    expect(await collect(subscriber, 2)).toEqual(["a|x", "c|x"]);
    expect((await collect(tap, 3)).slice(1)).toEqual(["a|x", "c|x"]);
  });

  it("of a side of type sub: what it asks for, and what comes", async () => {
    const policy = { topics: { deny: ["b"] } };
    const frontend = { type: "sub", bind: ANY, subscribe: ["a", "b", ""], policy } as const;
    const backend = { type: "push", bind: ANY } as const;
    const proxy = await world.start(new SocketProxy({ frontend, backend, context }));
    const publisher = world.peer(new XPublisher({ context, verbosity: "allSubsUnsubs" }), front(proxy));
    const sink = world.peer(new Pull({ context }), back(proxy));
    const heard = async (): Promise<string> => String((await publisher.receive({ timeout: LIMIT }))[0]);
    expect([await heard(), await heard()].sort()).toEqual(["\u0001", "\u0001a"]);
    await publisher.send(["b", "1"]);
    await publisher.send(["c", "2"]);
    expect(await collect(sink, 1)).toEqual(["c|2"]);
    await proxy.setPolicy("frontend", {});
    expect(await heard()).toBe("\u0001b");
  });
});

describe("sizes", () => {
  const world = useWorld("zmtp");
  const { context, sides } = world;

  it.each([
    ["plain", { server: {}, client: {} }],
    ["CURVE", { server: CURVE_SERVER, client: curveClient() }],
  ])("past the limit end their peer's connection; a new limit holds for those that are there: %s", async (_, security) => {
    const policy = { limits: { messageSize: 1_000 } };
    const frontend = { bind: ANY, ...security.server, policy };
    const proxy = await world.start(new StreamerProxy({ ...sides, frontend }));
    const told = eventsOf(proxy, "policy:refused");
    const sink = world.peer(new Pull({ context }), back(proxy));
    const push = world.peer(new Push({ context, reconnectInterval: 20, ...security.client }), front(proxy));
    await push.send("x".repeat(1_000));
    expect(await collect(sink, 1)).toEqual(["x".repeat(1_000)]);
    await push.send("x".repeat(1_001));
    await until(() => proxy.stats().frontend.refused.size === 1, "the refusal");
    await until(() => push.stats().reconnects === 1, "another connection");
    await push.send("small");
    expect(await collect(sink, 1)).toEqual(["small"]);
    await proxy.setPolicy("frontend", { limits: { messageSize: 5_000 } });
    await push.send("y".repeat(5_000));
    expect(await collect(sink, 1)).toEqual(["y".repeat(5_000)]);
    await proxy.setPolicy("frontend", { limits: { messageSize: 10 } });
    expect(push.stats().reconnects).toBe(1);
    await push.send("z".repeat(11));
    await until(() => proxy.stats().frontend.refused.size === 2, "the second refusal");
    const size = { type: "policy:refused", side: "frontend", reason: "size", refused: 1 };
    expect(told[0]).toEqual({ ...size, address: "127.0.0.1" });
  });
});

describe("rates", () => {
  const world = useWorld("zmtp");
  const { context, sides } = world;

  /** Sends until it is asked to stop. @returns how many */
  function flood(push: Push, body: string): { stop(): Promise<number> } {
    let sending = true;
    const running = (async () => {
      let sent = 0;
      for (; sending; sent++) await push.send([`${sent}`, body]);
      return sent;
    })();
    return {
      stop: () => {
        sending = false;
        return within(running, "the flood's end");
      },
    };
  }

  function counted(sink: Pull): { readonly order: number[]; at: number } {
    const seen = { order: [] as number[], at: 0 };
    void (async () => {
      for await (const [number] of sink) {
        seen.order.push(Number(number));
        seen.at = performance.now();
      }
    })();
    return seen;
  }

  /** A streamer whose front end has limits, and what pulls from it. */
  async function limited(limits: NonNullable<ProxyPolicy["limits"]>, bind: string = ANY, in_ = context) {
    const frontend = { bind, policy: { limits } };
    const proxy = await world.start(new StreamerProxy({ ...sides, frontend, context: in_ }));
    const sink = world.peer(new Pull({ context }), back(proxy));
    /** Another that sends to it. */
    const join = (): Push => world.peer(new Push({ context }), bind === ANY ? front(proxy) : bind);
    return { proxy, sink, join };
  }

  it("of one peer hold it back, and nobody else; nothing is lost when they are lifted", async () => {
    const { proxy, sink, join } = await limited({ peer: { messages: 600 } });
    const told = eventsOf(proxy, "policy:refused");
    const seen = counted(sink);
    const began = performance.now();
    const push = join();
    const greedy = flood(push, "x".repeat(2_000)); // So that the systems' buffers hold few.
    await until(() => seen.order.length > 200, "a third of a second's worth");
    const seconds = (seen.at - began) / 1_000;
    expect(seen.order.length).toBeLessThanOrEqual(600 * (seconds + 1));
    expect(seconds).toBeGreaterThan(0.25);
    // Another has a rate of its own, and its first message passes at once.
    await join().send("-1");
    await until(() => seen.order.includes(-1), "the other's message");
    await until(() => proxy.stats().frontend.refused.rate > 3, "its being held back");
    expect(told[0]).toEqual({ type: "policy:refused", side: "frontend", reason: "rate", refused: 1 });
    await proxy.setPolicy("frontend", {});
    await until(() => seen.order.length > 1_500, "a flood");
    const sent = await greedy.stop();
    await until(() => seen.order.length === sent + 1, "all of it");
    expect(seen.order.filter((number) => number >= 0)).toEqual(Array.from({ length: sent }, (_, i) => i));
  });

  it.each([
    {
      what: "in bytes",
      bind: ANY,
      peer: { bytes: 1_000_000 },
      body: "x".repeat(10_000),
      least: 0.3,
      // One batch of 64 KiB, or of one message, may go beyond.
      most: (seconds: number) => 100 * (seconds + 1) + 7.5,
    },
    {
      what: "over inproc",
      bind: "inproc://policy-rate",
      peer: { messages: 200 },
      body: "",
      least: 0.15,
      most: (seconds: number) => 200 * (seconds + 1),
    },
  ])("hold for a peer, too: $what", async ({ bind, peer, body, least, most }) => {
    const { proxy, sink, join } = await limited({ peer }, bind);
    const seen = counted(sink);
    const began = performance.now();
    const greedy = flood(join(), body);
    await until(() => seen.order.length > 60, "messages");
    const seconds = (seen.at - began) / 1_000;
    expect(seconds).toBeGreaterThan(least);
    expect(seen.order.length).toBeLessThanOrEqual(most(seconds));
    await proxy.setPolicy("frontend", {});
    const sent = await greedy.stop();
    await until(() => seen.order.length === sent, "all of it");
  });

  it("of a queue's clients leave replies alone", async () => {
    const policy = { limits: { peer: { messages: 250 } } };
    const proxy = await world.start(new QueueProxy({ ...sides, frontend: { bind: ANY, policy } }));
    const worker = world.peer(new Router({ context }), back(proxy));
    const client = world.peer(new Dealer({ context }), front(proxy));
    for (let i = 0; i < 60; i++) await client.send(["", `${i}`]);
    for (let i = 0; i < 60; i++) {
      const [id = "", ...rest] = await worker.receive({ timeout: LIMIT });
      for (let copy = 0; copy < 10; copy++) await worker.send([id, ...rest]);
    }
    for (let i = 0; i < 600; i++) {
      const [, body] = await client.receive({ timeout: LIMIT });
      expect(String(body)).toBe(`${Math.floor(i / 10)}`);
    }
  });

  it("end with their peer: what it left behind passes at once", async () => {
    const { sink, join } = await limited({ peer: { messages: 1 } });
    const push = join();
    for (let i = 0; i < 500; i++) await push.send(`${i}`);
    await push.close();
    expect(await collect(sink, 500)).toEqual(Array.from({ length: 500 }, (_, i) => `${i}`));
  });

  it.each(ENGINES)("of all peers together hold on %s", async (engine) => {
    const { context: other } = engine === "zmtp" ? world : libzmq;
    const { proxy, sink, join } = await limited({ all: { messages: 800 } }, ANY, other);
    const told = eventsOf(proxy, "policy:refused");
    const seen = counted(sink);
    const began = performance.now();
    // Such bodies that the systems' buffers hold few.
    const floods = [1, 2, 3].map(() => flood(join(), "x".repeat(4_000)));
    // Each has its turn, as soon as it is there.
    const begun = (): number => seen.order.filter((number) => number === 0).length;
    await until(() => seen.order.length > 250 && begun() === 3 && told.length > 0, "messages of all");
    const seconds = (seen.at - began) / 1_000;
    expect(seen.order.length).toBeLessThanOrEqual(800 * (seconds + 1));
    expect(seconds).toBeGreaterThan(0.2);
    expect(told[0]).toEqual({ type: "policy:refused", side: "frontend", reason: "rate", refused: 1 });
    // One that is held back can be paused, and changed.
    proxy.pause();
    proxy.resume();
    await proxy.setPolicy("frontend", { limits: { all: { bytes: 1 } } });
    const { rate } = proxy.stats().frontend.refused;
    await until(() => proxy.stats().frontend.refused.rate > rate, "a hold of an hour");
    await proxy.setPolicy("frontend", {});
    await until(() => seen.order.length > 1_500, "a flood");
    const sent = await Promise.all(floods.map((each) => each.stop()));
    await until(() => seen.order.length === sent.reduce((sum, count) => sum + count, 0), "all of it");
  });
  const libzmq = useWorld("libzmq");

  it("do not keep a proxy from being stopped, or drained", async () => {
    for (const limits of [{ all: { messages: 1 } }, { peer: { messages: 1 } }]) {
      for (const end of ["stop", "drain"] as const) {
        const { proxy, join } = await limited(limits);
        const push = join();
        for (let i = 0; i < 50; i++) await push.send("x");
        await until(() => proxy.stats().frontend.refused.rate > 0, "its being held back");
        // What a peer has left behind that was asked to go passes at once; what all may send does not.
        if (end === "drain")
          expect(await proxy.drain({ timeout: 600 })).toMatchObject({ drained: "peer" in limits });
        await within(proxy.close({ linger: 0 }), "its end");
      }
    }
  });

  it("of subscriptions hold for all subscribers together", async () => {
    const policy = { limits: { all: { messages: 500 } } };
    // The rate counts from here on: it begins with one message, and has more the longer nobody sends.
    const began = performance.now();
    const proxy = await world.start(new ForwarderProxy({ ...sides, backend: { bind: ANY, policy } }));
    const publisher = world.peer(new Publisher({ context }), front(proxy));
    let heard = 0;
    publisher.events.on("subscribe", () => void heard++);
    // Each by itself would be there in half of the time.
    for (const name of ["a", "b"]) {
      const subscriber = world.socket(new Subscriber({ context }));
      for (let i = 0; i < 75; i++) subscriber.subscribe(`${name}${i}`);
      subscriber.connect(back(proxy));
    }
    await until(() => heard === 150, "all subscriptions");
    // 149 further ones take 298 ms, however late anybody is.
    expect(performance.now() - began).toBeGreaterThanOrEqual(297);
  });
});
