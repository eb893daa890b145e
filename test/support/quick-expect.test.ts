/** The quick `expect` holds and fails where vitest's does, with the same words. */
import { describe, it, expect as real } from "vitest";
import { expect as quick } from "./quick-expect.js";

const SYMBOL = Symbol("one");
const VALUES: readonly unknown[] = [
  ...[0, -0, 1, 2.5, Number.NaN, Number.POSITIVE_INFINITY, 3n],
  ...["", "1", "text", true, false, null, undefined, SYMBOL],
  ...[[], [undefined], new Array(1), [1, 2], [1, [2]], [Number.NaN], [0], [-0]],
  ...[
    {},
    { length: 0 },
    { a: 1 },
    new Map([[1, 2]]),
    Buffer.from("ab"),
    Buffer.from("ac"),
    new Uint8Array(2),
  ],
];
const WITH_ARGUMENT = [
  ...["toBe", "toEqual"],
  ...["toBeLessThan", "toBeLessThanOrEqual", "toBeGreaterThan", "toBeGreaterThanOrEqual"],
] as const;

type Expect = typeof real;
type Ask = (expect: Expect) => void;

/** `undefined`: it holds. */
function failureOf(ask: Ask, expect: Expect): Error | undefined {
  try {
    ask(expect);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

describe("the quick expect", () => {
  it.each([...WITH_ARGUMENT])("%s decides as vitest's, whatever the values", (matcher) => {
    const counts = { held: 0, failed: 0 };
    for (const value of VALUES)
      for (const expected of VALUES) {
        const ask: Ask = (expect) => expect(value, "a message")[matcher](expected as number);
        const [mine, theirs] = [failureOf(ask, quick), failureOf(ask, real)];
        real(mine?.message).toBe(theirs?.message);
        counts[theirs === undefined ? "held" : "failed"] += 1;
      }
    real(Math.min(counts.held, counts.failed)).toBeGreaterThan(2);
  });

  it.each(["toBeUndefined", "toBeDefined", "toBeNull"] as const)("%s decides as vitest's", (matcher) => {
    for (const value of VALUES) {
      const ask: Ask = (expect) => expect(value)[matcher]();
      real(failureOf(ask, quick)?.message).toBe(failureOf(ask, real)?.message);
    }
  });

  it("asks vitest's for all else", async () => {
    quick([1, 2]).not.toEqual([1]);
    quick({ a: 1, b: "x" }).toEqual({ a: 1, b: quick.any(String) });
    quick("text").toMatch(/ex/);
    await quick(Promise.reject(new RangeError("far"))).rejects.toThrow(RangeError);
    real(() => quick([1]).not.toEqual([1])).toThrow("to not deeply equal");
    real(() => quick("text").toMatch(/no/)).toThrow("to match /no/");
  });

  it("fails in the line that asks", () => {
    const failure = failureOf((expect) => expect(1).toBe(2), quick);
    real(failure?.stack?.split("\n").find((line) => line.includes("    at "))).toContain(
      "quick-expect.test.ts",
    );
  });

  it("takes a fifth of vitest's time at most, of what holds", () => {
    const times = (expect: Expect): number => {
      const before = process.cpuUsage();
      for (let i = 0; i < 20_000; i++) expect(i).toBe(i);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    times(quick);
    real(times(quick)).toBeLessThan(times(real) / 5);
  });
});
