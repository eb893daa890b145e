/**
 * Schedules of faults that fast-check makes, and makes smaller: what holds after and during each of them. SHOAL_LONG=1 runs
 * 1,500 of them, SHOAL_RUNS=10000 so many.
 */
import { describe, expect, it } from "vitest";
import type { ClusterChange } from "../../src/cluster/membership/context.js";
import { LONG } from "../support/long.js";
import fc from "../support/properties.js";
import { Sides } from "./sides.js";
import { type SimulatedNode, World } from "./simulation/world.js";

const NODES = 6;
const RUNS = Number(process.env.SHOAL_RUNS ?? 1_500);
/** ms after the last fault within which all agree. */
const BOUND = 60_000;
/** ms after which nothing is answered any more that was sent before a cut: a node that was stalled answers so much later. */
const IN_FLIGHT = 12_000;
/** Rules that chase their own tail would have more. */
const EVENTS_A_SECOND = 120 * NODES;

const node = fc.nat(NODES - 1);
const ms = fc.nat(9_000);
const wall = fc.integer({ min: -86_400_000, max: 86_400_000 });
const sides = fc.array(fc.nat(2), { minLength: NODES, maxLength: NODES });
const pairs = fc.uniqueArray(fc.tuple(node, node), { minLength: 1, maxLength: 8 });

const kind = <const K extends string>(name: K) => fc.constant(name);

/** A fault, or what a program or an operator does in the midst of them. */
const act = fc.oneof(
  fc.record({ kind: kind("crash"), node, ms }),
  fc.record({ kind: kind("restart"), node, ms, wall, memory: fc.boolean(), rename: fc.boolean() }),
  fc.record({ kind: kind("split"), sides, ms: fc.nat(40_000) }),
  // What the sides of smaller numbers send is not received by the others, which they hear.
  fc.record({ kind: kind("oneWay"), sides, ms: fc.nat(40_000) }),
  // From the first to the second of each: one-way and overlapping cuts.
  fc.record({ kind: kind("cut"), pairs, ms: fc.nat(40_000) }),
  fc.record({ kind: kind("heal"), ms }),
  fc.record({ kind: kind("stall"), node, ms }),
  fc.record({ kind: kind("suspend"), node, ms }),
  fc.record({ kind: kind("clock"), node, ms, ahead: fc.nat(20_000), rate: fc.constantFrom(0.9, 1, 1.1) }),
  fc.record({ kind: kind("network"), loss: fc.constantFrom(0, 0.05, 0.3), ms }),
  fc.record({ kind: kind("evidence"), node, at: node, ms }),
  fc.record({ kind: kind("details"), node, ms }),
  fc.record({ kind: kind("drain"), node, ms }),
  fc.record({ kind: kind("leave"), node, ms }),
  fc.record({ kind: kind("rejoin"), node, ms }),
  fc.record({ kind: kind("remove"), node, at: node, ms }),
  fc.record({ kind: kind("admit"), node, at: node, ms }),
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

/** A run of one schedule, with the invariants that hold at any time. */
class Run {
  readonly world: World;
  /** Of each node: ids that it has as removed. */
  readonly #removed = new Map<SimulatedNode, Set<string>>();
  readonly #left = new Set<SimulatedNode>();
  readonly #sides: Sides;
  /** Since when nothing of the sides of smaller numbers is received by the others; infinite: that is not so. */
  #oneWaySince = Number.POSITIVE_INFINITY;

  constructor(seed: number) {
    this.world = new World({
      seed,
      loss: 0.02,
      duplication: 0.05,
      latency: [1, 60],
      counts: true,
      // Who restarts while its seeds are down finds nobody; here it always has one.
      seeds: NODES,
      encodes: seed % 8 === 0,
    });
    this.#sides = new Sides(this.world);
    this.world.onChange = (at, change) => {
      const removed = this.#removed.get(at);
      if (change.type === "removed") removed?.add(change.id);
      else if (change.type === "admitted") removed?.delete(change.id);
      else if ((change.type === "joined" || change.type === "back") && removed?.has(change.member.id))
        throw new Error(`${at.name} has ${change.member.name}, which was removed`);
      this.#checkReached(at, change);
      this.#sides.note(at, change);
    };
    for (let i = 0; i < NODES; i++) {
      const each = this.world.add();
      this.#begin(each);
      this.world.join(each);
    }
    this.run(3_000);
  }

  /** Nodes that are to know each other in the end. */
  get there(): readonly SimulatedNode[] {
    return this.world.nodes.filter((each) => each.up && !this.#left.has(each) && !each.rules.removed);
  }

  run(most: number): void {
    const { world } = this;
    const { events } = world;
    this.#sides.run(most, 250);
    expect(world.events - events, "events").toBeLessThanOrEqual(EVENTS_A_SECOND * (1 + most / 1_000));
  }

  /** A member that is heard does not count as reached by that: not where nothing can reach it, nor at once by a minority. */
  #checkReached(at: SimulatedNode, change: ClusterChange): void {
    if (change.type === "reached") {
      const member = this.world.nodes.find(({ id }) => id === change.member.id);
      if (this.world.now - this.#oneWaySince > IN_FLIGHT && member !== undefined && at.side < member.side)
        throw new Error(`${at.name} counts ${change.member.name} as reached, and no packet gets there`);
    } else if ((change.type === "joined" || change.type === "back") && !change.member.isOneWay)
      if (this.#sides.isMinority(at)) throw new Error(`${at.name}, a minority, counts who comes as reached`);
  }

  do(step: Act): void {
    const { world } = this;
    if (["split", "oneWay", "cut", "heal"].includes(step.kind)) this.#oneWaySince = Number.POSITIVE_INFINITY;
    if (step.kind === "split" || step.kind === "oneWay") this.#split(step);
    else if (step.kind === "cut") {
      const ways = new Set(step.pairs.map(([from, to]) => from * NODES + to));
      world.blocks = (from, to) => ways.has(from.index * NODES + to.index);
    } else if (step.kind === "heal") world.heal();
    else if (step.kind === "network") world.loss = step.loss;
    else this.#doTo(world.nodes[step.node] as SimulatedNode, step);
    if (step.kind !== "split" && step.kind !== "oneWay") this.run(step.ms);
  }

  #doTo(
    on: SimulatedNode,
    step: Exclude<Act, { kind: "split" | "oneWay" | "cut" | "heal" | "network" }>,
  ): void {
    const { world } = this;
    if (step.kind === "restart") {
      if (on.up) world.crash(on);
      this.#left.delete(on);
      world.restart(on, step.wall, step.memory, step.rename ? `other-${on.index}@host` : on.name);
      this.#begin(on);
      return;
    }
    const at = "at" in step ? (world.nodes[step.at] as SimulatedNode) : on;
    if (!at.up) return;
    if (step.kind === "crash") world.crash(on);
    else if (step.kind === "stall") world.stall(on, step.ms);
    else if (step.kind === "suspend") world.suspend(on, step.ms);
    else if (step.kind === "clock") world.changeClock(on, step.ahead, step.rate);
    else if (step.kind === "evidence") world.act(at, (rules, now) => rules.onEvidence(now, on.address));
    else if (step.kind === "details")
      world.act(on, (rules, now) => rules.setDetails(now, [`t${step.ms}`], {}));
    else if (step.kind === "drain") world.act(on, (rules, now) => rules.drain(now));
    else if (step.kind === "rejoin") {
      if (this.#left.has(on)) return;
      const { start } = on.rules.self;
      world.act(on, (rules, now) => rules.rejoin(now, start + 1));
      expect(on.rules.self.start, "another life").toBeGreaterThan(start);
    } else if (step.kind === "leave") {
      this.#left.add(on);
      world.act(on, (rules, now) => rules.leave(now));
    } else if (at !== on) world.act(at, (rules, now) => rules[step.kind as "remove" | "admit"](now, on.id));
  }

  /** A clean cut of a cluster that agrees, in both directions or in one: at most one side goes on. */
  #split({ kind, sides: of, ms: most }: Extract<Act, { kind: "split" | "oneWay" }>): void {
    const { world } = this;
    world.heal();
    const wasWhole = world.agree(this.there) && this.there.every((each) => !this.#sides.isMinority(each));
    // Who came after a loss does not expect the lost one, and may be of another mind than its side.
    const expectsSame = new Set(this.there.map((each) => this.#sides.lostOf(each))).size === 1;
    for (const each of world.nodes) each.side = of[each.index] as number;
    if (kind === "split") world.cut(({ side }) => side);
    else {
      world.blocks = (from, to) => from.side < to.side;
      this.#oneWaySince = world.now;
    }
    this.run(most);
    if (!wasWhole || most < 25_000) return;
    const going = this.#sides.going(this.there);
    expect(going.size, "sides that go on").toBeLessThanOrEqual(1);
    if (kind === "oneWay" || !expectsSame) return;
    for (const each of this.there)
      expect(this.#sides.isMinority(each), `${each.name} is of its side's mind`).toBe(!going.has(each.side));
  }

  /** What every schedule ends in. */
  end(): void {
    const { world } = this;
    world.heal();
    this.#oneWaySince = Number.POSITIVE_INFINITY;
    world.loss = 0.02;
    // Who left goes; a removed one stays, and stays out.
    for (const each of this.#left) if (each.up) world.crash(each);
    const agreed = (): boolean => world.agree(this.there);
    // Suspicions of the time before end, or were refuted.
    this.run(10_000);
    for (let left = BOUND; left > 0 && !agreed(); left -= 250) this.run(250);
    expect(agreed(), `all of ${this.there.map(({ name }) => name).join(" ")} agree`).toBe(true);
    for (const at of this.there) {
      for (const of of this.there) {
        const member = at.rules.get(of.id);
        expect(member?.start).toBe(of.rules.self.start);
        expect(member?.details).toEqual(of.rules.self.details);
        expect(member?.draining).toBe(of.rules.self.draining);
        expect(at.rules.named(of.name)?.id, "one node keeps a name, at all").toBe(
          this.there[0]?.rules.named(of.name)?.id,
        );
      }
      for (const each of world.nodes)
        if (each.rules.removed) expect(at.rules.get(each.id)?.isLive ?? false).toBe(false);
    }
    // A suspicion that is refuted is a new incarnation on its way; a death is not to be.
    const { falseDeaths } = world;
    this.run(5_000);
    for (let left = 5_000; left > 0 && !agreed(); left -= 250) this.run(250);
    expect(agreed(), "they still agree").toBe(true);
    expect(world.falseDeaths, "deaths among them").toBe(falseDeaths);
  }

  #begin(each: SimulatedNode): void {
    this.#removed.set(each, new Set());
    this.#sides.begin(each);
  }
}

describe("a schedule that was found", () => {
  it("a node that is removed and has not heard of it admits another one, which is removed, too: both stay out", () => {
    const run = new Run(4);
    run.do({ kind: "remove", node: 0, at: 1, ms: 0 });
    run.do({ kind: "remove", node: 3, at: 1, ms: 1 });
    run.do({ kind: "admit", node: 3, at: 0, ms: 0 });
    run.end();
    expect(run.there).toHaveLength(4);
  });

  it("a removal that only the removed node has heard of is told to the others by that node", () => {
    const run = new Run(1309787743);
    run.do({ kind: "split", sides: [0, 2, 0, 0, 1, 2], ms: 0 });
    run.do({ kind: "leave", node: 5, ms: 3_394 });
    run.do({ kind: "remove", node: 1, at: 5, ms: 0 });
    run.do({ kind: "stall", node: 5, ms: 3_589 });
    run.end();
    expect(run.there).toHaveLength(4);
  });

  it("a node that came after another one was lost goes on alone of its side, and the other side does not", () => {
    const run = new Run(2);
    run.do({ kind: "crash", node: 5, ms: 8_000 });
    run.do({ kind: "restart", node: 2, ms: 8_000, wall: 0, memory: false, rename: false });
    run.do({ kind: "split", sides: [0, 0, 1, 1, 1, 0], ms: 30_000 });
    run.end();
  });

  it("a node whose clock was set back to the start of its earlier life is another one: that stays expected", () => {
    const run = new Run(65_330_719);
    run.do({ kind: "restart", node: 0, ms: 0, wall: -3_000, memory: false, rename: false });
    run.do({ kind: "leave", node: 2, ms: 45 });
    run.do({ kind: "restart", node: 2, ms: 58, wall: 0, memory: false, rename: false });
    run.do({ kind: "network", loss: 0.3, ms: 0 });
    run.do({ kind: "details", node: 0, ms: 534 });
    run.do({ kind: "split", sides: [0, 0, 1, 1, 1, 0], ms: 25_000 });
    run.end();
  });
});

describe("any schedule of faults", () => {
  it("ends in agreement of all that reach each other, and brings no removed node back", {
    timeout: LONG ? 800 * RUNS : 90_000,
  }, () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 }), fc.array(act, { maxLength: 10 }), (seed, steps) => {
        const run = new Run(seed);
        for (const step of steps) run.do(step);
        run.end();
      }),
      { numRuns: RUNS, defaultRuns: 25 },
    );
  });
});
