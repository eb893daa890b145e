import { expect, it } from "vitest";
import type { Publisher, XSubscriber } from "../../src/index.js";
import { describeTransports, itIf } from "./support/engines.js";
import { arrives, collect, failure, nextEvent, texts, thrown, turn, until, within } from "./support/wait.js";

const subscribe = (socket: XSubscriber, topic: string): Promise<void> => socket.send(`\u0001${topic}`);
const unsubscribe = (socket: XSubscriber, topic: string): Promise<void> => socket.send(`\0${topic}`);

/** More than the systems' buffers hold of a noDrop test's messages. */
const MOST = 5_000;

/**
 * Sends until a message waits for room: the system takes some of what waits a while after it was full, and the next one
 * waits then.
 *
 * @param hasRead whether those that read have all that went so far: until then a send may wait for them
 * @returns the send that waits, and how many have gone before it
 */
async function sendUntilOneWaits(
  publisher: Publisher,
  message: (number: number) => Parameters<Publisher["send"]>[0],
  hasRead: (sent: number) => boolean = () => true,
): Promise<{ readonly waits: Promise<void>; readonly sent: number }> {
  for (let sent = 0; sent < MOST; sent++) {
    let isTaken = false as boolean;
    const waits = publisher.send(message(sent)).then(() => {
      isTaken = true;
    });
    for (let end = Number.POSITIVE_INFINITY; !isTaken && performance.now() < end; await turn())
      if (end === Number.POSITIVE_INFINITY && hasRead(sent)) end = performance.now() + 100;
    if (isTaken) continue;
    expect(publisher.stats().pendingSends).toBe(1);
    return { waits, sent };
  }
  throw new Error(`none of ${MOST} sends waits`);
}

describeTransports("XPUB and XSUB", (world) => {
  it("by default the first subscription to a topic and the last cancellation are reported", async () => {
    const xPublisher = world.xPublisher();
    const subscribers = [world.xSubscriber(), world.xSubscriber()] as const;
    await world.link(xPublisher, ...subscribers);
    await subscribe(subscribers[0], "a");
    expect(await collect(xPublisher, 1)).toEqual(["\u0001a"]);
    await subscribe(subscribers[1], "a");
    await subscribe(subscribers[1], "b");
    expect(await collect(xPublisher, 1)).toEqual(["\u0001b"]);
    await unsubscribe(subscribers[1], "a");
    await unsubscribe(subscribers[1], "b");
    expect(await collect(xPublisher, 1)).toEqual(["\0b"]);
    await unsubscribe(subscribers[0], "a");
    expect(await collect(xPublisher, 1)).toEqual(["\0a"]);
  });

  it("verbosity allSubs reports every subscription, allSubsUnsubs every cancellation, too", async () => {
    for (const verbosity of ["allSubs", "allSubsUnsubs"] as const) {
      const xPublisher = world.xPublisher({ verbosity });
      const subscribers = [world.subscriber(), world.subscriber()] as const;
      await world.link(xPublisher, ...subscribers);
      for (const subscriber of subscribers) subscriber.subscribe("a");
      expect(await collect(xPublisher, 2)).toEqual(["\u0001a", "\u0001a"]);
      for (const subscriber of subscribers) subscriber.unsubscribe("a");
      expect(await collect(xPublisher, 1)).toEqual(["\0a"]);
      if (verbosity === "allSubsUnsubs") expect(await collect(xPublisher, 1)).toEqual(["\0a"]);
      else expect((await failure(xPublisher.receive({ timeout: 30 }))).code).toBe("EAGAIN");
      await Promise.all([xPublisher, ...subscribers].map((socket) => socket.close({ linger: 0 })));
    }
  });

  it("what a subscriber sends that is no subscription reaches the program", async () => {
    const [xPublisher, xSubscriber] = await world.linked(world.xPublisher(), world.xSubscriber());
    await subscribe(xSubscriber, "");
    expect(await collect(xPublisher, 1)).toEqual(["\u0001"]);
    await arrives("upstream", xSubscriber, xPublisher);
    await xPublisher.send(["down", "stream"]);
    expect(await collect(xSubscriber, 1)).toEqual(["down|stream"]);
  });

  it("welcomeMessage comes first, to each new subscriber that asked for it", async () => {
    const xPublisher = world.xPublisher({ welcomeMessage: "welcome" });
    const endpoint = await world.bind(xPublisher);
    for (let i = 0; i < 2; i++) {
      const subscriber = world.subscriber();
      subscriber.subscribe("");
      subscriber.connect(endpoint);
      const reading = collect(subscriber, 1);
      while (!xPublisher.readable && i === 0) await turn();
      expect(await reading).toEqual(["welcome"]);
    }
    expect(xPublisher.welcomeMessage).toBe("welcome");
  });

  it("manual leaves subscriptions to the program: none counts by itself", async () => {
    const [xPublisher, subscriber] = [world.xPublisher({ manual: true }), world.subscriber()];
    await world.link(xPublisher, subscriber);
    subscriber.subscribe("a");
    expect(await collect(xPublisher, 1)).toEqual(["\u0001a"]);
    await xPublisher.send("a message");
    expect((await failure(subscriber.receive({ timeout: 50 }))).code).toBe("EAGAIN");
  });

  const sets = world.engine !== "libzmq";
  const itSets = itIf(world.engine, sets, "cannot set a peer's subscriptions");

  itSets("manual: the program gives each peer its topics, by the last message received", async () => {
    const xPublisher = world.xPublisher({ manual: true });
    const [first, second] = [world.xSubscriber(), world.xSubscriber()];
    await world.link(xPublisher, first, second);
    for (const [peer, name] of [
      [first, "first"],
      [second, "second"],
    ] as const) {
      await arrives(`\u0001${name}`, peer, xPublisher);
      xPublisher.subscribe(`topic of the ${name}`, Buffer.from("both"));
    }
    for (const text of ["first", "topic of the first", "topic of the second", "both"])
      await xPublisher.send(text);
    expect(await collect(first, 2)).toEqual(["topic of the first", "both"]);
    expect(await collect(second, 2)).toEqual(["topic of the second", "both"]);

    // A message of a peer's own counts, too, and its cancellation takes nothing away by itself.
    await arrives("\u0000first", first, xPublisher);
    await xPublisher.send("both");
    xPublisher.unsubscribe("both");
    xPublisher.subscribe();
    await xPublisher.send("anything");
    expect(await collect(first, 2)).toEqual(["both", "anything"]);
    await xPublisher.send("both");
    expect(await collect(second, 2)).toEqual(["both", "both"]);
  });

  itSets("manual: what is set for a peer that has gone is nobody's", async () => {
    const xPublisher = world.xPublisher({ manual: true });
    const [gone, other] = [world.xSubscriber(), world.xSubscriber()];
    await world.link(xPublisher, gone, other);
    await arrives("\u0001a", gone, xPublisher);
    await gone.close({ linger: 0 });
    await until(() => xPublisher.stats().peers === 1, "one peer");
    xPublisher.subscribe("a");
    await other.send("\u0001b");
    expect(await collect(xPublisher, 2)).toEqual(["\u0000a", "\u0001b"]);
    xPublisher.subscribe("b");
    for (const topic of ["a", "b"]) await xPublisher.send(topic);
    expect(await collect(other, 1)).toEqual(["b"]);
  });

  it("subscriptions of an XPublisher's peers are set with manual, and where the engine can", async () => {
    const xPublisher = world.xPublisher();
    for (const call of ["subscribe", "unsubscribe"] as const) {
      expect(thrown(() => xPublisher[call]("a")).code).toBe(sets ? "EINVAL" : "NOT_SUPPORTED");
    }
    xPublisher.manual = true;
    expect(thrown(() => xPublisher.subscribe("a", 1 as never)).code).toBe(sets ? "EINVAL" : "NOT_SUPPORTED");
    await xPublisher.close();
    expect(thrown(() => xPublisher.subscribe("a")).code).toBe("EBADF");
  });

  it("invertMatching on both ends sends everything that does not match", async () => {
    const [publisher, subscriber] = await world.linked(
      world.publisher({ invertMatching: true }),
      world.subscriber({ invertMatching: true }),
    );
    subscriber.subscribe("secret");
    await publisher.waitForSubscribers({ topic: "secret", timeout: 4_000 });
    for (const topic of ["one", "secret 1", "two", "secret", "three"]) await publisher.send(topic);
    expect(await collect(subscriber, 3)).toEqual(["one", "two", "three"]);
  });

  it("conflate keeps the newest message only", async () => {
    const [pull, push] = await world.linked(world.pull({ conflate: true }), world.push({ conflate: true }));
    for (let i = 0; i <= 500; i++) await push.send(String(i));
    const received: number[] = [];
    await until(() => pull.readable, "a message");
    for (let last = -1; last !== 500; received.push(last))
      last = Number(await pull.receive({ timeout: 8_000 }));
    expect(received.length).toBeLessThan(400);
    expect(received).toEqual([...received].sort((a, b) => a - b));
  });
});

describeTransports("conflate of a publisher", (world) => {
  const itKeeps = itIf(world.engine, world.engine === "zmtp", "hands each message to another thread at once");

  itKeeps("of the messages that wait for a subscriber only the newest leaves", async () => {
    const [publisher, subscriber] = [world.publisher({ conflate: true }), world.subscriber()];
    subscriber.subscribe("");
    const subscribed = nextEvent(publisher, "subscribe");
    await world.link(publisher, subscriber);
    await subscribed;
    // Within one turn all of them wait to be written.
    for (let i = 0; i < 10; i++) expect(publisher.trySend(String(i))).toBe(true);
    expect(await collect(subscriber, 1)).toEqual(["9"]);
    publisher.trySend("next");
    expect(await collect(subscriber, 1)).toEqual(["next"]);
  });
});

describeTransports("noDrop", (world) => {
  const body = Buffer.alloc(16_384, "x");
  /** Waits for its subscribers, one of which does not read. */
  const standing = () =>
    [
      world.publisher({ noDrop: true, sendHighWaterMark: 5 }),
      world.subscriber({ receiveHighWaterMark: 5, linger: 0 }),
    ] as const;

  it("a publisher waits for its slowest subscriber, who misses nothing; without it a full one misses messages", async () => {
    for (const noDrop of [true, false]) {
      const publisher = world.publisher({ noDrop, sendHighWaterMark: 5 });
      const subscriber = world.subscriber({ receiveHighWaterMark: 5 });
      await world.link(publisher, subscriber);
      subscriber.subscribe("");
      await publisher.waitForSubscribers({ timeout: 4_000 });
      let sent = 0;
      while (sent < 3_000 && publisher.trySend([String(sent), body])) {
        sent += 1;
        if (sent % 50 === 0) await turn();
      }
      if (noDrop) expect(sent).toBeLessThan(3_000);
      else expect(sent).toBe(3_000);
      const received: number[] = [];
      try {
        for (;;) received.push(Number((await subscriber.receive({ timeout: 100 }))[0]));
      } catch (error) {
        expect((error as { code?: string }).code).toBe("EAGAIN");
      }
      if (noDrop) expect(received).toEqual(Array.from({ length: sent }, (_, i) => i));
      else expect(received.length).toBeLessThan(sent);
      if (noDrop) {
        const more = publisher.send("there is room again");
        expect(texts(await subscriber.receive({ timeout: 8_000 }))).toEqual(["there is room again"]);
        await more;
      }
      await Promise.all([publisher.close({ linger: 0 }), subscriber.close({ linger: 0 })]);
    }
  });

  it.each([
    "closes",
    "unsubscribes",
  ])("a publisher that waits for a subscriber goes on to the others when that one %s", async (end) => {
    const [publisher, stands] = standing();
    const reads = world.subscriber({ receiveHighWaterMark: 0 });
    await world.link(publisher, stands, reads);
    for (const each of [stands, reads]) each.subscribe("x");
    await publisher.waitForSubscribers({ topic: "x", count: 2, timeout: 4_000 });
    const read: string[] = [];
    const reading = (async () => {
      for await (const message of reads) read.push(String(message[1]));
    })();
    const { waits, sent } = await sendUntilOneWaits(
      publisher,
      (i) => ["x", String(i), body],
      (taken) => read.length >= taken,
    );
    if (end === "closes") await stands.close({ linger: 0 });
    else stands.unsubscribe("x");
    await within(waits, "the send that waited");
    await until(() => read.length > sent, "its message");
    reads.close({ linger: 0 });
    await reading;
    expect(read).toEqual(Array.from({ length: sent + 1 }, (_, i) => String(i)));
  });

  it("when it is turned off lets go the send that waited", async () => {
    const [publisher, stands] = await world.linked(...standing());
    stands.subscribe("");
    await publisher.waitForSubscribers({ timeout: 4_000 });
    const { waits } = await sendUntilOneWaits(publisher, () => body);
    publisher.noDrop = false;
    await within(waits, "the send that waited");
  });

  it("a send behind one that has given up goes to those with room", async () => {
    const [publisher, stands] = standing();
    const reads = world.subscriber();
    await world.link(publisher, stands, reads);
    stands.subscribe("a");
    reads.subscribe("b");
    await publisher.waitForSubscribers({ topic: "a", timeout: 4_000 });
    await publisher.waitForSubscribers({ topic: "b", timeout: 4_000 });
    while (publisher.trySend(["a", body])) await turn();
    // The system may have room for more yet.
    let outcome: unknown;
    for (let i = 0; outcome === undefined; i++) {
      const gone = publisher.send(["a", body], { timeout: 100 }).catch((error: unknown) => error);
      const waits = publisher.send(["b", String(i)]);
      outcome = await gone;
      await within(waits, "the send behind it");
      expect(texts(await reads.receive({ timeout: 8_000 }))).toEqual(["b", String(i)]);
    }
    expect(outcome).toMatchObject({ code: "EAGAIN" });
  });
});
