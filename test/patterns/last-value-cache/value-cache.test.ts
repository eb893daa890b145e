/** What is kept, what has to go, and what a store gets. */
import { describe, expect, it, vi } from "vitest";
import { FRAME_COST } from "../../../src/core/memory.js";
import { encodeMessage, FrameBatch } from "../../../src/engine/frame-batch.js";
import {
  type CacheChanges,
  SortedTopics,
  ValueCache,
} from "../../../src/patterns/last-value-cache/value-cache.js";
import { Random } from "../../../src/testing/random.js";
import { texts } from "../../contract/support/wait.js";
import { collectGarbage } from "../../support/collect-garbage.js";

const BOUNDS = { maxTopics: 3, maxBytes: 1_000, maxTopicBytes: 10, maxValueBytes: 200 };

function create(bounds: Partial<typeof BOUNDS> = {}, collects = false) {
  const told: string[] = [];
  const cache = new ValueCache(
    { ...BOUNDS, ...bounds },
    {
      evicted: (topic) => told.push(`evicted ${topic}`),
      uncached: (topic, reason) => told.push(`${reason} ${topic}`),
    },
    collects,
  );
  const update = (...frames: (string | Buffer)[]): void =>
    cache.update(frames.map((frame) => Buffer.from(frame as string)));
  const topics = (): string[] => cache.beneath("", undefined, 1_000).map(({ name }) => name);
  return { cache, told, update, topics };
}

function batchOf(frames: readonly Buffer[]): FrameBatch {
  const { bytes } = encodeMessage(frames, undefined);
  const tally = { bodyBytes: 1, frames: 1, mostFrames: frames.length };
  return new FrameBatch(bytes, 0, bytes.length, 1, tally, undefined);
}

describe("ValueCache", () => {
  it("counts each frame past a value's first, the empty ones too", () => {
    const { cache, told, update, topics } = create({ maxBytes: 300 });
    const empty = (count: number): string[] => Array.from({ length: count }, () => "");
    update("a", ...empty(3));
    update("b", ...empty(3));
    expect(cache.stats().bytes).toBe(2 * (1 + 2 * FRAME_COST));
    update("c", ...empty(3));
    expect(topics()).toEqual(["b", "c"]);
    update("d", ...empty(5));
    expect(told).toEqual(["evicted a", "value-too-large d"]);
  });

  it("and so messages of many frames are not held for long as they came", () => {
    const { cache } = create({ maxBytes: 10_000_000, maxValueBytes: 1_000_000 });
    const fresh = (): boolean[] => cache.beneath("", undefined, 10).map((value) => value.fresh);
    const frames = (topic: string): Buffer[] => [
      Buffer.from(topic),
      ...Array.from({ length: 8_001 }, () => Buffer.alloc(0)),
    ];
    cache.update(frames("a"));
    cache.updateAll(batchOf(frames("b")));
    expect(fresh()).toEqual([true, true]);
    cache.update(frames("c"));
    expect(fresh()).toEqual([false, false, false]);
  });

  it("changes no message that it has given", () => {
    const { cache } = create();
    const given: string[][] = [];
    const messages: Buffer[][] = [];
    for (const text of ["one", "two"]) {
      cache.updateAll(batchOf([Buffer.from("t"), Buffer.from(text)]));
      expect(cache.pending).toBe(0); // It settles the value.
      for (const value of cache.beneath("", undefined, 1)) messages.push(value.message());
      given.push(["t", text]);
    }
    expect(messages.map(texts)).toEqual(given);
  });

  it("forgets the value before a message that it cannot keep: it is not the last any more", () => {
    const { cache, told, update } = create();
    update("a", "1");
    update("a", "x".repeat(201));
    expect(cache.get("a")).toBeUndefined();
    update("b", "1");
    update("b");
    expect(cache.get("b")).toBeUndefined();
    update("a topic too long", "1");
    expect(told).toEqual(["value-too-large a", "single-frame b", "topic-too-long a topic too long"]);
    expect(cache.stats()).toMatchObject({
      topics: 0,
      bytes: 0,
      uncached: { "single-frame": 1, "topic-too-long": 1, "value-too-large": 1 },
    });
  });

  it("makes the same of messages as they came as of their frames", () => {
    const random = new Random(7);
    const bounds = { maxTopics: 40, maxBytes: 6_000, maxTopicBytes: 70, maxValueBytes: 600 };
    const [one, other] = [create(bounds, true), create(bounds, true)];
    for (let n = 0; n < 300; n++) {
      const messages = Array.from({ length: random.integer(1, 30) }, () => {
        const topic = `${random.integer(1, 60)}`.padStart(random.pick([1, 2, 12, 66, 72]), "t");
        const frames = Array.from({ length: random.pick([0, 1, 1, 1, 2]) }, () =>
          "v".repeat(random.pick([0, 3, 250, 300, 601])),
        );
        return [topic, ...frames, ...frames.slice(1).map(() => String(n))].map((frame) => Buffer.from(frame));
      });
      for (const message of messages) one.cache.update(message);
      const bytes = Buffer.concat(messages.map((frames) => encodeMessage(frames, undefined).bytes));
      const tally = { bodyBytes: 0, frames: 0, mostFrames: 0 };
      other.cache.updateAll(new FrameBatch(bytes, 0, bytes.length, messages.length, tally, undefined));
      if (random.chance(0.2)) {
        const topic = random.pick(one.topics());
        expect([one.cache.delete(topic), other.cache.delete(topic)]).toEqual([true, true]);
      }
      expect(other.cache.stats()).toEqual(one.cache.stats());
      const values = (cache: ValueCache): string[][] =>
        cache.beneath("", undefined, 100).map((value) => texts(value.message()));
      expect(values(other.cache)).toEqual(values(one.cache));
      const changes = (cache: ValueCache): unknown => {
        const { changed, removed } = cache.takeChanges(1_000);
        return [changed.map((value) => texts(value.message())), removed];
      };
      if (random.chance(0.3)) expect(changes(other.cache)).toEqual(changes(one.cache));
    }
    expect(other.told).toEqual(one.told);
    expect(one.told.length).toBeGreaterThan(100);
  });

  it("gives copies: what somebody does to them changes nothing, nor does the next update change them", () => {
    const { cache, update } = create({}, true);
    update("a", "first");
    cache.takeChanges(10); // Settles the value in memory of its own.
    const given = cache.beneath("a", undefined, 1)[0]?.message() ?? [];
    const read = cache.get("a") ?? [];
    read[1]?.fill(0);
    update("a", "other");
    cache.takeChanges(10);
    expect(texts(given)).toEqual(["a", "first"]);
    expect(texts(cache.get("a") ?? [])).toEqual(["a", "other"]);
  });

  it("keeps no memory of an encoded value once the next one comes as frames", async () => {
    const MIB = 1_048_576;
    const { cache, update } = create({ maxBytes: 32 * MIB, maxValueBytes: 32 * MIB }, true);
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    cache.updateAll(batchOf([Buffer.from("a"), Buffer.alloc(16 * MIB)]));
    expect(cache.pending).toBe(1); // It settles the value.
    update("a", "small");
    expect(cache.pending).toBe(1);
    await vi.waitFor(() => {
      collectGarbage();
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * MIB);
    }, 10_000);
    expect(texts(cache.get("a") ?? [])).toEqual(["a", "small"]);
  });

  it("keeps its totals, its bounds and the right order through 20,000 random updates, and a store has what it has", () => {
    const random = new Random(11);
    const { cache, update, topics } = create({ maxTopics: 50, maxBytes: 2_000 }, true);
    /** Least recently updated first. */
    const model = new Map<string, string>();
    const stored = new Map<string, string>();
    /** Not written yet. */
    let taken: CacheChanges | undefined;
    const keep = ({ removed, changed }: CacheChanges): void => {
      for (const key of removed) stored.delete(key);
      for (const value of changed) stored.set(value.name, String(value.message()[1]));
    };
    const bytesOf = (): number =>
      [...model].reduce((sum, [topic, value]) => sum + topic.length + value.length, 0);
    for (let step = 0; step < 20_000; step++) {
      const topic = `t${random.integer(0, 99)}`;
      if (random.chance(0.05)) {
        expect(cache.delete(topic)).toBe(model.delete(topic));
        continue;
      }
      const value = "v".repeat(random.integer(0, 100));
      update(topic, value);
      model.delete(topic);
      model.set(topic, value);
      while (model.size > 50 || bytesOf() > 2_000) model.delete(model.keys().next().value as string);
      if (random.chance(0.01)) {
        taken ??= cache.takeChanges(random.integer(1, 60));
        if (random.chance(0.5)) {
          keep(taken);
          taken = undefined;
        }
      }
      if (step % 100 > 0) continue;
      expect(topics()).toEqual([...model.keys()].sort());
      expect(cache.stats()).toMatchObject({ topics: model.size, bytes: bytesOf() });
      // Whatever is read, and in what order: that changes nothing.
      for (const [known, last] of [...model].reverse())
        expect(texts(cache.get(known) ?? [])).toEqual([known, last]);
    }
    if (taken !== undefined) keep(taken);
    keep(cache.takeChanges(1_000));
    expect([...stored].sort()).toEqual([...model].sort());
  });
});

it("SortedTopics does what a sorted list does, through 10,000 changes and look-ups", () => {
  const random = new Random(7);
  const topics = new SortedTopics<{ readonly name: string }>();
  const model = new Set<string>();
  const word = (): string =>
    Array.from({ length: random.integer(0, 6) }, () => random.pick(["a", "b", "\0", "\xff", "/"])).join("");
  for (let step = 0; step < 10_000; step++) {
    const topic = word();
    if (random.chance(0.5)) {
      topics.set({ name: topic });
      model.add(topic);
    } else {
      topics.delete(topic);
      model.delete(topic);
    }
    if (step % 20 > 0) continue;
    const prefix = word();
    const last = random.chance(0.5) ? prefix + word() : undefined;
    const max = random.integer(1, 20);
    const expected = [...model]
      .filter((known) => known.startsWith(prefix) && (last === undefined || known > last))
      .sort((a, b) => Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1")))
      .slice(0, max);
    expect(topics.beneath(prefix, last, max).map(({ name }) => name)).toEqual(expected);
  }
});
