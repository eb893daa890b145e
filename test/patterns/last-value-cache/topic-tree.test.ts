/** The tree against a sorted list that does the same slowly. */
import { describe, expect, it } from "vitest";
import { TopicTree } from "../../../src/patterns/last-value-cache/topic-tree.js";
import { Random } from "../../../src/testing/random.js";

function all(tree: TopicTree<string>, prefix = "", last?: string, max = 1_000): string[] {
  return tree.beneath(prefix, last, max);
}

describe("TopicTree", () => {
  it("gives what is beneath a prefix in byte order, the prefix itself first", () => {
    const tree = new TopicTree<string>();
    for (const topic of ["b", "ab", "a", "abc", "", "abd", "\xff", "a\0"]) tree.set(topic, topic);
    expect(all(tree)).toEqual(["", "a", "a\0", "ab", "abc", "abd", "b", "\xff"]);
    expect(all(tree, "ab")).toEqual(["ab", "abc", "abd"]);
    expect(all(tree, "abcd")).toEqual([]);
    expect(all(tree, "x")).toEqual([]);
  });

  it("goes on after a topic that is gone meanwhile", () => {
    const tree = new TopicTree<string>();
    for (const topic of ["a", "aa", "ab", "abc", "b"]) tree.set(topic, topic);
    expect(all(tree, "", undefined, 3)).toEqual(["a", "aa", "ab"]);
    tree.delete("ab");
    expect(all(tree, "", "ab", 3)).toEqual(["abc", "b"]);
    tree.set("abb", "abb");
    expect(all(tree, "a", "ab", 3)).toEqual(["abb", "abc"]);
  });

  it("replaces a value, and says whether there was one to delete", () => {
    const tree = new TopicTree<string>();
    tree.set("abc", "1");
    tree.set("abc", "2");
    expect(all(tree)).toEqual(["2"]);
    expect([tree.delete("ab"), tree.delete("abcd"), tree.delete(""), tree.delete("abc")]).toEqual([
      false,
      false,
      false,
      true,
    ]);
    expect(all(tree)).toEqual([]);
  });

  it("does what a sorted list does, through 10,000 changes and look-ups", () => {
    const random = new Random(7);
    const tree = new TopicTree<string>();
    const model = new Set<string>();
    const word = (): string =>
      Array.from({ length: random.integer(0, 6) }, () => random.pick(["a", "b", "\0", "\xff", "/"])).join("");
    for (let step = 0; step < 10_000; step++) {
      const topic = word();
      if (random.chance(0.5)) {
        tree.set(topic, topic);
        model.add(topic);
      } else expect(tree.delete(topic)).toBe(model.delete(topic));
      if (step % 20 > 0) continue;
      const prefix = word();
      const last = random.chance(0.5) ? prefix + word() : undefined;
      const max = random.integer(1, 20);
      const expected = [...model]
        .filter((known) => known.startsWith(prefix) && (last === undefined || known > last))
        .sort((a, b) => Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1")))
        .slice(0, max);
      expect(all(tree, prefix, last, max)).toEqual(expected);
    }
  });
});
