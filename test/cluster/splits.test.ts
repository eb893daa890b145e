import { describe, expect, it } from "vitest";
import { MAX_MEMBERS } from "../../src/cluster/bounds.js";
import {
  goesOn,
  type SplitChange,
  SplitRules,
  type SplitStrategy,
  type SplitView,
} from "../../src/cluster/membership/splits.js";
import { DeathReason } from "../../src/cluster/wire/packets.js";
import fc from "../support/properties.js";

const node = (index: number, start = index) => ({ id: `id${index}`, name: `n${index}@h`, start });
const MAJORITY: SplitStrategy = "majority";
/** The view of a node whose picture is that of the others, and who was answered at this time. */
const whole = (answeredAt: number): SplitView => ({ answeredAt, isWhole: true, stalledFor: 0 });

/** Nodes, and the side of a clean cut that each is on. */
const cuts = fc
  .array(fc.tuple(fc.nat(5), fc.nat(3)), { minLength: 2, maxLength: 9 })
  .map((list) => list.map(([start, side], index) => ({ ...node(index, start), side })));

function survivors(
  strategy: SplitStrategy,
  all: readonly (ReturnType<typeof node> & { side: number })[],
): number[] {
  return [...new Set(all.map(({ side }) => side))].filter((side) =>
    goesOn(
      strategy,
      all.filter((each) => each.side === side),
      all.filter((each) => each.side !== side),
    ),
  );
}

describe("which side goes on", () => {
  it("at most one, whatever the cut, by majority", () => {
    fc.assert(
      fc.property(cuts, (all) => {
        expect(survivors(MAJORITY, all).length).toBeLessThanOrEqual(1);
        const size = Math.floor(all.length / 2) + 1;
        expect(survivors({ quorum: size }, all).length).toBeLessThanOrEqual(1);
        expect(survivors("none", all).length).toBe(new Set(all.map(({ side }) => side)).size);
      }),
      { numRuns: 500 },
    );
  });
});

/** Of a node that has met nobody. */
function fresh(strategy: SplitStrategy = MAJORITY, index = 1, isOneHost = false) {
  const seen: SplitChange[] = [];
  const options = { strategy, stableFor: 1_000, autoheal: true, isOneHost };
  return { of: new SplitRules(node(index), options, (change) => seen.push(change)), seen };
}

function rules(strategy: SplitStrategy = MAJORITY, index = 0, count = 5, isOneHost = false) {
  const { of, seen } = fresh(strategy, index, isOneHost);
  for (let i = 0; i < count; i++) if (i !== index) of.onReached(0, node(i));
  of.tick(1_000, whole(1_000));
  return { of, seen };
}

describe("a node whose picture has not settled", () => {
  const MINORITY = { type: "minority", reached: 1, lost: 1 };

  it("decides nothing when it loses the only one that it knew, for 20 times as long as a decision takes", () => {
    const { of, seen } = fresh();
    of.onReached(0, node(0));
    of.onLost(900, "id0");
    of.tick(1_900, whole(0));
    expect([seen, of.nextWakeUp()]).toEqual([[], 20_900]);
    of.tick(20_899, whole(0));
    expect(seen).toEqual([]);
    of.tick(20_900, whole(0));
    expect(seen).toEqual([MINORITY]);
  });

  it("decides after 4 times as long, where it knew more than one", () => {
    const { of, seen } = fresh();
    for (const i of [0, 2, 3]) of.onReached(0, node(i));
    for (const i of [0, 2]) of.onLost(900, `id${i}`);
    of.tick(1_900, whole(0));
    expect([seen, of.nextWakeUp()]).toEqual([[], 4_900]);
    of.tick(4_900, whole(1_000));
    expect(seen).toEqual([{ type: "minority", reached: 2, lost: 2 }]);
  });

  it("has to be answered after a while without a change, to have the picture of the others, and to have lost nobody", () => {
    const views: readonly [SplitView, boolean][] = [
      [whole(1_000), true],
      [whole(999), false],
      [{ ...whole(1_000), isWhole: false }, false],
      [{ ...whole(1_000), stalledFor: 200 }, false],
    ];
    for (const [view, settles] of views) {
      const { of, seen } = fresh();
      of.onReached(0, node(0));
      of.tick(0, { ...view, stalledFor: 0 });
      of.tick(1_000, view);
      of.onLost(5_000, "id0");
      of.tick(6_000, view);
      expect(seen, JSON.stringify(view)).toEqual(settles ? [MINORITY] : []);
    }
  });
});

describe("a split", () => {
  it("is not taken for a whole side by a node that nobody has answered since the last change", () => {
    const { of, seen } = rules();
    of.onLost(10_000, "id1");
    of.tick(11_000, whole(9_999));
    of.tick(15_000, whole(10_000));
    expect([seen, of.nextWakeUp()]).toEqual([[], Number.POSITIVE_INFINITY]);
    // The next ones are lost: that it is a minority needs no answer.
    of.onLost(15_000, "id2");
    of.onLost(15_100, "id3");
    expect(of.nextWakeUp()).toBe(16_100);
    of.tick(16_100, whole(9_999));
    expect(seen).toEqual([{ type: "minority", reached: 2, lost: 3 }]);
    // Nor is it healed by those that it only hears.
    of.onReached(20_000, node(1));
    of.tick(21_000, whole(9_999));
    expect(of.minority).toBe(true);
    of.tick(21_500, whole(21_500));
    expect(seen.slice(1)).toEqual([{ type: "healed", rejoined: true }]);
  });

  it("a minority does not become a majority by forgetting; the others do forget", () => {
    const minority = rules(MAJORITY, 4);
    for (const id of ["id0", "id1", "id2"]) minority.of.onLost(10_000, id);
    minority.of.tick(11_000, whole(11_000));
    for (const id of ["id0", "id1", "id2"]) minority.of.onCleaned(id);
    // Three of six now, without the lowest id.
    minority.of.onReached(500_000, node(9));
    minority.of.tick(501_000, whole(501_000));
    expect(minority.seen.map(({ type }) => type)).toEqual(["minority"]);
    expect(minority.of.minority).toBe(true);
    const majority = rules();
    for (const id of ["id3", "id4"]) majority.of.onLost(10_000, id);
    majority.of.tick(11_000, whole(11_000));
    for (const id of ["id3", "id4"]) majority.of.onCleaned(id);
    majority.of.tick(401_000, whole(401_000));
    majority.of.onLost(500_000, "id2");
    majority.of.tick(501_000, whole(501_000));
    // Two of three.
    expect(majority.seen.map(({ type }) => type)).toEqual(["split", "split"]);
  });

  it("the lives before of a node that was started again are of no side", () => {
    const { of, seen } = rules(MAJORITY, 0, 2);
    // Killed and started again, again and again; whether its next life is there first or the loss of the one before.
    for (let life = 1; life <= 6; life++) {
      const next = { ...node(1, life + 1), id: `life${life}` };
      const before = life === 1 ? "id1" : `life${life - 1}`;
      if (life % 2 === 0) of.onLost(10_000 * life, before);
      of.onReached(10_000 * life, next);
      if (life % 2 === 1) of.onLost(10_000 * life, before);
      of.tick(10_000 * life + 1_000, whole(10_000 * life + 1_000));
    }
    expect(seen).toEqual([]);
    expect(of.lost).toEqual([]);
    // An older node of the same name is not its next life.
    of.onLost(90_000, "life6");
    of.onReached(90_000, { ...node(1, 3), id: "older" });
    of.tick(91_000, whole(91_000));
    expect(seen).toEqual([{ type: "split", reached: 2, lost: 1, strategy: "majority" }]);
  });

  it("what a minority remembers is bounded", () => {
    const { of } = rules(MAJORITY, 4);
    for (const id of ["id0", "id1", "id2"]) of.onLost(10_000, id);
    of.tick(11_000, whole(11_000));
    for (let i = 0; i < MAX_MEMBERS + 100; i++) {
      of.onReached(20_000, node(1_000 + i));
      of.onLost(20_000, `id${1_000 + i}`);
      of.onCleaned(`id${1_000 + i}`);
    }
    expect(of.lost.length).toBeLessThanOrEqual(MAX_MEMBERS + 3);
    expect(of.minority).toBe(true);
  });

  it.each([
    [DeathReason.CONNECTION, []],
    [DeathReason.REPLACED, []],
    [DeathReason.SILENT, [{ type: "minority", reached: 2, lost: 3 }]],
  ])("on one host has no processes that were killed, whose connections ended: %s", (reason, changes) => {
    const { of, seen } = rules(MAJORITY, 0, 5, true);
    for (const i of [1, 2, 3]) of.onChange(10_000, { type: "lost", member: node(i), reason } as never);
    of.tick(11_000, whole(11_000));
    expect(seen).toEqual(changes);
  });

  it("who left is of no side", () => {
    const { of, seen } = rules();
    for (const id of ["id1", "id2", "id3"]) of.onGone(10_000, id);
    of.tick(11_000, whole(11_000));
    of.onLost(12_000, "id4");
    of.tick(13_000, whole(13_000));
    // id0 has the lowest id of the two that are left.
    expect(seen).toEqual([{ type: "split", reached: 1, lost: 1, strategy: "majority" }]);
  });

  it("below its quorum a node is a minority also when nobody was lost", () => {
    const { of, seen } = rules({ quorum: 3 }, 0, 2);
    expect(seen).toEqual([{ type: "minority", reached: 2, lost: 0 }]);
    of.onReached(2_000, node(2));
    of.tick(3_000, whole(3_000));
    expect(of.minority).toBe(false);
  });
});
