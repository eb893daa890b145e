/** The parts for pure rules: virtual time without promises, and messages with faults. */
import { expect, it } from "vitest";
import { type Faults, Network, NO_FAULTS, Random, RulesTimer, Simulation } from "../../src/testing/index.js";

/** What arrives at "b" of 1,000 numbered messages from "a", one each 0.1 ms. */
function arrivals(
  faults: Partial<Faults>,
  during: (network: Network, simulation: Simulation, got: number[]) => void = () => undefined,
) {
  const simulation = new Simulation(new Random(5));
  const network = new Network(simulation, { ...NO_FAULTS, ...faults });
  const got: number[] = [];
  network.join("a", () => undefined);
  network.join("b", (_, [frame]) => void got.push(Number(frame)));
  for (let i = 0; i < 1_000; i++) simulation.at(i / 10, () => void network.send("a", "b", [String(i)]));
  during(network, simulation, got);
  simulation.run(1_000);
  return got;
}

it("a network without faults delivers all, in order; with each fault, it does what the fault says", () => {
  const all = Array.from({ length: 1_000 }, (_, i) => i);
  expect(arrivals({})).toEqual(all);
  const lossy = arrivals({ loss: 0.2 });
  expect(lossy.length).toBeGreaterThan(700);
  expect(lossy.length).toBeLessThan(900);
  expect(lossy).toEqual([...lossy].sort((a, b) => a - b));
  expect(arrivals({ duplication: 0.2 }).length).toBeGreaterThan(1_100);
  const overtaken = arrivals({ reordering: true });
  expect(overtaken).not.toEqual(all);
  expect([...overtaken].sort((a, b) => a - b)).toEqual(all);
});

it("no choices mean no faults, certain ones neither", () => {
  expect(new Random([]).chance(1)).toBe(false);
  const seeded = new Random(1);
  expect(Array.from({ length: 1_000 }, () => seeded.chance(1))).not.toContain(false);
});

it("a message that comes twice is whole the second time, whatever its receiver did with the first", () => {
  const simulation = new Simulation(new Random(5));
  const network = new Network(simulation, { ...NO_FAULTS, duplication: 1 });
  const got: string[] = [];
  network.join("b", (_, frames) => {
    got.push(frames.map(String).join("|"));
    frames.at(-1)?.fill(0);
    frames.shift();
  });
  network.send("a", "b", ["one", "two"]);
  simulation.run(1_000);
  expect(got).toEqual(["one|two", "one|two"]);
});

it("a cut of one way, a cut, and a split let through what they say", () => {
  const simulation = new Simulation(new Random(1));
  const network = new Network(simulation);
  const got: string[] = [];
  const names = ["a", "b", "c", "d"];
  for (const name of names) network.join(name, (from) => void got.push(`${from}>${name}`));
  const reached = (): string => {
    got.length = 0;
    for (const from of names) for (const to of names) if (from !== to) network.send(from, to, ["x"]);
    simulation.run(simulation.now + 100);
    return names
      .flatMap((from) => names.map((to) => `${from}>${to}`))
      .filter((way) => way[0] !== way[2] && !got.includes(way))
      .join(" ");
  };
  expect(reached()).toBe("");
  network.cut("a", "b", { oneWay: true });
  expect(reached()).toBe("a>b");
  network.cut("a", "b");
  expect(reached()).toBe("a>b b>a");
  network.heal("a", "b");
  network.split(["a", "b"], ["c"]);
  expect(reached()).toBe("a>c b>c c>a c>b");
  network.healAll();
  expect(reached()).toBe("");
});

it("a node that stalls again while it gets what waited keeps the rest waiting, in order", () => {
  const simulation = new Simulation(new Random(1));
  const network = new Network(simulation);
  const got: string[] = [];
  network.join("b", (_, [frame]) => {
    got.push(String(frame));
    if (got.length === 2) network.stall("b");
  });
  network.stall("b");
  for (const text of ["1", "2", "3", "4"]) network.send("a", "b", [text]);
  simulation.run(100);
  network.resume("b");
  expect(got).toEqual(["1", "2"]);
  network.resume("b");
  expect(got).toEqual(["1", "2", "3", "4"]);
});

it("what was on its way to a node that crashed does not reach the next of its name", () => {
  const later: number[] = [];
  let atCrash = 0;
  const got = arrivals({}, (network, simulation, before) => {
    simulation.at(50, () => {
      atCrash = before.length;
      network.crash("b");
      network.join("b", (_, [frame]) => void later.push(Number(frame)));
    });
  });
  expect(got.length).toBe(atCrash);
  expect(later).toEqual(Array.from({ length: 499 }, (_, i) => 501 + i));
});

it("a timer calls rules when they want it, and not after its end", () => {
  const simulation = new Simulation(new Random(1));
  const ticks: number[] = [];
  let next: number | undefined = 100;
  const rules = {
    nextWakeUp: () => next,
    tick: (now: number) => {
      ticks.push(now);
      next = now + 100;
    },
  };
  const timer = new RulesTimer(simulation, rules);
  simulation.run(250);
  next = 220;
  timer.update();
  simulation.run(260);
  timer.stop();
  simulation.run(1_000);
  expect(ticks).toEqual([100, 200, 250]);
});

it("bounds the events of a run", () => {
  const simulation = new Simulation(new Random(1), { maxEvents: 50 });
  const again = (): void => void simulation.after(1, again);
  again();
  expect(() => simulation.run(1_000)).toThrow("More than 50 events before 1000 ms");
});
