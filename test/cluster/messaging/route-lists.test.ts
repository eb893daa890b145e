/** Lists of subscriptions without links: bounds, and what evil nodes send. How whole nodes learn them is in routes-simulated.test.ts. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { RouteDriver } from "../../../src/cluster/messaging/route-driver.js";
import { ROUTE_LIMITS, type RouteLimits, RouteMember } from "../../../src/cluster/messaging/route-member.js";
import { ASK, RouteChangesWriter } from "../../../src/cluster/messaging/route-own.js";
import { RouteTable } from "../../../src/cluster/messaging/route-table.js";
import { ignore } from "../../../src/core/waiter.js";

const LIMITS = { nodeRoutes: 1_000, nodeBytes: 20_000, nodeWanted: 100, routes: 2_500, bytes: 100_000 };

beforeAll(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "performance"] }),
);
afterAll(() => void vi.useRealTimers());

interface Flight {
  done?: (isDelivered: boolean) => void;
}

/** Nodes that know each other; each item arrives after 1 ms. */
class Lists {
  now = 0;
  readonly #all = new Map<string, RouteDriver>();
  #flights: (() => void)[] = [];
  /** Nodes that take no part. */
  readonly absent = new Set<string>();
  /** Whether items are given up. */
  loses = false;
  /** Whether links take nothing. */
  isFull = false;
  /** Sees to whom an item is sent. */
  onSend = (_to: string): void => undefined;

  add(id: string, limits?: RouteLimits): RouteDriver {
    const last = new Map<string, Flight>();
    const links = {
      send: (to: string, _kind: number, item: Uint8Array) => {
        if (this.isFull) return "full" as const;
        const flight: Flight = {};
        last.set(to, flight);
        this.onSend(to);
        const bytes = Buffer.from(item);
        this.#flights.push(() => {
          if (!this.loses) this.#all.get(to)?.onItem(id, bytes);
          flight.done?.(!this.loses);
        });
        return "sent" as const;
      },
      session: () => 0,
      onDelivered: (to: string, done: (isDelivered: boolean) => void) =>
        void Object.assign(last.get(to) as object, { done }),
      takesPart: (of: string) => !this.absent.has(of),
    };
    const lists = new RouteDriver(id, 1_000, links, { onChanged: ignore, onWanted: ignore }, limits);
    for (const [other, its] of this.#all) {
      lists.onMember(other, "alive");
      its.onMember(id, "alive");
    }
    this.#all.set(id, lists);
    return lists;
  }

  run(ms: number): void {
    for (let end = this.now + ms; this.now < end; ) {
      this.now += 1;
      for (const arrive of this.#flights.splice(0)) arrive();
      vi.advanceTimersByTime(1);
    }
  }

  /** Filters that lead from one to another. */
  routes(at: string, of: string): string[] {
    const list = this.#all.get(at)?.table.list(1_000_000) ?? [];
    return list.filter(({ nodes }) => nodes.includes(of)).map(({ filter }) => filter);
  }
}

it("the own interest is as much as others take of one node: more is an error, and nothing has changed then", () => {
  const world = new Lists();
  const [a, b] = [world.add("a", { ...LIMITS, nodeRoutes: 3, nodeBytes: 10 }), world.add("b")];
  for (const filter of ["a", "b", "c", "c"]) a.subscribe(filter);
  expect(() => a.subscribe("d")).toThrow(expect.objectContaining({ code: "EFSM" }));
  for (const filter of ["a", "a"]) a.unsubscribe(filter);
  world.run(10);
  a.unsubscribe("b");
  a.subscribe("12345678");
  world.run(10);
  expect(() => a.subscribe("xy")).toThrow(/10 bytes/);
  a.subscribe("x");
  world.run(100);
  expect(a.stats().own).toMatchObject({ filters: 3, bytes: 10 });
  expect(world.routes("b", "a").sort()).toEqual(["12345678", "c", "x"]);
  expect(b.stats()).toMatchObject({ routes: 3, bytes: 10, refused: {} });
});

describe("an admitted but evil node", () => {
  const EVIL = "evil";

  /** Honest nodes with a route each, and an evil one that never speaks by its own rules. */
  function hostile() {
    const world = new Lists();
    const [a, b] = [world.add("a", LIMITS), world.add("b", LIMITS)];
    for (const each of [a, b]) each.onMember(EVIL, "alive");
    for (const [i, each] of [a, b].entries()) each.subscribe(`of/${i}`);
    world.run(1_000);
    return {
      world,
      b,
      give: (item: Buffer): unknown => b.onItem(EVIL, item),
      stillServes: (): void => {
        a.subscribe("new");
        world.run(100);
        expect(world.routes("b", "a").sort()).toEqual(["new", "of/0"]);
      },
    };
  }

  function added(filters: readonly string[]): RouteChangesWriter {
    const writer = new RouteChangesWriter();
    for (const filter of filters) writer.add({ filter, isAdded: true });
    return writer;
  }

  const LATER = { isFirst: false, isLast: false };
  const partOf = (filters: readonly string[], isFirst: boolean, isLast: boolean): Buffer =>
    added(filters).take({ isFirst, isLast });
  const several = (count: number, text: (i: number) => string): string[] =>
    Array.from({ length: count }, (_, i) => text(i));

  it("states more routes, or more bytes of them, than a node may have: the rest is left out, the others' stay", () => {
    const { world, b, give, stillServes } = hostile();
    give(partOf(["first", ""], true, true));
    for (let i = 0; i < 300; i++) give(added(several(40, (n) => `${i}/${n}`)).take(LATER));
    expect(world.routes("b", EVIL)).toHaveLength(LIMITS.nodeRoutes);
    expect(b.stats().refused).toEqual({ "filter:empty": 1, "routes:node": 300 * 40 + 1 - LIMITS.nodeRoutes });
    const long = several(1_000, (i) => `${"x".repeat(100)}${i}`);
    for (let i = 0; i < 10; i++) give(partOf(long.slice(100 * i, 100 * i + 100), i === 0, i === 9));
    expect(world.routes("b", EVIL).length).toBeLessThan(200);
    expect(b.stats().bytes).toBeLessThanOrEqual(LIMITS.nodeBytes + 100);
    stillServes();
  });

  it("wants the retained values of more filters than it may: those of the rest are not sent", () => {
    const { world, b, give, stillServes } = hostile();
    const wanted = several(150, (i) => `w/${i}`);
    const writer = new RouteChangesWriter();
    for (const filter of wanted) writer.add({ filter, isAdded: true, isWanted: true });
    give(writer.take({ isFirst: true, isLast: true }));
    expect([...b.wantedBy(EVIL)]).toEqual(wanted.slice(0, 100));
    expect(b.stats().refused).toEqual({ "routes:wanted": 50 });
    expect(world.routes("b", EVIL)).toHaveLength(150);
    give(added([wanted[0] as string]).take(LATER));
    expect([...b.wantedBy(EVIL)]).toEqual(wanted.slice(1, 100));
    stillServes();
  });

  it("sends a snapshot without end, and begins one after the other: each is given up, and nothing stays of them", () => {
    const { b, give, stillServes } = hostile();
    for (let i = 0; i < 100; i++) {
      const filters = several(100, (n) => `${i}/${n}`);
      give(partOf(filters, i === 0, false));
    }
    expect(b.stats().refused.snapshot).toBe(1);
    for (let i = 2; i < 300; i++) give(partOf([`${i}`], true, false));
    expect(b.stats().routes).toBeLessThanOrEqual(LIMITS.nodeRoutes + 2);
    b.onMember(EVIL, "gone");
    expect(b.stats().routes).toBe(1);
    stillServes();
  });

  it("asks without end: it gets the list once in a second", () => {
    const world = new Lists();
    const b = world.add("b");
    for (let i = 0; i < 5_000; i++) b.subscribe(`${"x".repeat(200)}/${i}`);
    world.run(2_000);
    let got = 0;
    world.onSend = (to) => {
      if (to === EVIL) got += 1;
    };
    b.onMember(EVIL, "alive");
    world.run(900);
    const once = got;
    for (let i = 0; i < 900; i++) {
      b.onItem(EVIL, ASK);
      world.run(1);
    }
    expect(got).toBeLessThanOrEqual(2 * once);
    const a = world.add("a");
    world.run(200);
    expect(a.stats()).toMatchObject({ routes: 5_000, refused: {} });
  });

  it("sends junk, and changes out of order: refused by reason, nothing throws", () => {
    const { b, give, stillServes } = hostile();
    let random = 1;
    const next = (below: number): number => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    for (const item of [added(["x", "y"]).take(LATER), partOf(["x"], false, true), ASK]) {
      give(item);
      for (let i = 0; i < 200; i++) {
        const bad = Buffer.from(item.subarray(0, i % 3 === 0 ? next(item.length) : item.length));
        for (let n = 0; n < 1 + (i % 4) && bad.length > 0; n++) bad[next(bad.length)] = next(256);
        give(bad);
      }
    }
    give(Buffer.alloc(0));
    give(Buffer.alloc(1_000_000, 0xff));
    expect(b.stats().refused.malformed).toBeGreaterThan(200);
    expect(b.stats().refused.sequence).toBeGreaterThan(1);
    stillServes();
  });

  it("is not heard at all before it is a member, and after it left", () => {
    const { world, b, give, stillServes } = hostile();
    world.absent.add(EVIL);
    b.onMember(EVIL, "gone");
    expect(give(partOf(["x"], true, true))).toBe("stranger");
    expect(b.stats().refused).toMatchObject({ stranger: 1 });
    expect(b.stats().nodes).toBe(1);
    stillServes();
  });
});

it("a burst of changes does not cost a reader that keeps up a snapshot of the whole list", () => {
  const world = new Lists();
  const [a] = [world.add("a"), world.add("b")];
  for (let i = 0; i < 2_000; i++) a.subscribe(`before/${i}/${"x".repeat(900)}`);
  world.run(2_000);
  let items = 0;
  world.onSend = (to) => {
    if (to === "b") items += 1;
  };
  for (let i = 0; i < 2_000; i++) a.subscribe(`later/${i}/${"x".repeat(900)}`);
  world.run(2_000);
  expect(world.routes("b", "a")).toHaveLength(4_000);
  // 2,000 changes of 900 bytes are some 500 items, and the list is twice as much.
  expect(items).toBeLessThan(600);
});

it("a log of changes that cancel out begins again, and readers, slow ones too, have the list then", () => {
  const world = new Lists();
  const [a] = [world.add("a"), world.add("b")];
  for (let i = 0; i < 20_000; i++) {
    a.subscribe(`${i}`);
    if (i >= 10) a.unsubscribe(`${i - 10}`);
    if (i % 100 === 0) world.run(1 + (i % 7));
    if (i === 10_000) world.add("c");
  }
  world.run(1_000);
  const list = Array.from({ length: 10 }, (_, i) => `${19_990 + i}`);
  for (const reader of ["b", "c"]) expect(world.routes(reader, "a").sort()).toEqual(list);
  expect(a.stats()).toMatchObject({ own: { filters: 10 }, snapshots: 0 });
});

it("what a link has given up is sent again, as a snapshot", () => {
  const world = new Lists();
  const [a, b] = [world.add("a"), world.add("b")];
  a.subscribe("first");
  world.run(100);
  world.loses = true;
  a.subscribe("second");
  world.run(100);
  expect(world.routes("b", "a")).toEqual(["first"]);
  world.loses = false;
  world.run(100);
  expect(world.routes("b", "a").sort()).toEqual(["first", "second"]);
  expect(b.stats().refused).toEqual({});
});

it("a list is asked for, and sent, once the link takes it", () => {
  const world = new Lists();
  const [a, b] = [world.add("a"), world.add("b")];
  a.subscribe("x");
  world.run(100);
  world.isFull = true;
  for (const state of ["gone", "alive"] as const) b.onMember("a", state);
  a.subscribe("y");
  world.run(100);
  expect(world.routes("b", "a")).toEqual([]);
  world.isFull = false;
  world.run(3_000);
  expect(world.routes("b", "a").sort()).toEqual(["x", "y"]);
});

it("a reader that forgot the owner at any time of its list, unnoticed by the owner, has it again in the end", () => {
  const filters = Array.from({ length: 1_000 }, (_, i) => `${"x".repeat(20)}${i}`).sort();
  for (let ms = 0; ms < 30; ms++) {
    const world = new Lists();
    const [a, b] = [world.add("a"), world.add("b")];
    for (const filter of filters) a.subscribe(filter);
    world.run(ms);
    for (const state of ["gone", "alive"] as const) b.onMember("a", state);
    world.run(3_000);
    expect(world.routes("b", "a").sort(), `after ${ms} ms`).toEqual(filters);
  }
});

it("a reader that forgets the owner again before its answer has come has the list in the end", () => {
  const world = new Lists();
  const [a, b] = [world.add("a"), world.add("b")];
  a.subscribe("x");
  world.run(1_500);
  world.loses = true;
  for (const state of ["gone", "alive"] as const) b.onMember("a", state);
  world.run(1);
  for (const state of ["gone", "alive"] as const) b.onMember("a", state);
  world.loses = false;
  world.run(3_000);
  expect(world.routes("b", "a")).toEqual(["x"]);
});

it("a member that begins its list over and over takes no other one's place", () => {
  const store = new RouteTable();
  const member = (id: string): RouteMember => {
    const made = new RouteMember(id, { store, limits: ROUTE_LIMITS, refuse: ignore });
    made.isAlive = true;
    return made;
  };
  const list = (filters: readonly string[], isLast: boolean) => ({
    isFirst: true,
    isLast,
    changes: filters.map((filter) => ({ filter, isAdded: true })),
  });
  const many = Array.from({ length: 60_000 }, (_, i) => `many/${i}`);
  expect(member("many").take(list(many, true))).toEqual([]);
  const evil = member("evil");
  const results = Array.from({ length: 40_000 }, (_, i) => evil.take(list([`${i}`], i === 0)));
  expect(results.at(-1)).toBe("snapshot");
  expect(member("late").take(list(["orders/#"], true))).toEqual([]);
  const found: string[] = [];
  store.match("orders/1", found);
  expect(found).toEqual(["late"]);
  // When what it began is swept out, its list is taken again.
  while (store.unswept > 0) store.sweep();
  expect(evil.take(list(["mine"], true))).toEqual([]);
});
