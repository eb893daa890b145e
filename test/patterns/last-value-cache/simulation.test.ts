/**
 * Publishers, a cache and subscribers that come at any time, in simulated time. What engines do is in the network:
 * one sends a snapshot's values to everybody who asked for their topics; the other to the joiner alone, whose queue
 * has room for some of them, and which may leave, or take its subscription back, in the middle.
 *
 * Invariants: nobody gets an older value of a topic after a newer; when it is quiet everybody that is there has the
 * cache's value of every topic beneath its prefixes, and of no other; to one alone each of them is sent once; the cache
 * stays within its bounds; the store, which gets the changes, has what the cache has.
 */
import { expect, it } from "vitest";
import { Snapshots } from "../../../src/patterns/last-value-cache/snapshots.js";
import { ValueCache } from "../../../src/patterns/last-value-cache/value-cache.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

const MAX_TOPICS = 12;

/** Messages that a subscriber's queue holds; snapshots leave half of it free. */
const QUEUE = 8;

class SimulatedSubscriber {
  readonly values = new Map<string, number>();
  /** Topics that came from a snapshot, one entry each time. */
  readonly owed: string[] = [];
  /** On their way, in order. */
  readonly #queue: (readonly Buffer[])[] = [];
  gone = false;
  /** Called when there is room again. */
  onRoom: (() => void) | undefined;
  #reading = false;

  constructor(
    readonly simulation: Simulation,
    readonly prefix: string,
  ) {}

  get hasRoomToSpare(): boolean {
    return this.#queue.length <= QUEUE / 2;
  }

  send(frames: readonly Buffer[]): void {
    if (this.gone || !String(frames[0]).startsWith(this.prefix)) return;
    this.#queue.push(frames);
    this.#read();
  }

  leave(): void {
    this.gone = true;
    this.onRoom?.();
  }

  #read(): void {
    if (this.#reading || this.#queue.length === 0) return;
    this.#reading = true;
    this.simulation.after(this.simulation.random.next() * 6, () => {
      this.#reading = false;
      this.#receive(this.#queue.shift() as Buffer[]);
      this.#read();
      if (!this.hasRoomToSpare) return;
      const told = this.onRoom;
      this.onRoom = undefined;
      told?.();
    });
  }

  #receive(frames: readonly Buffer[]): void {
    const topic = String(frames[0]);
    const value = Number(frames[1]);
    expect(value, `an older value of ${topic}`).toBeGreaterThanOrEqual(this.values.get(topic) ?? -1);
    this.values.set(topic, value);
  }
}

const EVERYBODY = {};

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
    for (const subscriber of subscribers) subscriber.send(frames);
  };
  const alone = random.chance(0.6);
  const snapshots = new Snapshots<SimulatedSubscriber | typeof EVERYBODY>(
    cache,
    {
      send: (message, joiner) => {
        if (!(joiner instanceof SimulatedSubscriber)) {
          deliver(message);
          return "sent";
        }
        if (joiner.gone) return "gone";
        if (!joiner.hasRoomToSpare) {
          joiner.onRoom = () => {
            snapshots.ready(joiner);
            later();
          };
          return "full";
        }
        joiner.owed.push(String(message[0]));
        joiner.send(message);
        return "sent";
      },
      wants: (joiner) => !(joiner instanceof SimulatedSubscriber) || !joiner.gone,
      done: (prefix, topics) => simulation.note(`${prefix}: ${topics} values`),
    },
    100,
  );
  let stepping = false;
  const step = (): void => {
    stepping = false;
    snapshots.step(random.integer(1, 3));
    if (snapshots.busy) later();
  };
  const later = (): void => {
    if (stepping || !snapshots.busy) return;
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
        const subscriber = new SimulatedSubscriber(simulation, prefix);
        subscribers.push(subscriber);
        snapshots.request(prefix, alone ? subscriber : EVERYBODY);
        later();
        if (random.chance(0.3)) simulation.after(random.next() * 40, () => subscriber.leave());
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
        for (const value of changes.changed) stored.set(value.name, String(value.message()[1]));
      });
    }
  }
  simulation.run(10_000);
  expect(snapshots.stats()).toMatchObject({ waiting: 0, parked: 0 });
  for (const subscriber of subscribers) {
    expect(new Set(subscriber.owed).size).toBe(subscriber.owed.length);
    if (subscriber.gone) continue;
    const expected = cache.beneath(subscriber.prefix, undefined, 100).map(({ name }) => name);
    const known = [...subscriber.values.keys()].filter((topic) => !evicted.has(topic)).sort();
    expect(known).toEqual(expected);
    for (const key of expected) expect(subscriber.values.get(key)).toBe(Number(cache.get(key)?.[1]));
  }
  const changes = cache.takeChanges(1_000);
  for (const key of changes.removed) stored.delete(key);
  for (const value of changes.changed) stored.set(value.name, String(value.message()[1]));
  const kept = cache.beneath("", undefined, 100).map((value) => [value.name, String(value.message()[1])]);
  expect([...stored].sort()).toEqual(kept.sort());
}

it(
  "joiners get the last value of all they asked for, and nobody an older one after a newer",
  () => {
    runSchedules(story, { count: 40 });
  },
  SCHEDULES_TIMEOUT,
);
