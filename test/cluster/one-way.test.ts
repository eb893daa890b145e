/** Cuts in one direction: packets of some nodes do not reach some others, whose own packets arrive. */
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import fc from "../support/properties.js";
import { Sides } from "./sides.js";
import { type Nodes, type SimulatedNode, stateOf, World, type WorldOptions } from "./simulation/world.js";

const TIMEOUT = LONG ? 600_000 : 60_000;
/** ms after a cut within which at most one side goes on. */
const BOUND = 15_000;

function cluster(count: number, options: WorldOptions, multicast = false): { world: World; sides: Sides } {
  const world = new World(options);
  const sides = new Sides(world);
  for (let i = 0; i < count; i++) world.join(sides.add({ multicast }));
  expect(world.runUntil(() => world.agree(), 20_000)).toBeGreaterThanOrEqual(0);
  sides.run(3_000);
  return { world, sides };
}

/** The cut ends: all agree again, and nobody is a minority. */
function heal(world: World, sides: Sides): void {
  world.heal();
  sides.run(5_000);
  expect(world.runUntil(() => world.agree(), 20_000)).toBeGreaterThanOrEqual(0);
  sides.run(3_000);
  for (const node of world.nodes) expect(sides.isMinority(node), node.name).toBe(false);
}

describe("a node whose packets reach nobody, and which hears all", () => {
  for (const count of [2, 3, 4, 8, 20, 60])
    it(`of ${count} takes itself for a minority soon after the others lost it`, { timeout: TIMEOUT }, () => {
      // 25, 39 of 60: nobody pings the mute node for a while, so it hears nobody, and loses all, before it hears them again.
      const seeds = LONG ? Array.from({ length: 40 }, (_, i) => i + 1) : count === 60 ? [25, 39] : [1];
      for (const seed of seeds) {
        const { world, sides } = cluster(count, { seed });
        const mute = world.nodes[seed % count] as SimulatedNode;
        world.blocks = (from) => from === mute;
        mute.side = 1;
        sides.run(BOUND);
        for (let seconds = 0; seconds < (LONG ? 60 : 20); seconds++) {
          expect(sides.going().size, `seed ${seed}, ${seconds} s`).toBe(1);
          sides.run(1_000);
        }
        // Of two, the one with the lowest id goes on.
        if (count > 2) {
          expect(sides.isMinority(mute)).toBe(true);
          // Nobody answered it since the first was lost to it: it never took its side for the one that goes on.
          expect(sides.changesOf(mute).map(({ type }) => type)).toEqual(["minority"]);
        }
        const { falseDeaths } = world;
        heal(world, sides);
        expect(world.falseDeaths, "deaths after it").toBe(falseDeaths);
      }
    });

  it("says so of nobody else: the others stay members, and lose nobody but it", () => {
    const { world, sides } = cluster(4, { seed: 3 });
    const [mute, ...others] = world.nodes as [SimulatedNode, ...SimulatedNode[]];
    world.blocks = (from) => from === mute;
    sides.run(30_000);
    for (const node of others)
      for (const other of others) if (node !== other) expect(stateOf(node, other)).toBe("live");
    expect(others.some((node) => stateOf(mute, node) === "live")).toBe(true);
  });
});

describe("a node whose packets reach the group, and nobody directly", () => {
  for (const count of [2, 3, 8, 20])
    it(`of ${count} is lost once, whatever it sends to the group, and is back when the filter is gone`, {
      timeout: TIMEOUT,
    }, () => {
      for (let seed = 1; seed <= (LONG ? 40 : 1); seed++) {
        const { world, sides } = cluster(count, { seed }, true);
        const mute = world.nodes[seed % count] as SimulatedNode;
        world.blocks = (from) => from === mute;
        world.opensGroup = true;
        const seen = new Map<string, string[]>();
        world.onChange = (at, change) => {
          sides.note(at, change);
          if (at === mute || (change.type !== "lost" && change.type !== "back")) return;
          if (change.member.id === mute.id) seen.set(at.name, [...(seen.get(at.name) ?? []), change.type]);
        };
        // Heartbeats to the group, by their own time and when it changes its tags; not for so long that it is forgotten.
        for (let i = 0; i < 40; i++) {
          sides.run(1_000 + Math.floor(world.random() * 9_000));
          world.act(mute, (rules, now) => rules.setDetails(now, [`tag-${i}`], {}));
        }
        expect([...seen.values()], `seed ${seed}`).toEqual(new Array(count - 1).fill(["lost"]));
        expect(sides.going().size).toBe(1);
        world.opensGroup = false;
        heal(world, sides);
        expect([...seen.values()]).toEqual(new Array(count - 1).fill(["lost", "back"]));
      }
    });
});

describe("a cut in one direction between parts of a cluster", () => {
  it("has at most one side that goes on, and heals", { timeout: TIMEOUT }, () => {
    const sidesOf = fc.array(fc.nat(2), { minLength: 2, maxLength: 9 });
    fc.assert(
      fc.property(sidesOf, fc.nat(1_000_000), fc.constantFrom(0, 0.02, 0.1), (of, seed, loss) => {
        const { world, sides } = cluster(of.length, { seed, loss, latency: [1, 20] });
        for (const node of world.nodes) node.side = of[node.index] as number;
        // The sides with a greater number are heard, and hear nobody of the smaller ones.
        world.blocks = (from, to) => from.side < to.side;
        sides.run(BOUND);
        for (let seconds = 0; seconds < 20; seconds++) {
          expect(sides.going().size).toBeLessThanOrEqual(1);
          sides.run(1_000);
        }
        heal(world, sides);
      }),
      { numRuns: 1_000, defaultRuns: 8 },
    );
  });

  it("makes no minority of a node that one member alone receives", () => {
    const { world, sides } = cluster(6, { seed: 11 });
    const [mute, friend] = world.nodes as Nodes;
    world.blocks = (from, to) => from === mute && to !== friend;
    sides.run(60_000);
    for (const node of world.nodes) expect(sides.isMinority(node)).toBe(false);
    // The others' suspicions take it from its friend's view for moments.
    for (let left = 2_000; left > 0 && stateOf(friend, mute) !== "live"; left -= 100) sides.run(100);
    for (const node of world.nodes) expect(stateOf(friend, node === friend ? mute : node)).toBe("live");
  });
});

describe("lost and late packets", () => {
  it("make nobody a minority: what is sent arrives now and then", { timeout: TIMEOUT }, () => {
    for (const latency of [
      [1, 60],
      [150, 260],
    ] as const) {
      const { sides } = cluster(5, { seed: 4, loss: 0.3, latency });
      for (let seconds = 0; seconds < (LONG ? 3_600 : 200); seconds++) {
        sides.run(1_000);
        expect(sides.changes.filter(({ type }) => type === "minority")).toEqual([]);
      }
    }
  });
});
