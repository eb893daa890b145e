/** Messages of publishers that a last-value cache keeps, whatever is in them: as a map of the last ones would, in bounds. */
import { expect, test } from "vitest";
import { encodeMessage } from "../../../src/engine/frame-batch.js";
import { ValueCache } from "../../../src/patterns/last-value-cache/value-cache.js";
import { hex, mutated } from "../messages.js";
import { Random, runs, SEED, told } from "../seed.js";

const BOUNDS = { maxTopics: 40, maxBytes: 4_000, maxTopicBytes: 20, maxValueBytes: 300 };

test("a last-value cache", () => {
  const random = new Random(SEED);
  const count = runs(500, 200_000);
  const outbox = new Proxy({}, { get: () => () => undefined }) as never;
  const [one, other] = [new ValueCache(BOUNDS, outbox), new ValueCache(BOUNDS, outbox)];
  const seeds = Array.from({ length: 60 }, (_, i) => [
    Buffer.from(`topic ${i % 45}`),
    random.bytes(random.below(400)),
  ]);
  const last = new Map<string, string[]>();
  for (let i = 0; i < count; i++) {
    const from = seeds[random.below(seeds.length)] as Buffer[];
    const frames =
      random.below(3) === 0 ? mutated(random, from, seeds) : from.map((frame) => Buffer.from(frame));
    if (frames.length === 0) continue;
    one.update(frames);
    const copies = frames.map((frame) => Buffer.from(frame));
    other.updateAll(encodeMessage(copies, undefined));
    const [topic, ...value] = frames as [Buffer, ...Buffer[]];
    const size = value.reduce((sum, { length }) => sum + length, 8 * (value.length - 1));
    // A topic alone says nothing of its value.
    if (value.length === 0) continue;
    const fits = topic.length <= BOUNDS.maxTopicBytes && size <= BOUNDS.maxValueBytes;
    if (fits) last.set(hex(topic), value.map(hex));
    else last.delete(hex(topic));
    if (random.below(50) > 0) continue;
    for (const cache of [one, other]) {
      expect(cache.topics).toBeLessThanOrEqual(BOUNDS.maxTopics);
      expect(cache.stats().bytes).toBeLessThanOrEqual(BOUNDS.maxBytes);
      const kept = cache.beneath("", undefined, 1_000);
      expect(kept.length).toBe(cache.topics);
      for (const each of kept) {
        const [name, ...frames] = each.message();
        expect(frames.map(hex), hex(name as Buffer)).toEqual(last.get(hex(name as Buffer)));
      }
    }
    expect(one.topics).toBe(other.topics);
    expect(one.stats().bytes).toBe(other.stats().bytes);
  }
  told("last-value cache", count);
});
