/**
 * Publishers, a cache and subscribers that come at any time, in simulated time. What engines do is in the network:
 * a snapshot's values go to everybody who asked for their topics.
 *
 * Invariants: nobody gets an older value of a topic after a newer; when it is quiet everybody has the cache's value
 * of every topic beneath its prefixes, and of no other; the cache stays within its bounds; the store, told what
 * changed, has what the cache has.
 */
import { expect, it } from "vitest";
import { Snapshots } from "../../../src/patterns/last-value-cache/snapshots.js";
import { ValueCache } from "../../../src/patterns/last-value-cache/value-cache.js";
import { runSchedules } from "../../support/simulation/schedules.js";
import type { Simulation } from "../../support/simulation/simulation.js";

const MAX_TOPICS = 12;

class SimulatedSubscriber {
  readonly values = new Map<string, number>();

  constructor(readonly prefix: string) {}

  receive(frames: readonly Buffer[]): void {
    const topic = String(frames[0]);
    if (!topic.startsWith(this.prefix)) return;
    const value = Number(frames[1]);
    expect(value, `an older value of ${topic}`).toBeGreaterThanOrEqual(this.values.get(topic) ?? -1);
    this.values.set(topic, value);
  }
}

function story(simulation: Simulation): void {
  const { random } = simulation;
  const subscribers: SimulatedSubscriber[] = [];
  const stored = new Map<string, string>();
  const evicted = new Set<string>();
  const cache = new ValueCache(
    { maxTopics: MAX_TOPICS, maxBytes: 10_000, maxTopicBytes: 16, maxValueBytes: 64 },
    { evicted: (topic) => evicted.add(String(topic)), uncached: () => undefined },
    true,
  );
  const deliver = (frames: readonly Buffer[]): void => {
    for (const subscriber of subscribers) subscriber.receive(frames);
  };
  const snapshots = new Snapshots(
    cache,
    { send: deliver, done: (prefix, topics) => simulation.note(`${prefix}: ${topics} values`) },
    100,
  );
  let stepping = false;
  const step = (): void => {
    stepping = false;
    snapshots.step(random.integer(1, 3));
    if (snapshots.busy) later();
  };
  const later = (): void => {
    if (stepping) return;
    stepping = true;
    simulation.after(random.next() * 5, step);
  };
  const topics = ["a", "ab", "abc", "abd", "b", "ba", "", "c", "ca", "cab", "caba", "d", "e", "f", "g"];
  for (let n = 0, time = 0; n < 60; n++) {
    time += random.next() * 4;
    simulation.at(time, () => {
      const frames = [Buffer.from(random.pick(topics)), Buffer.from(String(n))];
      cache.update(frames);
      evicted.delete(String(frames[0]));
      deliver(frames);
      expect(cache.topics).toBeLessThanOrEqual(MAX_TOPICS);
    });
    if (random.chance(0.15)) {
      simulation.at(time, () => {
        const prefix = random.pick(["", "a", "ab", "c", "cab", "x"]);
        simulation.note(`somebody subscribes to "${prefix}"`);
        subscribers.push(new SimulatedSubscriber(prefix));
        snapshots.request(prefix);
        later();
      });
    }
    if (random.chance(0.2)) {
      simulation.at(time, () => {
        const changes = cache.takeChanges(random.integer(1, 5));
        if (random.chance(0.2)) {
          cache.putBack(changes);
          return;
        }
        for (const key of changes.removed) stored.delete(key);
        for (const value of changes.changed) stored.set(value.key, String(value.message()[1]));
      });
    }
  }
  simulation.run(10_000);
  expect(snapshots.busy).toBe(false);
  for (const subscriber of subscribers) {
    const expected = cache.beneath(subscriber.prefix, undefined, 100).map(({ key }) => key);
    const known = [...subscriber.values.keys()].filter((topic) => !evicted.has(topic)).sort();
    expect(known).toEqual(expected);
    for (const key of expected) expect(subscriber.values.get(key)).toBe(Number(cache.get(key)?.[1]));
  }
  const changes = cache.takeChanges(1_000);
  for (const key of changes.removed) stored.delete(key);
  for (const value of changes.changed) stored.set(value.key, String(value.message()[1]));
  const kept = cache.beneath("", undefined, 100).map((value) => [value.key, String(value.message()[1])]);
  expect([...stored].sort()).toEqual(kept.sort());
}

it(
  "newcomers get the last value of all they asked for, and nobody an older one after a newer",
  () => {
    expect(runSchedules(story, { budget: 4_000 })).toBeGreaterThan(50);
  },
  process.env.SHOAL_LONG === "1" ? 3_600_000 : 20_000,
);
