/**
 * Publishers that come, go and overrun their subscribers, which ask for what they missed, in a simulated world of kills,
 * resets, cuts and stops.
 *
 * Of each stream a subscriber gets each message at most once, in order; what it was given and what was reported as lost
 * or missed are together the whole stream, each message in exactly one of them; a replay brings only messages of its
 * range, as they were published.
 */
import { expect } from "vitest";
import {
  SequencedPublisher,
  type SequencedRange,
  type SequencedReplay,
  SequencedSubscriber,
} from "../../../src/patterns/sequenced/index.js";
import { worldTest } from "../../support/world-test.js";

const it = worldTest({ runs: 6, long: 250, network: { latency: [0.1, 20] } });

const STORM = 4_000;
const PUBLISHERS = ["p0", "p1"];
const SUBSCRIBERS = ["s0", "s1"];
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const nameOf = ({ publisher, topic, stream }: Omit<SequencedRange, "from" | "to">): string =>
  `${publisher} ${topic} ${stream}`;

/** What became of one stream at a subscriber. */
interface Account {
  readonly given: number[];
  readonly lost: SequencedRange[];
}

const total = { given: 0, lost: 0, replayed: 0 };

it(
  "every message of every stream reaches a subscriber, or is reported to it, exactly once",
  async (world) => {
    const { random } = world;
    /** The bodies published in each stream, in order. */
    const truth = new Map<string, string[]>();
    const publish = (name: string): void => {
      if (world.node(name).running) return;
      world.node(name).start(async () => {
        const socketOptions = { sendHighWaterMark: random.pick([3, 1_000]) };
        const bounds = { maxTopics: 2, maxQueue: 20, maxQueueBytes: 1_000 };
        const publisher = new SequencedPublisher({ ...bounds, socketOptions });
        await publisher.bindReplay("tcp://*:7001");
        await publisher.bind("tcp://*:7000");
        const streams = new Map<string, number>();
        for (let [n, count] = [1, 0]; world.now < STORM; n++) {
          // Now and then more than there is room for.
          for (let many = random.pick([1, 1, 30]); many > 0; many--) {
            const topic = random.pick(["a", "a", "b", "c"]);
            const body = `${topic} ${n}.${many}`;
            const sequence = publisher.publish(topic, body);
            if (sequence === 1) streams.set(topic, ++count);
            const stream = streams.get(topic) as number;
            const key = nameOf({ publisher: publisher.id, topic: Buffer.from(topic), stream });
            truth.set(key, [...(truth.get(key) ?? []), body]);
            expect(sequence).toBe(truth.get(key)?.length);
          }
          await sleep(random.integer(1, 60));
        }
      });
    };
    const accounts = new Map<string, Map<string, Account>>();
    const subscribers = new Map<string, SequencedSubscriber>();
    for (const name of SUBSCRIBERS)
      world.node(name).start(async () => {
        const own = new Map<string, Account>();
        accounts.set(name, own);
        const accountOf = (of: Omit<SequencedRange, "from" | "to">): Account => {
          const key = nameOf(of);
          if (!own.has(key)) own.set(key, { given: [], lost: [] });
          return own.get(key) as Account;
        };
        const bodyOf = (of: SequencedReplay["messages"][number]): void =>
          expect(String(of.body)).toBe(truth.get(nameOf(of))?.[of.sequence - 1]);
        const subscriber = new SequencedSubscriber({ attemptTimeout: 300 });
        subscribers.set(name, subscriber);
        const missed = (range: SequencedRange): void => {
          accountOf(range).lost.push(range);
          total.lost += range.to - range.from + 1;
          if (random.chance(0.3)) return;
          const check = ({ messages, missing }: SequencedReplay): void => {
            let last = range.from - 1;
            for (const message of messages) {
              expect(message.sequence).toBeGreaterThan(last);
              expect(message.sequence).toBeLessThanOrEqual(range.to);
              bodyOf(message);
              last = message.sequence;
            }
            expect(messages.length + missing).toBe(range.to - range.from + 1);
            total.replayed += messages.length;
          };
          void subscriber
            .replay(range, { timeout: 2_000 })
            .catch(() => undefined)
            .then((replay) => replay && check(replay));
        };
        subscriber.events.on("gap:detected", missed).on("stream:joined-late", missed);
        subscriber.subscribe(random.pick(["", "a"]));
        for (const publisher of PUBLISHERS) {
          subscriber.connect(`tcp://${publisher}:7000`, `tcp://${publisher}:7001`);
          // Two ways to one publisher bring each message twice.
          if (random.chance(0.3)) subscriber.connect(`tcp://${world.node(publisher).address}:7000`);
        }
        for await (const message of subscriber) {
          const { given } = accountOf(message);
          expect(message.sequence).toBeGreaterThan(given.at(-1) ?? 0);
          bodyOf(message);
          given.push(message.sequence);
          if (random.chance(0.02)) await sleep(random.integer(1, 500));
        }
      });
    for (const name of PUBLISHERS) {
      world.node(name); // It is there before its process is.
      void world.advance(random.integer(0, 300)).then(() => publish(name));
    }
    while (world.now < STORM) {
      await world.advance(random.integer(10, 600));
      const [publisher, subscriber] = [random.pick(PUBLISHERS), random.pick(SUBSCRIBERS)];
      const ms = random.integer(10, 1_000);
      switch (random.integer(0, 4)) {
        case 0:
          if (world.node(publisher).running) world.node(publisher)[random.pick(["kill", "crash"] as const)]();
          void world.advance(ms).then(() => publish(publisher));
          break;
        case 1:
          world.cut(publisher, subscriber, { oneWay: random.chance(0.5) });
          void world.advance(ms).then(() => world.heal(publisher, subscriber));
          break;
        case 2:
          world.reset(publisher, subscriber);
          break;
        default:
          if (world.node(publisher).running) world.node(random.pick([publisher, subscriber])).stall(ms);
      }
    }
    world.heal();
    await world.advance(20_000);
    for (const [name, own] of accounts) {
      const { received, invalid, replays } = (subscribers.get(name) as SequencedSubscriber).stats();
      const counts = [...own.values()].map(({ given }) => given.length);
      const given = counts.reduce((sum, count) => sum + count, 0);
      expect([received, invalid, replays.pending], name).toEqual([given, 0, 0]);
      total.given += given;
      for (const [key, { given, lost }] of own) {
        const all = [...given];
        for (const { from, to } of lost)
          for (let sequence = from; sequence <= to; sequence++) all.push(sequence);
        all.sort((a, b) => a - b);
        expect(all, `${key}: each message once, given or told`).toEqual(all.map((_, index) => index + 1));
        expect(all.length).toBeLessThanOrEqual(truth.get(key)?.length as number);
      }
    }
  },
  (runs) => {
    expect(total.given).toBeGreaterThan(runs * 50);
    expect(total.lost).toBeGreaterThan(runs * 10);
    expect(total.replayed).toBeGreaterThan(runs);
  },
);
