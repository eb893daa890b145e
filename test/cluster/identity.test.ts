import { describe, expect, it } from "vitest";
import {
  compareIncarnations,
  createId,
  fullName,
  incarnationAfter,
  isId,
  isName,
  keepsName,
  MAX_COUNT,
  MAX_HEARD_START,
  MAX_START,
  nextIncarnation,
  shortId,
} from "../../src/cluster/identity.js";
import { thrown } from "../contract/support/wait.js";
import fc from "../support/properties.js";

const start = fc.integer({ min: 0, max: 2 ** 41 });
const count = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constant(MAX_COUNT));
const incarnation = fc.record({ start, count });
const newer = (a: { start: number; count: number }, b: { start: number; count: number }): boolean =>
  compareIncarnations(a, b) > 0;

describe("names and ids", () => {
  it("a name has one host, and no characters that command lines trip over", () => {
    expect(fullName("billing", "10.0.0.1")).toBe("billing@10.0.0.1");
    expect(fullName("billing@eu", "10.0.0.1")).toBe("billing@eu");
    for (const bad of ["", "a b", "a@b@c", "@b", "a@", "a\n", "a,b", `${"x".repeat(130)}`])
      expect(thrown(() => fullName(bad, bad.includes("@") ? "" : "h")).code, bad).toBe("EINVAL");
    expect(isName("x".repeat(129))).toBe(false);
  });

  it("an id is 32 hexadecimal digits, and never the same twice", () => {
    expect(isId(createId())).toBe(true);
    expect(createId()).not.toBe(createId());
    expect(isId("0".repeat(31))).toBe(false);
    expect(shortId("00000000".padEnd(32, "1"))).toBe(1);
    expect(shortId("ff000001".padEnd(32, "1"))).toBe(0xff000001);
  });
});

describe("incarnations", () => {
  it("a statement is newer than the one before, also when the counter is full", () => {
    fc.assert(fc.property(incarnation, (one) => newer(nextIncarnation(one), one)));
  });

  it("what a node becomes is newer than itself and than what it heard, however clocks jumped", () => {
    fc.assert(
      fc.property(incarnation, incarnation, (mine, heard) => {
        const next = incarnationAfter(mine, heard);
        if (heard.start < mine.start) expect(next).toBeUndefined();
        else if (next !== undefined) {
          expect(newer(next, mine)).toBe(true);
          expect(newer(next, heard)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("forged statements take a start no further than its packets can, and leave room for the node's own", () => {
    let mine = { start: 1_700_000_000_000, count: 0 };
    for (let i = 0; i < 1_000; i++) {
      const ahead = Math.min(mine.start + 50 * 365 * 86_400_000, MAX_START);
      for (const heard of [ahead, MAX_HEARD_START, MAX_HEARD_START - 1, mine.start])
        mine = incarnationAfter(mine, { start: heard, count: MAX_COUNT }) ?? mine;
      expect(mine.start).toBeLessThanOrEqual(MAX_HEARD_START);
    }
    expect(mine.start).toBe(MAX_HEARD_START);
    expect(nextIncarnation({ start: mine.start, count: MAX_COUNT }).start).toBeLessThanOrEqual(MAX_START);
  });
});

describe("one name at two nodes", () => {
  it("exactly one of two keeps it, and a chain has one winner", () => {
    const claimant = fc.record({ id: fc.stringMatching(/^[0-9a-f]{2}$/), start: fc.nat(3) });
    fc.assert(
      fc.property(claimant, claimant, claimant, (a, b, c) => {
        if (a.id !== b.id) expect(keepsName(a, b)).toBe(!keepsName(b, a));
        if (keepsName(a, b) && keepsName(b, c)) expect(keepsName(a, c)).toBe(true);
      }),
    );
    expect(keepsName({ id: "b", start: 1 }, { id: "a", start: 2 })).toBe(true);
  });
});
