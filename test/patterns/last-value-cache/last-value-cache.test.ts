/**
 * The cache between real sockets: on every engine, as one of a pair, and whom a snapshot goes to: to the joiner alone where the
 * engine can, whatever program the subscribers are; it waits for the joiner's room, and ends with it. An old subscriber's next
 * message is the live one: nothing came in between.
 */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import { Context, Publisher, Subscriber, type SubscriberOptions, XSubscriber } from "../../../src/index.js";
import type { PublisherGate } from "../../../src/kit/index.js";
import { BinaryStar, BinaryStarGate } from "../../../src/patterns/binary-star/index.js";
import { LastValueCache, type LastValueCacheOptions } from "../../../src/patterns/last-value-cache/index.js";
import { collect, until, within } from "../../contract/support/wait.js";
import { NO_PYTHON, startPython } from "../../interop/python-peer.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const ANY = "tcp://127.0.0.1:*";
const kept = closeAfterEach();

/** A publisher, and subscribers that come when a test says so. @param endpoint of the backend */
async function startCache(context: Context, options: LastValueCacheOptions = {}, endpoint = ANY) {
  const { backendOptions, ...others } = options;
  const cache = kept(
    new LastValueCache({
      ...others,
      frontendOptions: { context },
      backendOptions: { context, ...backendOptions },
    }),
  );
  const frontend = await cache.bind("frontend", ANY);
  const publisher = kept(new Publisher({ context, sendHighWaterMark: 100_000 }));
  publisher.connect(frontend);
  await publisher.waitForSubscribers({ timeout: 8_000 });
  const backend = await cache.bind("backend", endpoint);
  const subscribe = (prefix: string, its: SubscriberOptions = {}): Subscriber => {
    const subscriber = kept(new Subscriber({ context, receiveHighWaterMark: 100_000, ...its }));
    subscriber.subscribe(prefix);
    subscriber.connect(backend);
    return subscriber;
  };
  /** Until the cache has them. @param messages with `|` between their frames */
  const publish = async (...messages: string[]): Promise<void> => {
    const count = cache.stats().messages + messages.length;
    for (const message of messages) await publisher.send(message.split("|"));
    await until(() => cache.stats().messages >= count, "the messages");
  };
  return { cache, publisher, frontend, backend, subscribe, publish };
}

describe.each([...ENGINE_NAMES])("the last value cache, engine %s", (engine) => {
  const context = new Context({ engine });
  const start = (options?: LastValueCacheOptions) => startCache(context, options);

  it("a joiner gets every topic beneath its prefixes, in byte order, with all frames", async () => {
    const { publish, subscribe, cache } = await start();
    await publish("b/2|x||y", "a/1|x||y", "b/1|x||y", "b|x||y", "c|x||y");
    const sent = new Promise((resolve) => cache.events.on("snapshot:sent", ({ topics }) => resolve(topics)));
    expect(await collect(subscribe("b"), 3)).toEqual(["b|x||y", "b/1|x||y", "b/2|x||y"]);
    expect(await within(sent, "a snapshot")).toBe(3);
    const all = await collect(subscribe(""), 5);
    expect(all.map((text) => text.split("|")[0])).toEqual(["a/1", "b", "b/1", "b/2", "c"]);
  });

  it("a subscription of nothing known brings nothing, and the first message of such a topic comes", async () => {
    const { publisher, subscribe, cache } = await start();
    const subscriber = subscribe("new");
    await until(() => cache.stats().snapshots.done === 1, "the snapshot of nothing");
    await publisher.send(["new", "1"]);
    expect(await collect(subscriber, 1)).toEqual(["new|1"]);
    expect(cache.stats()).toMatchObject({ subscriptions: 1, snapshots: { values: 0 } });
  });

  it("a snapshot of 5,000 topics arrives whole, in pieces, while live messages pass", async () => {
    const { publisher, publish, subscribe } = await start();
    const names = Array.from({ length: 5_000 }, (_, i) => `t${String(i).padStart(5, "0")}`);
    await publish(...names.map((name) => `${name}|1`));
    const subscriber = subscribe("t");
    const seen = new Map<string, string>();
    let sent = false;
    while (seen.size < names.length + 1) {
      for (const [topic, value] of await subscriber.receiveMany({ timeout: 8_000 }))
        seen.set(String(topic), String(value));
      if (sent) continue;
      sent = true;
      await publisher.send(["tlive", "1"]);
    }
    expect(seen.size).toBe(names.length + 1);
  });

  it("gives the value of a topic to its second subscriber, too", async () => {
    const { publish, subscribe } = await start();
    await publish("a|1");
    const first = subscribe("a");
    expect(await collect(first, 1)).toEqual(["a|1"]);
    expect(await collect(subscribe("a"), 1)).toEqual(["a|1"]);
    await publish("a|2");
    // libzmq cannot send to one alone: the other gets it again, and nothing older.
    const again = engine === "libzmq" ? ["a|1"] : [];
    expect(await collect(first, again.length + 1)).toEqual([...again, "a|2"]);
  });

  it("messages that it cannot keep pass, with an event and a counter", async () => {
    const { cache, publish, subscribe } = await start({ maxValueBytes: 10 });
    const told: string[] = [];
    cache.events.on("message:uncached", ({ topic, reason }) => told.push(`${topic} ${reason}`));
    const subscriber = subscribe("");
    await until(() => cache.stats().subscriptions === 1, "the subscription");
    const long = "t".repeat(1_025);
    await publish("alone", `large|${"x".repeat(11)}`, `${long}|x`);
    expect((await collect(subscriber, 3))[0]).toBe("alone");
    expect(told).toEqual(["alone single-frame", "large value-too-large", `${long} topic-too-long`]);
    expect(cache.stats()).toMatchObject({ topics: 0, messages: 3 });
  });

  it("what a subscriber sends that is no subscription is an event, and harms nobody", async () => {
    const { cache, publisher, subscribe, backend } = await start();
    const rude = kept(new XSubscriber({ context }));
    rude.connect(backend);
    await rude.send("\u0001a");
    await until(() => cache.stats().subscriptions === 1, "its subscription");
    await rude.send("nonsense");
    await rude.send(["\u0001", "two frames"]);
    await until(() => cache.stats().invalid === 2, "two events");
    const subscriber = subscribe("a");
    await until(() => cache.stats().subscriptions === 2, "the other's subscription");
    await publisher.send(["a", "1"]);
    expect(await collect(subscriber, 1)).toEqual(["a|1"]);
  });

  it("delete forgets a topic until its next message", async () => {
    const { cache, publish } = await start();
    await publish("a|1");
    expect(cache.get("a")?.map(String)).toEqual(["a", "1"]);
    expect([cache.delete("a"), cache.delete("a"), cache.get("a")]).toEqual([true, false, undefined]);
  });

  it("has room for as many topics as it may be given", async () => {
    const { cache, publish } = await start({ maxTopics: 2_147_483_647 });
    await publish("a|1");
    expect(cache.get("a")?.map(String)).toEqual(["a", "1"]);
  });

  it("asks publishers only for the topics that it was given", async () => {
    const { cache, publisher, frontend, backend } = await start({ topics: ["a"] });
    const second = await cache.bind("backend", ANY);
    expect(cache.endpoints).toEqual({ frontend: [frontend], backend: [backend, second] });
    await publisher.send(["b", "1"]);
    await publisher.send(["a", "1"]);
    await until(() => cache.stats().topics === 1, "a value");
    expect(cache.stats().messages).toBe(1);
  });
});

const zmtp = new Context({ engine: "zmtp" });

async function start(options?: LastValueCacheOptions, endpoint?: string) {
  const started = await startCache(zmtp, options, endpoint);
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

class Switch implements PublisherGate {
  votes = 0;
  #serving = false;
  #listener = (): void => undefined;

  isServing(): boolean {
    return this.#serving;
  }

  vote(): boolean {
    this.votes += 1;
    return this.#serving;
  }

  onServing(listener: () => void): void {
    this.#listener = listener;
  }

  turn(serving: boolean): void {
    this.#serving = serving;
    if (serving) this.#listener();
  }
}

describe.each([...ENGINE_NAMES])("a cache behind a gate, engine %s", (engine) => {
  const context = new Context({ engine });

  async function start() {
    const gate = new Switch();
    const { cache, publish, subscribe } = await startCache(context, { gate });
    const joined = async (prefix: string): Promise<Subscriber> => {
      const before = cache.stats().subscriptions;
      const subscriber = subscribe(prefix);
      await until(() => cache.stats().subscriptions > before, "the subscription");
      return subscriber;
    };
    return { gate, cache, publish, joined };
  }

  async function untilValue(subscriber: Subscriber, last: string): Promise<string[]> {
    const values: string[] = [];
    while (values.at(-1) !== last) values.push(...(await collect(subscriber, 1)));
    return values;
  }

  it("keeps what it does not pass on, and gives all of it to each subscriber when it serves", async () => {
    const { gate, cache, publish, joined } = await start();
    const early = await joined("");
    await publish("a|1", "b|1", "a|2");
    expect(gate.votes).toBeGreaterThan(0);
    expect(cache.stats()).toMatchObject({ messages: 3, notServing: 3, topics: 2 });
    const late = await joined("b");
    expect(cache.stats().snapshots).toMatchObject({ done: 0, waiting: 0 });
    gate.turn(true);
    expect(await untilValue(early, "b|1")).toEqual(["a|2", "b|1"]);
    expect(await untilValue(late, "b|1")).toEqual(["b|1"]);
    await publish("b|2");
    expect(await untilValue(early, "b|2")).toEqual(["b|2"]);
    expect(await untilValue(late, "b|2")).toEqual(["b|2"]);
    gate.turn(false);
    await publish("b|3");
    expect(cache.stats().notServing).toBe(4);
    gate.turn(true);
    expect(await untilValue(late, "b|3")).toContain("b|3");
  });
});

it("a backup takes over from a primary that is gone, and nobody misses the last value", async () => {
  const states = { primary: "inproc://lvc-primary", backup: "inproc://lvc-backup" };
  const begin = async (role: "primary" | "backup") => {
    const peer = states[role === "primary" ? "backup" : "primary"];
    const star = kept(new BinaryStar({ role, peer, heartbeatInterval: 50 }));
    const cache = kept(new LastValueCache({ gate: new BinaryStarGate(star) }));
    const frontend = await cache.bind("frontend", ANY);
    const backend = await cache.bind("backend", ANY);
    await star.bind(states[role]);
    return { star, cache, frontend, backend };
  };
  const primary = await begin("primary");
  const backup = await begin("backup");
  await until(() => primary.star.state === "active" && backup.star.state === "passive", "the pair");
  const publisher = kept(new Publisher());
  publisher.connect(primary.frontend);
  publisher.connect(backup.frontend);
  const subscriber = kept(new Subscriber());
  subscriber.subscribe("");
  subscriber.connect(primary.backend);
  subscriber.connect(backup.backend);
  const subscriptions = (): number =>
    primary.cache.stats().subscriptions + backup.cache.stats().subscriptions;
  await until(() => subscriptions() === 2, "both subscriptions");
  await publisher.waitForSubscribers({ count: 2, timeout: 8_000 });
  await publisher.send(["a", "1"]);
  expect(await collect(subscriber, 1)).toEqual(["a|1"]);
  await until(() => backup.cache.stats().topics === 1, "the value at the backup");
  await primary.star.close();
  await primary.cache.close({ linger: 0 });
  // Each message is a vote; the backup serves once its peer has been silent long enough.
  for (let i = 2; backup.star.state !== "active"; i++) {
    await publisher.send(["a", String(i)]);
    await until(() => backup.cache.stats().messages >= i, "the message");
  }
  await publisher.send(["b", "1"]);
  const wanted = new Set([backup.cache.get("a")?.map(String).join("|"), "b|1"]);
  while (wanted.size > 0) for (const message of await collect(subscriber, 1)) wanted.delete(message);
});
