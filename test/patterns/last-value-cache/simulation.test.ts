/**
 * Publishers, a cache and subscribers that come at any time, in a simulated world of kills, resets, cuts and stops.
 *
 * Nobody gets an older value of a topic after a newer, nor one that it did not ask for; when it is quiet everybody that is
 * there has the cache's value of every topic beneath its prefixes; the cache stays within its bounds.
 */
import { expect } from "vitest";
import { Publisher, Subscriber } from "../../../src/index.js";
import { LastValueCache } from "../../../src/patterns/last-value-cache/index.js";
import { worldTest } from "../../support/world-test.js";

const it = worldTest({ runs: 10, long: 250, network: { latency: [0.1, 20] } });

const MAX_TOPICS = 12;
const STORM = 3_000;
const PREFIXES = ["", "a", "ab", "c", "cab", "x"];
/** Of each publisher, so that one connection has all values of a topic. */
const TOPICS = [
  ["a", "ab", "abc", "abd", "b", "ba", "", "c"],
  ["ca", "cab", "caba", "d", "e", "f", "g"],
];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Joiner {
  readonly name: string;
  readonly subscriber: Subscriber;
  readonly values: Map<string, number>;
  prefix: string;
}

it("joiners get the last value of all they asked for, and nobody an older one after a newer", async (world) => {
  const { random } = world;
  let joined = 0;
  let cache: LastValueCache | undefined;
  const open = (): void => {
    if (world.node("cache").running) return;
    world.node("cache").start(async () => {
      // Of values to a joiner half as many are on their way at once.
      const backendOptions = { sendHighWaterMark: 1_000 };
      const bounds = { maxTopics: MAX_TOPICS, maxBytes: 10_000, maxSnapshots: 2 };
      const made = new LastValueCache({ ...bounds, backendOptions });
      cache = made;
      await made.bind("frontend", "tcp://*:5557");
      await made.bind("backend", "tcp://*:5558");
    });
  };
  open();
  const wrong: string[] = [];
  let n = 0;
  for (const [at, topics] of TOPICS.entries())
    world.node(`p${at}`).start(async () => {
      const publisher = new Publisher();
      publisher.connect("tcp://cache:5557");
      while (world.now < STORM) {
        await publisher.send([random.pick(topics), String(++n)]);
        await sleep(random.integer(0, 30));
      }
    });
  const joiners: Joiner[] = [];
  const join = (): void => {
    const [name, prefix] = [`s${++joined}`, random.pick(PREFIXES)];
    world.node(name).start(async () => {
      const subscriber = new Subscriber();
      const values = new Map<string, number>();
      const joiner = { name, subscriber, values, prefix };
      joiners.push(joiner);
      subscriber.subscribe(prefix);
      subscriber.connect("tcp://cache:5558");
      for await (const [topic, value] of subscriber) {
        const [key, number] = [String(topic), Number(value)];
        if (number < (values.get(key) ?? 0))
          wrong.push(`${name}: ${key} is ${number} after ${values.get(key)}`);
        if (!key.startsWith(joiner.prefix)) wrong.push(`${name} asked for ${joiner.prefix}, and got ${key}`);
        values.set(key, number);
        if (random.chance(0.02)) await sleep(random.integer(1, 200));
      }
    });
  };
  while (world.now < STORM) {
    await world.advance(random.integer(5, 150));
    expect(wrong).toEqual([]);
    expect(cache?.stats().topics ?? 0).toBeLessThanOrEqual(MAX_TOPICS);
    const peer = random.pick(["p0", "p1", ...joiners.map(({ name }) => name)]);
    const ms = random.integer(5, 800);
    switch (random.integer(0, 9)) {
      case 0:
        if (world.node("cache").running) world.node("cache")[random.pick(["kill", "crash"] as const)]();
        void world.advance(ms).then(open);
        break;
      case 1:
        world.reset(peer, "cache");
        break;
      case 2:
        world.cut(peer, "cache", { oneWay: random.chance(0.5) });
        void world.advance(ms).then(() => world.heal(peer, "cache"));
        break;
      case 3:
        world.node(random.chance(0.3) && world.node("cache").running ? "cache" : peer).stall(ms);
        break;
      case 4: {
        const [left] = joiners.splice(random.integer(0, joiners.length), 1);
        if (left === undefined) break;
        if (random.chance(0.5)) world.node(left.name).kill();
        else void world.node(left.name).run(() => left.subscriber.close());
        break;
      }
      default:
        join();
    }
  }
  world.heal();
  open();
  await world.advance(30_000);
  expect(wrong).toEqual([]);
  expect(cache?.stats().snapshots).toMatchObject({ waiting: 0, parked: 0 });
  for (const { name, prefix, values } of joiners)
    for (const topic of TOPICS.flat()) {
      const value = cache?.get(topic)?.[1];
      if (value !== undefined && topic.startsWith(prefix))
        expect(values.get(topic), `${topic} at ${name}`).toBe(Number(value));
    }
  expect(joined).toBeGreaterThan(1);
});
