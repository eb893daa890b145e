/** Each proxy between peers on both sides, on every engine; what is captured of it, and what large messages leave in memory. */

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../src/engine/select.js";
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Proxy as SocketsProxy,
  Subscriber,
  XPublisher,
} from "../../src/index.js";
import { ForwarderProxy, QueueProxy, SocketProxy, StreamerProxy } from "../../src/proxy/index.js";
import { collect, failure, texts, turn, until } from "../contract/support/wait.js";
import { LONG } from "../support/long.js";
import { ANY, back, eventsOf, front, LIMIT, useWorld } from "./support.js";

let names = 0;

/** Peers a side. */
const PEERS = LONG ? 50 : 20;

describe.each([...ENGINE_NAMES])("engine %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  it("a queue passes requests to workers in turn, and replies to the client that asked", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const served = new Set<number>();
    for (let i = 0; i < PEERS; i++) {
      const worker = world.peer(new Reply({ context }), back(proxy));
      void (async () => {
        for await (const [body] of worker) {
          served.add(i);
          await worker.send([`${body}!`, ""]);
        }
      })();
    }
    await until(() => proxy.stats().backend.peers === PEERS, "the workers");
    await Promise.all(
      Array.from({ length: PEERS }, async (_, i) => {
        const client = world.peer(new Request({ context }), front(proxy));
        for (let n = 0; n < 4; n++)
          expect(texts(await client.request(`${i}.${n}`, { timeout: LIMIT }))).toEqual([`${i}.${n}!`, ""]);
      }),
    );
    expect(served.size).toBe(PEERS);
    const { frontend, backend, unanswered } = proxy.stats();
    expect([frontend.in.messages, frontend.out.messages]).toEqual([4 * PEERS, 4 * PEERS]);
    expect([backend.in.messages, backend.out.messages]).toEqual([4 * PEERS, 4 * PEERS]);
    expect(frontend.in.bytes).toBe(backend.out.bytes);
    expect(unanswered).toBe(0);
  });

  it.skipIf(engine === "libzmq")(
    "the API of zeromq goes on after a send of the program's own, which found no room, has given up",
    async () => {
      const name = (): string => `inproc://own-${names++}`;
      const sink = world.socket(new Pull({ context, receiveHighWaterMark: 1 }));
      const from = world.socket(new Pull({ context }));
      const source = world.peer(new Push({ context }), await from.bind(name()));
      const to = world.peer(new Push({ context, sendHighWaterMark: 1 }), await sink.bind(name()));
      const proxy = new SocketsProxy(from, to);
      const running = proxy.run();
      const sent = Array.from({ length: 50 }, (_, i) => String(i));
      for (const each of sent) await source.send(each);
      await until(() => sink.stats().receiveQueued > 0 && !to.writable, "a back end without room");
      expect(await failure(to.send("own", { timeout: 50 }))).toMatchObject({ code: "EAGAIN" });
      expect(await collect(sink, 50)).toEqual(sent);
      proxy.terminate();
      await running;
    },
  );

  it("a forwarder passes publications to those who asked, and each topic to the publishers once", async () => {
    const proxy = await world.start(new ForwarderProxy(sides));
    const publisher = world.peer(new XPublisher({ context, verbosity: "allSubsUnsubs" }), front(proxy));
    const subscribers = Array.from({ length: PEERS }, (_, i) => {
      const subscriber = world.socket(new Subscriber({ context }));
      subscriber.subscribe("all", `own${i}.`);
      subscriber.connect(back(proxy));
      return subscriber;
    });
    const asked: string[] = [];
    while (asked.length < PEERS + 1) asked.push(String((await publisher.receive({ timeout: LIMIT }))[0]));
    expect(new Set(asked).size).toBe(PEERS + 1);
    await until(() => proxy.stats().backend.peers === PEERS, "the subscribers");
    for (let i = 0; i < PEERS; i++) await publisher.send([`own${i}.`, `${i}`]);
    await publisher.send(["all", "end"]);
    for (const [i, subscriber] of subscribers.entries())
      expect(await collect(subscriber, 2)).toEqual([`own${i}.|${i}`, "all|end"]);
    // Nobody else of many wants what one cancels; the last of "all" cancels it.
    const last = subscribers.pop() as Subscriber;
    await Promise.all(subscribers.map((subscriber) => subscriber.close()));
    await until(() => proxy.stats().backend.peers === 1, "the last subscriber");
    last.unsubscribe("all");
    const ended = new Set<string>();
    while (ended.size < PEERS) ended.add(String((await publisher.receive({ timeout: LIMIT }))[0]));
    expect(ended.has("\0all")).toBe(true);
    expect(ended.has(`\0own${PEERS - 1}.`)).toBe(false);
  });

  it("several endpoints of a side, bound and connected, are one side", async () => {
    const upstream = world.socket(new Push({ context }));
    const downstream = world.socket(new Pull({ context }));
    const frontend = { bind: [ANY, ANY], connect: await upstream.bind(ANY) };
    const backend = { connect: [await downstream.bind(ANY)] };
    const proxy = await world.start(new StreamerProxy({ frontend, backend, context }));
    expect(new Set(proxy.endpoints.frontend).size).toBe(2);
    for (const endpoint of proxy.endpoints.frontend) {
      const push = world.peer(new Push({ context }), endpoint);
      await push.send("bound");
    }
    await upstream.send("connected");
    expect((await collect(downstream, 3)).sort()).toEqual(["bound", "bound", "connected"]);
  });

  it.each([
    ["dealer", "dealer", Dealer, Dealer],
    ["dealer", "pair", Dealer, Pair],
    ["pair", "pair", Pair, Pair],
  ] as const)("between %s and %s messages pass both ways", async (frontend, backend, One, Other) => {
    const ends = { frontend: { type: frontend, bind: ANY }, backend: { type: backend, bind: ANY } };
    const proxy = await world.start(new SocketProxy({ ...ends, context }));
    const one = world.peer(new One({ context }), front(proxy));
    const other = world.peer(new Other({ context }), back(proxy));
    await one.send(["there", "", "x"]);
    expect(texts(await other.receive({ timeout: LIMIT }))).toEqual(["there", "", "x"]);
    await other.send("back");
    expect(texts(await one.receive({ timeout: LIMIT }))).toEqual(["back"]);
  });

  it("a queue the other way round has its clients at the backend", async () => {
    const ends = { frontend: { type: "dealer", bind: ANY }, backend: { type: "router", bind: ANY } } as const;
    const proxy = await world.start(new SocketProxy({ ...ends, context }));
    const client = world.peer(new Request({ context }), back(proxy));
    const worker = world.peer(new Reply({ context }), front(proxy));
    const asked = client.request("?", { timeout: LIMIT });
    await worker.receive({ timeout: LIMIT });
    await worker.send("!");
    expect(texts(await asked)).toEqual(["!"]);
  });

  it("what a sub asks for is published, and nothing else", async () => {
    const publisher = world.socket(new Publisher({ context }));
    const frontend = { type: "sub", connect: await publisher.bind(ANY), subscribe: ["a", "c"] } as const;
    const backend = { type: "pub", bind: ANY } as const;
    const proxy = await world.start(new SocketProxy({ frontend, backend, context }));
    const subscriber = world.socket(new Subscriber({ context }));
    subscriber.subscribe();
    subscriber.connect(back(proxy));
    await publisher.waitForSubscribers({ topic: "c", timeout: LIMIT });
    await until(() => proxy.stats().backend.peers === 1, "the subscriber");
    let heard: string[] = [];
    const hearing = (async () => {
      heard = await collect(subscriber, 2);
    })();
    // A PUB does not say when its subscriber has asked: messages are sent until one arrives.
    await until(() => {
      for (const topic of ["b", "c"]) publisher.trySend(topic);
      return heard.length > 0;
    }, "the news");
    await hearing;
    expect(new Set(heard)).toEqual(new Set(["c"]));
  });

  it("a side that conflates counts what newer messages replace", async () => {
    const backend = { connect: "tcp://127.0.0.1:9", conflate: true };
    const proxy = await world.start(new StreamerProxy({ ...sides, backend }));
    const push = world.peer(new Push({ context }), front(proxy));
    for (let i = 0; i < 3; i++) await push.send(String(i));
    await until(() => proxy.stats().backend.out.messages === 3, "three messages");
    const { dropped } = proxy.stats().backend.out;
    expect(dropped.conflated).toBe(engine === "zmtp" ? 2 : 0);
  });

  it("a reply for a client that has gone is dropped and counted, and the queue goes on", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const drop = new Promise<unknown>((resolve) => proxy.events.on("message:dropped", resolve));
    const worker = world.peer(new Router({ context }), back(proxy));
    const gone = new Dealer({ context });
    gone.connect(front(proxy));
    await gone.send("bye");
    const [hop, ...envelope] = await worker.receive({ timeout: LIMIT });
    await gone.close();
    await until(() => proxy.stats().frontend.peers === 0, "its leaving");
    await worker.send([hop as Buffer, ...envelope]);
    expect(await drop).toMatchObject({ side: "frontend", reason: "unroutable", messages: 1 });
    await worker.send([hop as Buffer, "nobody knows me", "", "x"]);
    await worker.send([hop as Buffer, "only an id"]);
    await until(() => proxy.stats().backend.in.dropped.malformed === 1, "the malformed one");
    const client = world.peer(new Request({ context }), front(proxy));
    const asked = client.request("still there?", { timeout: LIMIT });
    const request = await worker.receive({ timeout: LIMIT });
    await worker.send(request);
    expect(texts(await asked)).toEqual(["still there?"]);
    const { frontend } = proxy.stats();
    expect(frontend.out.dropped).toMatchObject({ unroutable: 2, "peer-full": 0 });
    expect(frontend.out.messages).toBe(1);
    // With the client's routing id, as on the way in.
    expect(frontend.out.bytes).toBe(request.slice(1).reduce((sum, frame) => sum + frame.length, 0));
  });

  it("of replies that came together, the one for a client that has gone is dropped, and it alone", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const drops = eventsOf(proxy, "message:dropped");
    const worker = world.peer(new Router({ context }), back(proxy));
    const [stays, gone] = [world.socket(new Dealer({ context })), new Dealer({ context })];
    const ask = async (client: Dealer): Promise<Buffer[]> => {
      client.connect(front(proxy));
      await client.send("hello");
      return (await worker.receive({ timeout: LIMIT })).slice(0, 2);
    };
    const [toStays, toGone] = [await ask(stays), await ask(gone)];
    await gone.close();
    await until(() => proxy.stats().frontend.peers === 1, "its leaving");
    // In one turn: what is read together is passed on together.
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 5; i++) worker.trySend([...toStays, `reply ${round}.${i} bbbbbbbbbbbbbbbb`]);
      worker.trySend([...toGone, "nobody"]);
    }
    const replies = await collect(stays, 100);
    expect(replies).toEqual(
      Array.from({ length: 100 }, (_, i) => `reply ${Math.floor(i / 5)}.${i % 5} bbbbbbbbbbbbbbbb`),
    );
    await until(() => proxy.stats().frontend.out.dropped.unroutable === 20, "all that were dropped");
    const { frontend, backend } = proxy.stats();
    expect([frontend.out.messages, backend.in.messages]).toEqual([100, 120]);
    expect(drops[0]).toMatchObject({ side: "frontend", reason: "unroutable" });
    const [, id = Buffer.alloc(0)] = toStays;
    expect(frontend.out.bytes).toBe(replies.join("").length + 100 * id.length);
  });

  it("a side without room stops the reading of the other, within the marks", async () => {
    const ends = {
      frontend: { bind: ANY, receiveHighWaterMark: 10 },
      backend: { bind: ANY, sendHighWaterMark: 10 },
    };
    const proxy = await world.start(new StreamerProxy({ ...ends, context }));
    const push = world.peer(new Push({ context, sendHighWaterMark: 10 }), front(proxy));
    const body = Buffer.alloc(10_000);
    let sent = 0;
    let tries = 0;
    // Nobody pulls: the proxy has one message in flight at most and takes what its marks allow, the rest stays with the peer.
    await until(() => {
      tries += 1;
      while (push.trySend(body)) {
        sent += 1;
        tries = 0;
      }
      return sent > 10 && tries > 50;
    }, "a peer without room");
    const { frontend, backend } = proxy.stats();
    expect(frontend.in.messages).toBeLessThanOrEqual(1);
    expect(frontend.in.queued).toBeLessThanOrEqual(10 + 64); // The mark, and what one chunk of bytes brings.
    expect(backend.out.messages).toBe(0);
    const pull = world.peer(new Pull({ context }), back(proxy));
    const received = collect(pull, sent);
    expect((await received).length).toBe(sent);
    expect(proxy.stats().frontend.in.messages).toBe(sent);
  });
});

const TYPES = ["pub", "push"] as const;

describe.each([...ENGINE_NAMES])("engine %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  it.each(TYPES)("a %s has the frames of both directions as they are", async (type) => {
    const proxy = await world.start(new QueueProxy({ ...sides, capture: { type, bind: ANY } }));
    const tap = world.socket(type === "pub" ? new Subscriber({ context }) : new Pull({ context }));
    tap.connect(proxy.endpoints.capture[0] as string);
    if (tap instanceof Subscriber) tap.subscribe();
    const worker = world.peer(new Reply({ context }), back(proxy));
    void (async () => {
      for await (const [body] of worker) await worker.send([body as Buffer, "reply"]);
    })();
    const client = world.peer(new Request({ context, routingId: "client" }), front(proxy));
    await until(() => proxy.stats().capture?.peers === 1, "the tap");
    const seen: Buffer[][] = [];
    void (async () => {
      for (;;) seen.push(await tap.receive());
    })().catch(() => undefined);
    const requests = (): Buffer[][] => seen.filter((frames) => frames.length === 4);
    const replies = (): Buffer[][] => seen.filter((frames) => frames.length === 5);
    // A PUB does not say when its subscriber has asked: requests, until both directions were heard.
    await until(() => {
      void client.request("hi", { timeout: LIMIT }).catch(() => undefined);
      return requests().length > 0 && replies().length > 0;
    }, "a request and a reply");
    for (const [kind, body] of [
      [requests(), ["hi"]],
      [replies(), ["hi", "reply"]],
    ] as const) {
      const [id, , delimiter, ...rest] = kind[0] as Buffer[]; // The second is the request's own id.
      expect([String(id), delimiter?.length, ...rest.map(String)]).toEqual(["client", 0, ...body]);
    }
  });

  it.each(
    TYPES,
  )("a listener of a %s that stops reading slows nothing, and is reported once", async (type) => {
    const capture = { type, bind: ANY, sendHighWaterMark: 5 };
    const proxy = await world.start(new StreamerProxy({ ...sides, capture }));
    const drops = eventsOf(proxy, "capture:dropped");
    const tap = world.socket(new (type === "pub" ? Subscriber : Pull)({ context, receiveHighWaterMark: 5 }));
    tap.connect(proxy.endpoints.capture[0] as string);
    if (tap instanceof Subscriber) tap.subscribe();
    const push = world.peer(new Push({ context }), front(proxy));
    const pull = world.peer(new Pull({ context }), back(proxy));
    await until(() => proxy.stats().capture?.peers === 1, "the tap");
    // Large enough to fill what the kernel takes for a listener that reads nothing.
    const body = Buffer.alloc(100_000);
    let sent = 0;
    let received = 0;
    const limit = performance.now() + LIMIT;
    while ((proxy.stats().capture?.missed ?? 0) < 20 && performance.now() < limit) {
      for (let i = 0; i < 10; i++) await push.send(body);
      sent += 10;
      while (received < sent) {
        await pull.receive({ timeout: LIMIT });
        received += 1;
      }
    }
    const counted = proxy.stats().capture;
    expect(counted?.missed).toBeGreaterThanOrEqual(20);
    expect(counted?.queued).toBeLessThanOrEqual(5 + 64);
    expect(drops).toHaveLength(1);
    expect(proxy.stats().backend.out.messages).toBe(sent);
    if (type === "push") expect((counted?.captured ?? 0) + (counted?.missed ?? 0)).toBe(sent);
  });
});

/** Of each: its number, and bytes that are not those of any other; lengths that fit no pool exactly. */
const COUNT = 300;
const messages = Array.from({ length: COUNT }, (_, i) => {
  const length = [40, 9_000, 33_000, 65_536, 70_001, 140_000][(i * 7) % 6] as number;
  const body = Buffer.alloc(length + (i % 5) * 100, createHash("sha256").update(String(i)).digest());
  body.writeUInt32BE(i);
  return body;
});

const PROBE = Buffer.of(1);

const world = useWorld("zmtp");

it("large messages of all sizes are what they were, through a forwarder to one subscriber that is quick and one that is slow", {
  timeout: 30_000,
}, async () => {
  const proxy = await world.start(
    new ForwarderProxy({ frontend: { bind: ANY }, backend: { bind: ANY, noDrop: true } }),
  );
  const publisher = world.peer(new Publisher({ noDrop: true }), front(proxy));
  const subscribers = await Promise.all(
    [1_000, 2].map(async (receiveHighWaterMark) => {
      const subscriber = world.socket(new Subscriber({ receiveHighWaterMark, receiveTimeout: LIMIT }));
      subscriber.subscribe();
      subscriber.connect(back(proxy));
      return subscriber;
    }),
  );
  // The proxy asks once for both: that both are there is known when both have heard.
  let heard = 0;
  const hearing = subscribers.map((subscriber) => subscriber.receive().then(() => heard++));
  for (; heard < 2; await turn()) await publisher.send(PROBE);
  await Promise.all(hearing);
  const sending = (async () => {
    for (const body of messages) await publisher.send(body);
  })();
  await Promise.all(
    subscribers.map(async (subscriber, which) => {
      for (let i = 0; i < COUNT; i++) {
        let [body] = await subscriber.receive();
        while (body?.length === PROBE.length) [body] = await subscriber.receive();
        if (!body?.equals(messages[i] as Buffer)) expect.fail(`message ${i} is not what was sent`);
        if (which === 1 && i % 10 === 0) for (let k = 0; k < 10; k++) await turn();
      }
    }),
  );
  await sending;
});
