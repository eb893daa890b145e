/** Chunks of topics against a sorted list that does the same slowly. */
import { describe, expect, it } from "vitest";
import { SortedTopics } from "../../../src/patterns/last-value-cache/sorted-topics.js";
import { Random } from "../../../src/testing/random.js";

type Value = { readonly name: string; readonly number?: number };

function all(topics: SortedTopics<Value>, prefix = "", last?: string, max = 1_000_000): string[] {
  return topics.beneath(prefix, last, max).map(({ name }) => name);
}

describe("SortedTopics", () => {
  it("gives what is beneath a prefix in byte order, the prefix itself first", () => {
    const topics = new SortedTopics<Value>();
    for (const topic of ["b", "ab", "a", "abc", "", "abd", "\xff", "a\0"]) topics.set({ name: topic });
    expect(all(topics)).toEqual(["", "a", "a\0", "ab", "abc", "abd", "b", "\xff"]);
    expect(all(topics, "ab")).toEqual(["ab", "abc", "abd"]);
    expect(all(topics, "abcd")).toEqual([]);
    expect(all(topics, "x")).toEqual([]);
  });

  it("goes on after a topic that is gone meanwhile", () => {
    const topics = new SortedTopics<Value>();
    for (const topic of ["a", "aa", "ab", "abc", "b"]) topics.set({ name: topic });
    expect(all(topics, "", undefined, 3)).toEqual(["a", "aa", "ab"]);
    topics.delete("ab");
    expect(all(topics, "", "ab", 3)).toEqual(["abc", "b"]);
    topics.set({ name: "abb" });
    expect(all(topics, "a", "ab", 3)).toEqual(["abb", "abc"]);
  });

  it("replaces a value, and deletes only the topic that is named", () => {
    const topics = new SortedTopics<Value>();
    topics.delete("abc");
    topics.set({ name: "abc", number: 1 });
    topics.set({ name: "abc", number: 2 });
    for (const other of ["ab", "abcd", ""]) topics.delete(other);
    expect(topics.beneath("", undefined, 10)).toEqual([{ name: "abc", number: 2 }]);
    topics.delete("abc");
    expect(all(topics)).toEqual([]);
  });

  it("keeps the order of 10,000 topics, whatever the order in which they come and go", () => {
    const topics = new SortedTopics<Value>();
    const names = Array.from({ length: 10_000 }, (_, i) => `t.${String(i).padStart(5, "0")}`);
    const shuffled = names.map((_, i) => names[(i * 7_919) % names.length] as string);
    for (const name of shuffled) topics.set({ name });
    expect(all(topics)).toEqual(names);
    expect(all(topics, "t.07")).toEqual(names.slice(7_000, 8_000));
    expect(all(topics, "t.", "t.04999", 3)).toEqual(["t.05000", "t.05001", "t.05002"]);
    for (const name of shuffled.slice(0, 9_000)) topics.delete(name);
    expect(all(topics)).toEqual(shuffled.slice(9_000).sort());
    for (const name of shuffled) topics.delete(name);
    expect(all(topics)).toEqual([]);
  });

  it("does what a sorted list does, through 10,000 changes and look-ups", () => {
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
});
