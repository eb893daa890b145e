/** Topics that a cache deleted, apart from those at its bounds. */
import { expect, it } from "vitest";
import { ValueCache } from "../../../src/patterns/last-value-cache/value-cache.js";

it("counts what was deleted, and not what was evicted", () => {
  const bounds = { maxTopics: 1, maxBytes: 100, maxValueBytes: 100, maxTopicBytes: 10 };
  const cache = new ValueCache(bounds, { evicted: () => undefined, uncached: () => undefined });
  for (const topic of ["a", "b"]) cache.update([Buffer.from(topic), Buffer.from("1")]);
  expect([cache.delete("b"), cache.delete("b")]).toEqual([true, false]);
  expect(cache.stats()).toMatchObject({ evicted: 1, deleted: 1 });
});
