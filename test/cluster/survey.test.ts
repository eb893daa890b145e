/** Round trips, and who reaches whom: measured by pings that accuse nobody. */
import { describe, expect, it } from "vitest";
import { MAX_MEASUREMENTS, type Measured } from "../../src/cluster/membership/survey.js";
import { survey } from "../../src/cluster/node/measuring.js";
import { type SimulatedNode, World } from "../../src/cluster/simulation/world.js";

/** Whole worlds: four nodes that see each other. */
function world(): { world: World; nodes: readonly SimulatedNode[] } {
  const made = new World({ seed: 7, latency: [2, 2] });
  made.start(4);
  made.runUntil(() => made.agree(), 5_000);
  expect(made.agree()).toBe(true);
  return { world: made, nodes: made.nodes };
}

function measure(
  of: World,
  [at, to, helper]: readonly [SimulatedNode, SimulatedNode, SimulatedNode?],
  timeout = 1_000,
): Measured {
  let found: Measured | undefined;
  of.act(at, (rules, now) => {
    expect(rules.measure(now, to.id, helper?.id, timeout, (measured) => (found = measured))).toBe(true);
  });
  of.runUntil(() => found !== undefined, 2 * timeout, 1);
  return found as Measured;
}

describe("a measurement", () => {
  it("is the time of both ways; a helper's says that it reaches the other", () => {
    const { world: of, nodes } = world();
    const [a, b, c] = nodes as [SimulatedNode, SimulatedNode, SimulatedNode];
    const own = measure(of, [a, b]);
    expect(own).toMatchObject({ result: "reached" });
    expect((own as { ms: number }).ms).toBeGreaterThanOrEqual(4);
    expect((own as { ms: number }).ms).toBeLessThan(10);
    expect(measure(of, [a, c, b])).toMatchObject({ result: "reached" });
  });

  it("finds the one pair that a fault keeps apart, and accuses nobody for it", () => {
    const { world: of, nodes } = world();
    const [a, b, c, d] = nodes as [SimulatedNode, SimulatedNode, SimulatedNode, SimulatedNode];
    of.blocks = (from, to) => (from === b && to === c) || (from === c && to === b);
    const suspects = of.nodes.map(({ rules }) => rules.live.filter(({ suspicion }) => suspicion).length);
    expect(measure(of, [a, c, b])).toEqual({ result: "unreached" });
    expect(measure(of, [a, b, c])).toEqual({ result: "unreached" });
    expect(measure(of, [a, c, d])).toMatchObject({ result: "reached" });
    expect(measure(of, [a, c])).toMatchObject({ result: "reached" });
    expect(suspects).toEqual([0, 0, 0, 0]);
  });

  it("of one that does not answer ends in time; so does one through a helper that does not", () => {
    const { world: of, nodes } = world();
    const [a, b, c] = nodes as [SimulatedNode, SimulatedNode, SimulatedNode];
    of.blocks = (_, to) => to === b;
    expect(measure(of, [a, b], 100)).toEqual({ result: "silent" });
    expect(measure(of, [a, c, b], 100)).toEqual({ result: "silent" });
  });

  it("is bounded in number, ends when the node leaves, and is refused of strangers", () => {
    const { world: of, nodes } = world();
    const [a, b] = nodes as [SimulatedNode, SimulatedNode];
    let ended = 0;
    of.act(a, (rules, now) => {
      for (let i = 0; i < MAX_MEASUREMENTS; i++)
        expect(rules.measure(now, b.id, undefined, 1_000, () => ended++)).toBe(true);
      expect(rules.measure(now, b.id, undefined, 1_000, () => ended++)).toBe(false);
      expect(rules.measure(now, "f".repeat(32), undefined, 1_000, () => ended++)).toBe(false);
      rules.leave(now);
      expect(ended).toBe(MAX_MEASUREMENTS);
      expect(rules.measure(now, b.id, undefined, 1_000, () => ended++)).toBe(false);
    });
  });
});

describe("a survey", () => {
  it("asks each pair once, 1,024 at most and this node's own first, 32 at a time", async () => {
    const others = Array.from({ length: 40 }, (_, i) => ({ id: `id${i}`, name: `n${i}@h` }));
    let underWay = 0;
    let most = 0;
    const { members, pairs, skipped } = await survey(
      { id: "self", name: "self@h" },
      others,
      10,
      (id, helper, _, done) => {
        most = Math.max(most, ++underWay);
        setImmediate(() => {
          underWay -= 1;
          done(
            helper === undefined
              ? { result: "reached", ms: 1 }
              : { result: id === "id0" ? "unreached" : "silent" },
          );
        });
        return true;
      },
      Math.random,
    );
    expect(members).toHaveLength(41);
    expect(pairs).toHaveLength(1_024);
    expect(new Set(pairs.map(({ from, to }) => `${from} ${to}`)).size).toBe(1_024);
    expect(skipped).toBe(40 + 40 * 39 - 1_024);
    expect(most).toBe(32);
    expect(
      pairs.slice(0, 40).every(({ from, state, ms }) => from === "self@h" && state === "reached" && ms === 1),
    ).toBe(true);
    expect(new Set(pairs.slice(40).map(({ to, state }) => `${to === "n0@h"} ${state}`))).toEqual(
      new Set(["true unreached", "false unknown"]),
    );
  });

  it("of ten thousand members chooses its pairs without a list of the hundred million there are", async () => {
    const others = Array.from({ length: 10_000 }, (_, i) => ({ id: `id${i}`, name: `n${i}@h` }));
    const asked: string[] = [];
    const start = performance.now();
    const { pairs, skipped } = await survey(
      { id: "self", name: "self@h" },
      others.slice(0, 1_000),
      10,
      (id, helper, _, done) => {
        asked.push(`${helper} ${id}`);
        done({ result: "reached", ms: 1 });
        return true;
      },
      Math.random,
    );
    expect([pairs.length, skipped]).toEqual([1_024, 1_000 * 1_000 - 1_024]);
    expect(asked.filter((each) => !each.startsWith("undefined")).length).toBe(24);
    const most = await survey(
      { id: "self", name: "self@h" },
      others,
      10,
      (_id, _helper, _timeout, done) => {
        done({ result: "reached", ms: 1 });
        return true;
      },
      Math.random,
    );
    expect([most.pairs.length, most.skipped]).toEqual([1_024, 10_000 * 10_000 - 1_024]);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});
