import { describe, expect, it } from "vitest";
import { MessageNames, TopicIds } from "../../../src/cluster/messaging/names.js";
import { ignore } from "../../../src/core/waiter.js";
import { InvalidArgumentError } from "../../../src/index.js";

/** Numbers one after the other in place of random ones. */
function from(first: number): () => number {
  let next = first;
  return () => next++;
}

describe("ids of topics", () => {
  it("stay with their name", () => {
    const ids = new TopicIds(from(100));
    ids.create("a", 5);
    expect(() => ids.create("b", 5)).toThrow(/stands for "a"/);
    expect([ids.names.get(5), ids.ids.has("b")]).toEqual(["a", false]);
  });

  it.each([0, 1, -1, 1.5, 2 ** 32, Number.NaN, "2" as unknown as number])("are not %s", (id) => {
    const ids = new TopicIds(from(2));
    expect(() => ids.create("a", id)).toThrow(InvalidArgumentError);
    expect(ids.ids.has("a")).toBe(false);
  });

  it("are not those of clients, which calls by number would reach instead", () => {
    const ids = new TopicIds(from(2), (id) => id === 7);
    expect(() => ids.create("a", 7)).toThrow(InvalidArgumentError);
    expect(ids.create("a", 8)).toBe(8);
  });

  it("are of topics, not of filters", () => {
    expect(() => new TopicIds(from(2)).create("a/+", 5)).toThrow(InvalidArgumentError);
  });

  it("made at random pass over 0, self, those of other names, and what else has a number", () => {
    for (const [random, free] of [
      [0, 2],
      [1, 2],
      [7, 9],
      [2 ** 32 + 9, 9],
      [2 ** 32 - 1, 2],
    ] as const) {
      const ids = new TopicIds(
        () => random,
        (id) => id === 8 || id === 2 ** 32 - 1,
      );
      ids.create("seven", 7);
      expect(ids.create("other")).toBe(free);
    }
  });

  it("are 4,096 at most", () => {
    const EFSM = expect.objectContaining({ code: "EFSM" });
    const many = new TopicIds(from(2));
    for (let i = 0; i < 4_096; i++) many.create(`t/${i}`);
    expect(() => many.create("more")).toThrow(EFSM);
    expect(many.create("t/7")).toBe(9);
  });

  it("of received names are 0 where no program may have the name, and nothing throws", () => {
    const names = new MessageNames("a", ignore);
    const numbers = ["a/+", "a\0", "pong"].map((name) => names.numberOf(name, true));
    expect(numbers).toEqual([0, 0, names.subtopics.ids.get("pong")]);
  });
});
