import { describe, expect, it } from "vitest";
import { type SimulatedNode, stateOf, World } from "./world.js";

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ??
  Number.NaN;

function cluster(count: number, options: Partial<ConstructorParameters<typeof World>[0]> = {}): World {
  const world = new World({ seed: 1, encodes: true, counts: true, ...options });
  world.start(count);
  const joined = world.runUntil(() => world.agree(), 20_000);
  expect(joined, "all see all").toBeGreaterThanOrEqual(0);
  world.run(1_000);
  return world;
}

const up = (world: World): SimulatedNode[] => world.nodes.filter((node) => node.up);

describe("joining", () => {
  it("ten nodes all see all within 200 ms", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World({ seed, encodes: true });
      world.start(10);
      expect(
        world.runUntil(() => world.agree(), 10_000),
        `seed ${seed}`,
      ).toBeLessThanOrEqual(200);
      expect(
        world.runUntil(() => world.agree(), 10_000),
        `seed ${seed}`,
      ).toBeGreaterThanOrEqual(0);
    }
  });

  it("forty nodes within a second, also with loss", () => {
    const world = new World({ seed: 1, loss: 0.02, duplication: 0.02, encodes: true });
    world.start(40);
    const time = world.runUntil(() => world.agree(), 10_000);
    expect(time).toBeGreaterThanOrEqual(0);
    expect(time).toBeLessThanOrEqual(2_000);
  });
});

describe("a killed process", () => {
  it("whose connections were reset is known to be gone by all within a second", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = cluster(10, { seed });
      const dead = world.nodes[3] as SimulatedNode;
      world.crash(dead);
      const witness = world.nodes[7] as SimulatedNode;
      world.act(witness, (rules, now) => rules.onEvidence(now, dead.address));
      const time = world.runUntil(() => world.agree(), 10_000);
      expect(time, `seed ${seed}`).toBeGreaterThanOrEqual(0);
      expect(time, `seed ${seed}`).toBeLessThanOrEqual(1_000);
      expect(world.falseDeaths).toBe(0);
    }
  });

  it("evidence against a live one is not believed", () => {
    const world = cluster(10, { loss: 0.05 });
    for (let i = 0; i < 200; i++) {
      const [at, of] = [world.nodes[i % 10] as SimulatedNode, world.nodes[(i * 3 + 1) % 10] as SimulatedNode];
      if (at !== of) world.act(at, (rules, now) => rules.onEvidence(now, of.address));
      world.run(100);
    }
    expect(world.falseDeaths).toBe(0);
  });
});

describe("a silent node", () => {
  it("is lost at all within 5 s, and back within 300 ms", () => {
    const times: number[] = [];
    const backs: number[] = [];
    for (let seed = 1; seed <= 40; seed++) {
      const world = cluster(10, { seed });
      const silent = world.nodes[seed % 10] as SimulatedNode;
      const others = up(world).filter((node) => node !== silent);
      world.stall(silent, 20_000);
      times.push(world.runUntil(() => others.every((node) => stateOf(node, silent) === "dead"), 20_000));
      world.run(20_000 - (times.at(-1) as number));
      backs.push(world.runUntil(() => world.agree(), 20_000));
    }
    console.log(
      "silent",
      percentile(times, 0.5),
      percentile(times, 0.99),
      "back",
      percentile(backs, 0.5),
      percentile(backs, 1),
    );
    expect(Math.min(...times, ...backs)).toBeGreaterThanOrEqual(0);
    expect(percentile(times, 0.5)).toBeLessThanOrEqual(3_000);
    expect(percentile(times, 0.99)).toBeLessThanOrEqual(5_000);
  });
});

describe("a cut", () => {
  it("of 4 nodes is noticed within 5 s, and healed within 1 s, after a minute and after a day", () => {
    const noticed: number[] = [];
    const healed: number[] = [];
    for (let seed = 1; seed <= 20; seed++) {
      const world = cluster(4, { seed });
      world.cut((node) => node.index % 2);
      const sides = [0, 1].map((side) => world.nodes.filter((node) => node.index % 2 === side));
      noticed.push(world.runUntil(() => sides.every((side) => world.agree(side)), 60_000));
      world.run(seed === 1 ? 86_400_000 : 60_000);
      world.heal();
      healed.push(world.runUntil(() => world.agree(), 60_000));
    }
    console.log("cut", percentile(noticed, 0.5), percentile(noticed, 1), "healed", healed.join(" "));
    expect(Math.min(...noticed, ...healed)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...noticed)).toBeLessThanOrEqual(5_000);
    expect(percentile(healed, 0.5)).toBeLessThanOrEqual(1_000);
  });
});
