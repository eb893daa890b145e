/** Chunks of topics against a sorted list that does the same slowly. */
import { expect, it } from "vitest";
import { SortedTopics } from "../../../src/patterns/last-value-cache/value-cache.js";
import { Random } from "../../../src/testing/random.js";

type Value = { readonly name: string; readonly number?: number };

function all(topics: SortedTopics<Value>, prefix = "", last?: string, max = 1_000_000): string[] {
  return topics.beneath(prefix, last, max).map(({ name }) => name);
}

it("SortedTopics does what a sorted list does, through 10,000 changes and look-ups", () => {
  const random = new Random(7);
  const topics = new SortedTopics<Value>();
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
    expect(all(topics, prefix, last, max)).toEqual(expected);
  }
});
