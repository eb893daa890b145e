/** Publishers and subscribers over real sockets, on every engine; pyzmq on either side. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import { Context, json, Publisher } from "../../../src/index.js";
import {
  SequencedPublisher,
  type SequencedPublisherOptions,
  SequencedSubscriber,
  type SequencedSubscriberEvent,
  type SequencedSubscriberOptions,
} from "../../../src/patterns/sequenced/index.js";
import { failure, texts, thrown, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { ListedEndpoints } from "../../support/listed-endpoints.js";
import { LONG } from "../../support/long.js";
import { missing } from "../../support/peers.js";
import { pythonIn } from "../pirate/python.js";

const LIMIT = { timeout: 8_000 };
const kept = closeAfterEach();
const python = pythonIn(kept);

/** The next event of a type. */
function next<E extends SequencedSubscriberEvent["type"]>(subscriber: SequencedSubscriber, type: E) {
  const happened = new Promise<Extract<SequencedSubscriberEvent, { type: E }>>((resolve) =>
    subscriber.events.on(type, resolve as never),
  );
  return within(happened, `event ${type}`);
}

describe.each(ENGINE_NAMES.slice(0, LONG ? undefined : 1))("sequenced publishing, engine %s", (engine) => {
  const context = new Context({ engine });

  async function publisher(options: SequencedPublisherOptions = {}) {
    const publisher = kept(
      new SequencedPublisher({ ...options, socketOptions: { context }, replayOptions: { context } }),
    );
    const endpoint = await publisher.bind("tcp://127.0.0.1:*");
    return { publisher, endpoint, replay: await publisher.bindReplay("tcp://127.0.0.1:*") };
  }

  function subscriber(options: SequencedSubscriberOptions = {}): SequencedSubscriber {
    return kept(
      new SequencedSubscriber({ ...options, socketOptions: { context }, replayOptions: { context } }),
    );
  }

  function joining(topic: string, endpoint: string, replay?: string): SequencedSubscriber {
    const s = subscriber();
    s.subscribe(topic);
    s.connect(endpoint, replay);
    return s;
  }

  it("replays come from the publishers of a source as they come and go", async () => {
    const [one, two] = [await publisher(), await publisher()];
    for (const { publisher: p } of [one, two]) p.publish("t", "early");
    const s = subscriber();
    const replays = new ListedEndpoints([one.replay]);
    s.connect(new ListedEndpoints([one.endpoint, two.endpoint]), replays);
    const range = { topic: Buffer.from("t"), stream: 1, from: 1, to: 1 };
    const replayed = (of: SequencedPublisher) =>
      within(s.replay({ ...range, publisher: of.id }, { timeout: 8_000 }), "the replay");
    expect((await replayed(one.publisher)).messages).toHaveLength(1);
    const waiting = replayed(two.publisher);
    const changed = next(s, "source:changed");
    replays.set(one.replay, two.replay, "nowhere");
    expect((await changed).endpoints).toEqual([one.replay, two.replay]);
    expect((await waiting).messages).toHaveLength(1);
    await one.publisher.close();
    replays.set(two.replay);
    const gone = failure(s.replay({ ...range, publisher: one.publisher.id }, { timeout: 100 }));
    expect((await gone).code).toBe("ETIMEDOUT");
    expect((await replayed(two.publisher)).messages).toHaveLength(1);
  });

  it("messages come with publisher, topic, sequence and time", async () => {
    const { publisher: p, endpoint } = await publisher();
    const s = joining("a", endpoint);
    await p.waitForSubscribers(LIMIT);
    const sequences = [p.publish("a", ["1", "2"]), p.publish("b", "no"), p.publish(Buffer.from("ab"), "x")];
    expect(sequences).toEqual([1, 1, 1]);
    const [first, second] = [await s.receive(LIMIT), await s.receive(LIMIT)];
    expect(first).toMatchObject({ publisher: p.id, sequence: 1, topic: Buffer.from("a") });
    expect(texts(first.body)).toEqual(["1", "2"]);
    expect(Math.abs(Date.now() - first.time)).toBeLessThan(60_000);
    expect(String(second.topic)).toBe("ab");
    expect(s.stats()).toMatchObject({ received: 2, lost: 0, missed: 0 });
  });

  it("a late joiner hears what it missed, and gets it by a replay of several pages", async () => {
    const { publisher: p, endpoint, replay } = await publisher();
    for (let i = 1; i <= 700; i++) p.publish("a", String(i));
    const s = joining("a", endpoint, replay);
    const joined = next(s, "stream:joined-late");
    await p.waitForSubscribers(LIMIT);
    p.publish("a", "701");
    expect((await s.receive(LIMIT)).sequence).toBe(701);
    const event = await joined;
    expect(event).toMatchObject({ publisher: p.id, from: 1, to: 700, missed: 700 });
    const { messages, missing, outcome } = await s.replay(event, LIMIT);
    expect([missing, outcome]).toEqual([0, "done"]);
    expect(messages.map(({ body }) => String(body))).toEqual(
      Array.from({ length: 700 }, (_, i) => String(i + 1)),
    );
    expect(messages.at(-1)).toMatchObject({ publisher: p.id, sequence: 700 });
    const few = subscriber({ maxReplay: 10 });
    few.connectReplay(replay);
    expect(await few.replay(event, LIMIT)).toMatchObject({ missing: 690, messages: { length: 10 } });
  });

  it("one of a pair sends what it publishes while it serves, and has the rest for replays", async () => {
    let serving = false;
    let votes = 0;
    const gate = {
      isServing: () => serving,
      vote: () => {
        votes += 1;
        return serving;
      },
      onServing: () => undefined,
    };
    const { publisher: p, endpoint, replay } = await publisher({ gate });
    expect([p.publish("a", "1"), votes]).toEqual([1, 0]); // Nobody is connected.
    const s = joining("a", endpoint, replay);
    await Promise.all([p.waitForSubscribers(LIMIT), p.ready(LIMIT)]);
    const before = votes;
    expect([p.publish("a", "2"), votes]).toEqual([2, before + 1]);
    expect(p.stats()).toMatchObject({ published: 2, kept: 2, notServing: 2 });
    serving = true;
    const joined = next(s, "stream:joined-late");
    p.publish("a", "3");
    expect((await s.receive(LIMIT)).sequence).toBe(3);
    const range = await joined;
    const { messages } = await s.replay(range, LIMIT);
    expect(messages.map(({ body }) => String(body))).toEqual(["1", "2"]);
    serving = false;
    const asked = p.stats().replays;
    const now = votes;
    const answer = s.replay(range, LIMIT);
    await until(() => votes > now, "the request, which is a vote");
    expect(p.stats().replays).toBe(asked);
    serving = true; // It is asked again.
    expect((await answer).outcome).toBe("done");
  });

  it("a subscriber that was not subscribed for a while hears a gap of just that, before the next message", async () => {
    const { publisher: p, endpoint, replay } = await publisher();
    const s = joining("a", endpoint, replay);
    await p.waitForSubscribers(LIMIT);
    p.publish("a", "1");
    await s.receive(LIMIT);
    s.unsubscribe("a");
    s.subscribe("other");
    await p.waitForSubscribers({ topic: "other", ...LIMIT });
    for (const body of ["2", "3"]) p.publish("a", body);
    s.subscribe("a");
    const seen: string[] = [];
    s.events.on("gap:detected", ({ from, to }) => seen.push(`gap ${from}-${to}`));
    s.subscribe("end");
    await p.waitForSubscribers({ topic: "end", ...LIMIT });
    p.publish("a", "4");
    seen.push(String((await s.receive(LIMIT)).body));
    expect(seen).toEqual(["gap 2-3", "4"]);
  });

  it("values pass through a codec; what it refuses is counted and dropped", async () => {
    const p = kept(new SequencedPublisher({ codec: json(), socketOptions: { context } }));
    const endpoint = await p.bind("tcp://127.0.0.1:*");
    const s = kept(new SequencedSubscriber({ codec: json(), socketOptions: { context } }));
    s.subscribe("");
    s.connect(endpoint);
    await p.waitForSubscribers(LIMIT);
    p.publish("a", { n: 1 });
    expect((await s.receive(LIMIT)).body).toEqual({ n: 1 });
  });

  it("a replay ends with a reason: nobody answers, the caller gives up, the subscriber closes", async () => {
    const s = subscriber({ timeout: 200, attemptTimeout: 50 });
    const range = { publisher: "0".repeat(32), topic: Buffer.from("a"), stream: 1, from: 1, to: 2 };
    expect((await failure(s.replay(range))).code).toBe("ETIMEDOUT");
    s.connectReplay("tcp://127.0.0.1:1");
    expect((await failure(s.replay(range))).code).toBe("ETIMEDOUT");
    const controller = new AbortController();
    const aborted = failure(s.replay(range, { signal: controller.signal, ...LIMIT }));
    controller.abort();
    expect((await aborted).code).toBe("ABORT_ERR");
    const closed = failure(s.replay(range, LIMIT));
    await s.close();
    expect((await closed).code).toBe("EAGAIN");
    expect(s.stats().replays.pending).toBeLessThanOrEqual(1);
    expect((await failure(s.replay(range))).code).toBe("EBADF");
    const { publisher: p, replay } = await publisher();
    const other = subscriber();
    other.connectReplay(replay);
    expect((await failure(other.replay(range, { timeout: 100 }))).code).toBe("ETIMEDOUT");
    expect((await other.replay({ ...range, publisher: p.id }, LIMIT)).outcome).toBe("gone");
  });

  it("calls wait in order; a wait can end by time or signal, and loses nothing", async () => {
    const { publisher: p, endpoint } = await publisher();
    const s = joining("", endpoint);
    await p.waitForSubscribers(LIMIT);
    expect((await failure(s.receive({ timeout: 20 }))).code).toBe("EAGAIN");
    const controller = new AbortController();
    const waiting = failure(s.receive({ signal: controller.signal }));
    const next = [s.receive(LIMIT), s.receiveMany({ max: 1, ...LIMIT })] as const;
    controller.abort();
    expect((await waiting).code).toBe("ABORT_ERR");
    for (const body of ["1", "2", "3", "4", "5"]) p.publish("a", body);
    const [first, [second]] = await Promise.all(next);
    const all = [first.sequence, second?.sequence];
    while (all.length < 5)
      for (const { sequence } of await s.receiveMany({ max: 2, ...LIMIT })) all.push(sequence);
    expect(all).toEqual([1, 2, 3, 4, 5]);
  });

  it.each(["in the loop", "in a listener"])("a loop ends when it is closed %s", async (where) => {
    const { publisher: p, endpoint } = await publisher();
    p.publish("a", "early");
    const s = joining("", endpoint);
    await p.waitForSubscribers(LIMIT);
    for (let i = 0; i < 20; i++) p.publish("a", String(i));
    if (where === "in a listener") s.events.on("stream:joined-late", () => void s.close());
    let heard = 0;
    for await (const _ of s) {
      heard += 1;
      await s.close();
    }
    expect(heard).toBe(where === "in a listener" ? 0 : 1);
    expect((await failure(s.receive())).code).toBe("EBADF");
  });

  it.skipIf(missing("pyzmq"))(
    "a plain SUB of pyzmq reads topic and body; a PUB of pyzmq can speak it",
    async () => {
      const { publisher: p, endpoint } = await publisher();
      const reader = python("sequenced_sub.py", endpoint);
      await p.waitForSubscribers(LIMIT);
      p.publish("a", ["x", "y"]);
      expect(await reader.line()).toBe("a 40 x y");
      const writer = python("sequenced_pub.py");
      const s = subscriber();
      s.subscribe("a");
      const gaps: string[] = [];
      s.events.on("gap:detected", ({ from, to, publisher: id }) => gaps.push(`${id} ${from}-${to}`));
      s.connect(`tcp://127.0.0.1:${await writer.line()}`);
      const bodies: string[] = [];
      while (bodies.length < 3) bodies.push(String((await s.receive(LIMIT)).body));
      expect(bodies).toEqual(["1", "2", "5"]);
      expect(gaps).toEqual([`${"70".repeat(16)} 3-4`]);
    },
  );
});

describe("options", () => {
  it("a subscriber that is refused an endpoint of replays is not connected at all", async () => {
    const publisher = kept(new Publisher());
    const endpoint = await publisher.bind("inproc://sequenced-replay-refused");
    const s = kept(new SequencedSubscriber());
    for (const bad of ["nonsense", "tcp://127.0.0.1", 5])
      expect(thrown(() => s.connect(endpoint, bad as never)).code).toBe("EINVAL");
    expect(publisher.stats().peers).toBe(0);
    s.connect(endpoint);
    await s.ready();
    expect(publisher.stats().peers).toBe(1);
  });

  it("a subscriber refuses a range that no publisher can have, and nothing waits for it", async () => {
    const s = kept(new SequencedSubscriber());
    const range = { publisher: "0".repeat(32), topic: Buffer.from("t"), stream: 1, from: 1, to: 1 };
    for (const bad of [{ stream: 2 ** 32 }, { from: 2 }, { publisher: "0" }])
      expect((await failure(s.replay({ ...range, ...bad }))).code).toBe("EINVAL");
    expect(s.stats().replays.pending).toBe(0);
    await s.drain({ timeout: 1_000 });
  });

  it("a publisher refuses what is not a message, and everything once it is closed", async () => {
    const p = kept(new SequencedPublisher());
    expect(thrown(() => p.publish(5 as never, "x")).code).toBe("EINVAL");
    expect(thrown(() => p.publish("a", [])).code).toBe("EINVAL");
    await p.close();
    expect(thrown(() => p.publish("a", "x")).code).toBe("EBADF");
  });
});
