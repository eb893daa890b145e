import { expect, it } from "vitest";
import { describeEngines, describeTransports, itIf } from "./support/engines.js";
import { arrives, collect, failure, texts, within } from "./support/wait.js";

describeTransports("publisher and subscriber", (world) => {
  it("with waitForSubscribers and ready the first message is never lost, over 50 fresh pairs", async () => {
    for (let i = 0; i < 50; i++) {
      const [publisher, subscriber] = [world.publisher(), world.subscriber()];
      subscriber.subscribe("topic");
      if (i % 2 === 0) await world.link(publisher, subscriber);
      else await world.link(subscriber, publisher);
      await within(subscriber.ready(), `ready ${i}`);
      await publisher.waitForSubscribers({ topic: "topic", timeout: 4_000 });
      await publisher.send(["topic", String(i)]);
      expect(texts(await subscriber.receive({ timeout: 4_000 }))).toEqual(["topic", String(i)]);
      await Promise.all([publisher.close({ linger: 0 }), subscriber.close({ linger: 0 })]);
    }
  });

  it("waits for the topic and the number that were asked for", async () => {
    const publisher = world.publisher();
    const subscribers = [world.subscriber(), world.subscriber(), world.subscriber()];
    await world.link(publisher, ...subscribers);
    subscribers[0]?.subscribe("a");
    await publisher.waitForSubscribers({ topic: "abc", timeout: 4_000 });
    for (const wait of [{ topic: "b" }, { topic: "" }, { topic: "a", count: 2 }, { count: 2 }])
      expect((await failure(publisher.waitForSubscribers({ ...wait, timeout: 10 }))).code).toBe("ETIMEDOUT");
    const two = publisher.waitForSubscribers({ topic: "abc", count: 2, timeout: 4_000 });
    subscribers[1]?.subscribe("ab");
    await two;
    const three = publisher.waitForSubscribers({ topic: Buffer.from("abc"), count: 3, timeout: 4_000 });
    subscribers[2]?.subscribe("");
    await three;
    await publisher.send("abc");
    for (const subscriber of subscribers) expect(await collect(subscriber, 1)).toEqual(["abc"]);
  });

  it("a prefix that a publisher would not take is refused where it is given, and none of the call's is set", async () => {
    const [publisher, subscriber] = [world.publisher(), world.subscriber()];
    await world.link(publisher, subscriber);
    subscriber.subscribe("x".repeat(1_024));
    const call = (): void => subscriber.subscribe("short", "é".repeat(513));
    if (world.context.engine === "zmtp") expect(call).toThrow(/at most 1024 bytes .* got 1026/);
    await publisher.waitForSubscribers({ timeout: 4_000 });
    await publisher.send("short");
    await publisher.send("x".repeat(1_100));
    expect(await collect(subscriber, 1)).toEqual(["x".repeat(1_100)]);
  });

  it("subscribers that unsubscribe or leave no longer count", async () => {
    const [publisher, one, two] = [world.publisher(), world.subscriber(), world.subscriber()];
    await world.link(publisher, one, two);
    one.subscribe("a");
    two.subscribe("a");
    await publisher.waitForSubscribers({ topic: "a", count: 2, timeout: 4_000 });
    const unsubscribed = new Promise<void>((resolve) => {
      let left = 2;
      publisher.events.on("unsubscribe", () => {
        left -= 1;
        if (left === 0) resolve();
      });
    });
    one.unsubscribe("a");
    await two.close({ linger: 0 });
    await within(unsubscribed, "both unsubscribed");
    expect((await failure(publisher.waitForSubscribers({ topic: "a", timeout: 10 }))).code).toBe("ETIMEDOUT");
  });

  it("a topic is a prefix, subscribed any number of times, and taken back as often", async () => {
    const [publisher, subscriber] = await world.linked(world.publisher(), world.subscriber());
    subscriber.subscribe("a", "b", Buffer.from([0xff]));
    subscriber.subscribe("a");
    subscriber.subscribe("end");
    await publisher.waitForSubscribers({ topic: "end", timeout: 4_000 });
    const publish = async (): Promise<string[]> => {
      for (const topic of ["a1", "c1", "b1", "A1", Buffer.from([0xff, 0x41]), "end"])
        await publisher.send(topic);
      const got: string[] = [];
      while (got.at(-1) !== "end") got.push(...(await collect(subscriber, 1)));
      return got;
    };
    expect(await publish()).toEqual(["a1", "b1", "\ufffdA", "end"]);
    subscriber.unsubscribe("b", Buffer.from([0xff]));
    subscriber.unsubscribe("a"); // One of two.
    expect(await publish()).toEqual(["a1", "end"]);
    subscriber.unsubscribe("a");
    expect(await publish()).toEqual(["end"]);
    subscriber.subscribe("c");
    await publisher.waitForSubscribers({ topic: "c", timeout: 4_000 });
    expect(await publish()).toEqual(["c1", "end"]);
  });
});

describeEngines("waitForSubscribers", (world) => {
  it("counts subscriptions with conflate, too, where the engine sees them, and is NOT_SUPPORTED elsewhere", async () => {
    const [publisher, subscriber] = [world.publisher({ conflate: true }), world.subscriber()];
    if (world.engine === "libzmq") {
      expect((await failure(publisher.waitForSubscribers({ timeout: 10 }))).code).toBe("NOT_SUPPORTED");
      return;
    }
    await world.link(publisher, subscriber);
    subscriber.subscribe("a", "b", "c");
    for (const topic of ["a", "b", "c"]) await publisher.waitForSubscribers({ topic, timeout: 4_000 });
    subscriber.unsubscribe("b");
    subscriber.subscribe("d");
    await publisher.waitForSubscribers({ topic: "d", timeout: 4_000 });
    expect((await failure(publisher.waitForSubscribers({ topic: "b", timeout: 10 }))).code).toBe("ETIMEDOUT");
    await publisher.send("b");
    await arrives("d", publisher, subscriber);
  });

  it("refuses a count and a topic that are invalid", async () => {
    const publisher = world.publisher();
    for (const count of [0, -1, 1.5, "2"] as never[])
      expect((await failure(publisher.waitForSubscribers({ count }))).code).toBe("EINVAL");
    for (const topic of [5, {}, null] as never[])
      expect((await failure(publisher.waitForSubscribers({ topic, timeout: 10 }))).code).toBe("EINVAL");
    const subscriber = world.subscriber();
    for (const prefix of [5, {}, null, undefined] as never[]) {
      expect(() => subscriber.subscribe(prefix)).toThrow(expect.objectContaining({ code: "EINVAL" }));
      expect(() => subscriber.unsubscribe("a", prefix)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    }
  });

  it("ends with the socket", async () => {
    const publisher = world.publisher();
    const waiting = failure(publisher.waitForSubscribers());
    await publisher.close();
    expect((await waiting).code).toBe("EAGAIN");
    expect((await failure(publisher.waitForSubscribers())).code).toBe("EBADF");
  });
});

describeEngines("ready", (world) => {
  const itHears = itIf(world.engine, ({ peerEvents }) => peerEvents.includes("tcp"), "reports no peers");

  itHears("counts the peers asked for, on the side that binds, too", async () => {
    const pull = world.pull();
    const pushes = [world.push(), world.push()];
    const endpoint = await world.bind(pull);
    expect((await failure(pull.ready({ peers: 1, timeout: 10 }))).code).toBe("ETIMEDOUT");
    pushes[0]?.connect(endpoint);
    await within(pull.ready({ peers: 1 }), "one peer");
    expect((await failure(pull.ready({ peers: 2, timeout: 20 }))).code).toBe("ETIMEDOUT");
    pushes[1]?.connect(endpoint);
    await within(pull.ready({ peers: 2 }), "two peers");
    expect(pull.stats().peers).toBe(2);
  });

  it("waits for every endpoint that the socket connects to", async () => {
    const [pull, first, second] = [world.pull(), world.push(), world.push()];
    const later = await world.bind(second);
    await second.unbind(later);
    await world.link(first, pull);
    pull.connect(later);
    expect((await failure(pull.ready({ timeout: 20 }))).code).toBe("ETIMEDOUT");
    await second.bind(later);
    await within(pull.ready(), "both");
  });

  it("refuses an invalid number of peers", async () => {
    const pull = world.pull();
    for (const peers of [0, -1, 1.5, Number.NaN, "1"] as never[])
      expect((await failure(pull.ready({ peers, timeout: 10 }))).code).toBe("EINVAL");
  });
});
