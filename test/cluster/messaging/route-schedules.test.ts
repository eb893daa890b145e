/**
 * Schedules of joins, leaves, cuts, restarts, changes of interest, lost sessions and slow peers that fast-check makes, and makes
 * smaller. SHOAL_LONG=1 runs 1,500 of them.
 */
import { describe, expect, it } from "vitest";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";
import { type RouteNode, RouteWorld } from "./route-world.js";

/** ms after the last fault within which all copies are right. */
const BOUND = 10_000;

const node = fc.nat(63);
const ms = fc.nat(400);
const filter = fc.nat(11).map((number) => `f/${number}`);
const pairs = fc.uniqueArray(fc.tuple(node, node), { minLength: 1, maxLength: 8 });

const act = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("subscribe" as const), node, filter, ms }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("unsubscribe" as const), node, filter, ms }) },
  // So many at once that they are several items.
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("many" as const),
      node,
      count: fc.constantFrom(100, 200, 400, 400, 400, 4_500),
      ms,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fewer" as const), node, ms }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("join" as const), ms }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), node, ms }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("restart" as const), node, filter, ms }) },
  // The membership of each notices, or does not.
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("cut" as const),
      pairs,
      notices: fc.boolean(),
      ms: fc.nat(4_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("heal" as const), ms }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("stall" as const), node, ms: fc.nat(8_000) }) },
  // One forgets the other, which may not notice.
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("forget" as const), pairs, ms }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("full" as const), pairs, ms }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("room" as const), ms }) },
  // Somebody publishes: the interest of those that were just met is waited for.
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("ask" as const), node, ms: fc.nat(50) }) },
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

class Run {
  readonly world: RouteWorld;
  #cut = new Set<string>();

  constructor(seed: number, count: number) {
    this.world = new RouteWorld({ seed, latency: [1, 20] });
    for (let i = 0; i < count; i++) this.world.add();
    this.world.meet(300);
    this.world.run(seed % 400);
  }

  #at(index: number): RouteNode {
    return this.world.nodes[index % this.world.nodes.length] as RouteNode;
  }

  get #up(): RouteNode[] {
    return this.world.nodes.filter(({ up }) => up);
  }

  /** Each of the others notices by itself, some time later. */
  #notice(of: RouteNode, state: "alive" | "lost" | "gone"): void {
    const { life } = of;
    for (const at of this.#up)
      this.world.later(this.world.random() * 500, () => {
        if (of.life === life && (state === "alive") === of.up && !this.#cut.has(`${of.index} ${at.index}`))
          this.world.see(at, of, state);
      });
  }

  do(step: Act): void {
    const { world } = this;
    if ("node" in step) this.#doTo(this.#at(step.node), step);
    else if (step.kind === "join") {
      if (world.nodes.length < 48) {
        const joined = world.add();
        this.#notice(joined, "alive");
        for (const other of this.#up) world.later(world.random() * 500, () => this.#seeIfUp(joined, other));
      }
    } else if (step.kind === "cut") {
      for (const [a, b] of step.pairs) {
        const [from, to] = [this.#at(a), this.#at(b)];
        if (from === to) continue;
        this.#cut.add(`${from.index} ${to.index}`);
        if (step.notices)
          world.later(
            300,
            () =>
              this.#cut.has(`${from.index} ${to.index}`) && to.known.has(from) && world.see(to, from, "lost"),
          );
      }
      world.blocks = (from, to) => this.#cut.has(`${from.index} ${to.index}`);
    } else if (step.kind === "heal") this.#heal();
    else if (step.kind === "forget")
      for (const [a, b] of step.pairs) {
        const [at, of] = [this.#at(a), this.#at(b)];
        world.see(at, of, "gone");
        world.later(world.random() * 1_000, () => this.#seeIfUp(at, of));
      }
    else if (step.kind === "full") for (const [a, b] of step.pairs) this.#at(a).full.add(this.#at(b));
    else this.#empty();
    world.run(step.ms);
  }

  #doTo(on: RouteNode, step: Extract<Act, { node: number }>): void {
    const { world } = this;
    if (step.kind === "restart") {
      on.restart();
      this.#notice(on, "alive");
      for (const other of this.#up) world.later(world.random() * 500, () => this.#seeIfUp(on, other));
      on.subscribe(step.filter);
      return;
    }
    if (!on.up) return;
    if (step.kind === "subscribe") on.subscribe(step.filter);
    else if (step.kind === "unsubscribe") on.unsubscribe(step.filter);
    else if (step.kind === "many") for (let i = 0; i < step.count; i++) on.subscribe(`many/${i}/of/them`);
    else if (step.kind === "fewer") for (const each of [...on.filters]) on.unsubscribe(each);
    else if (step.kind === "ask") world.act(on, () => on.rules.askUnsettled(world.now));
    else if (step.kind === "stall") on.stalledUntil = world.now + step.ms;
    else if (this.#up.length > 2) {
      on.up = false;
      this.#notice(on, "gone");
    }
  }

  #seeIfUp(at: RouteNode, of: RouteNode): void {
    if (of.up && !this.#cut.has(`${of.index} ${at.index}`)) this.world.see(at, of, "alive");
  }

  #heal(): void {
    this.#cut.clear();
    this.world.blocks = undefined;
    for (const at of this.#up)
      for (const of of this.#up)
        if (at !== of) this.world.later(this.world.random() * 500, () => this.#seeIfUp(at, of));
  }

  #empty(): void {
    for (const at of this.world.nodes) {
      const full = [...at.full];
      at.full.clear();
      for (const of of full) if (at.up) this.world.act(at, () => at.rules.onRoom(this.world.now, of.id));
    }
  }

  end(): void {
    const { world } = this;
    this.#heal();
    this.#empty();
    world.run(1_000);
    for (const at of this.#up)
      for (const of of world.nodes) if (at !== of) world.see(at, of, of.up ? "alive" : "gone");
    // Who was just met is known, or given up, in time, whatever happens.
    const met = this.#up.map((at) => [at, [...at.rules.unsettled.keys()]] as const);
    world.run(1_100);
    for (const [at, ids] of met)
      for (const id of ids) expect(at.rules.unsettled.has(id), "unsettled").toBe(false);
    const took = world.until(() => world.agree(), BOUND, 50);
    if (took === Number.POSITIVE_INFINITY) expect.fail(this.#differences());
    for (const at of this.#up) {
      // A node's own word alone makes its versions, and nobody has a route of a node that is gone.
      expect(at.rules.stats().own.filters).toBe(at.filters.size);
      for (const [{ owner }, filters] of at.store.filters)
        if (filters.size > 0)
          expect(world.nodes.find(({ id }) => id === owner)?.up, "routes of nobody").toBe(true);
      const routes = [...at.store.filters.values()].reduce((sum, { size }) => sum + size, 0);
      expect(at.rules.stats().routes, "what is counted").toBe(routes);
    }
    // Every subscription is acknowledged, and then nothing more is sent.
    const asked = this.#up.map((at) => [at, at.subscribe("last")] as const);
    expect(
      world.until(() => asked.every(([at, ticket]) => at.rules.acked(ticket)), BOUND, 50),
      "acknowledged",
    ).toBeLessThan(BOUND);
    expect(world.agree()).toBe(true);
    world.run(1_000);
    const { items } = world;
    world.run(3_000);
    expect(world.items - items, "items of an idle cluster").toBe(0);
  }

  #differences(): string {
    const found: string[] = [];
    for (const at of this.#up)
      for (const of of this.#up)
        if (at !== of && !at.agreesWith(of))
          found.push(
            `${at.index} has ${at.routesOf(of).size} routes of ${of.index}, which has ${of.filters.size}`,
          );
    return `${found.slice(0, 10).join("\n")}\n${JSON.stringify(this.#up[0]?.rules.stats())}`;
  }
}

describe("any schedule of faults", () => {
  it("ends in copies that are right, and in silence", { timeout: LONG ? 1_200_000 : 90_000 }, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 31 }),
        fc.constantFrom(2, 2, 3, 3, 3, 4, 4, 5, 5, 5, 5, 5, 36),
        fc.array(act, { maxLength: 10 }),
        (seed, count, steps) => {
          const run = new Run(seed, count);
          for (const step of steps) run.do(step);
          run.end();
        },
      ),
      { numRuns: 1_500, defaultRuns: 25 },
    );
  });
});
