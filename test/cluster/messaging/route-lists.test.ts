/** The lists of many nodes in virtual time: what they cost, how long they take, and what large lists, slow peers and evil ones do to them. */
import { describe, expect, it } from "vitest";
import { ROUTE_PARTS, ROUTE_PARTS_TIME, ROUTE_WINDOW } from "../../../src/cluster/messaging/bounds.js";
import { ASK, RouteChangesWriter } from "../../../src/cluster/messaging/route-wire.js";
import { LONG } from "../../support/long.js";
import { type RouteNode, RouteWorld, type RouteWorldOptions } from "./route-world.js";

function worldOf(count: number, options: Partial<RouteWorldOptions> = {}): RouteWorld {
  const world = new RouteWorld({ seed: 1, ...options });
  for (let i = 0; i < count; i++) world.add();
  world.meet();
  world.run(1_000);
  return world;
}

const sum = (world: RouteWorld, of: "sentBytes" | "sentItems"): number =>
  world.nodes.reduce((all, node) => all + node[of], 0);

/** Counts the items of changes that one node sends to another one. */
function countOf(world: RouteWorld, one: RouteNode, other: RouteNode): () => number {
  let count = 0;
  world.rewrite = (from, to, item) => {
    if (from === one && to === other && !ASK.equals(item)) count += 1;
    return undefined;
  };
  return () => count;
}

describe("a change of interest", () => {
  for (const count of LONG ? [34, 500] : [34])
    it(`comes to each of ${count} nodes once, straight from its node`, () => {
      const world = worldOf(count);
      const [a] = world.nodes as [RouteNode];
      a.subscribe("first");
      world.run(5_000);
      const [items, bytes] = [sum(world, "sentItems"), sum(world, "sentBytes")];
      const version = a.subscribe("sensors/1/temperature");
      expect(world.until(() => a.rules.acked(version), 10_000, 1)).toBeLessThan(20);
      expect(world.nodes.every((each) => each === a || each.routesOf(a).size === 2)).toBe(true);
      // One delta for each.
      expect(sum(world, "sentItems") - items).toBe(count - 1);
      expect((sum(world, "sentBytes") - bytes) / count).toBeLessThan(60);
    });
});

describe("nodes that meet", () => {
  it("send nothing where nobody is interested in anything: no link is opened for it", () => {
    const world = worldOf(30);
    world.run(30_000);
    expect(sum(world, "sentItems")).toBe(0);
    (world.nodes[0] as RouteNode).subscribe("a");
    expect(world.until(() => world.agree(), 2_000)).toBeLessThan(100);
  });

  it("wait for one that turns out to take no messages until that is known", () => {
    const world = new RouteWorld({ seed: 1 });
    const [a, b] = [world.add(), world.add()];
    world.see(a, b, "alive");
    const version = a.subscribe("x");
    world.run(1_000);
    expect(a.rules.acked(version)).toBe(false);
    world.act(a, () => a.rules.onMember(world.now, b.id, "gone"));
    expect(world.until(() => a.rules.acked(version), 5_000, 1)).toBeLessThan(100);
  });

  it("do not wait for one that was met after the subscription, nor for one that is lost", () => {
    const world = worldOf(2);
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    world.blocks = () => true;
    const version = a.subscribe("x");
    world.run(100);
    expect([a.rules.acked(version), a.rules.missing(version)]).toEqual([false, 1]);
    const c = world.add();
    world.see(a, c, "alive");
    expect(a.rules.missing(version)).toBe(1);
    world.see(a, b, "lost");
    expect(a.rules.acked(version)).toBe(true);
    world.see(a, b, "alive");
    world.see(c, a, "alive");
    world.blocks = undefined;
    expect(world.until(() => b.agreesWith(a) && c.agreesWith(a), 10_000)).toBeLessThan(10_000);
  });
});

describe("the interest of a member that was just met", () => {
  const met = (settle?: number): { world: RouteWorld; a: RouteNode; b: RouteNode } => {
    const world = new RouteWorld({
      seed: 1,
      ...(settle === undefined ? {} : { settle }),
    });
    return { world, a: world.add(), b: world.add() };
  };

  it("is known as soon as it is asked for, if it has some or none, in either order of their meeting", () => {
    for (let seed = 1; seed <= (LONG ? 120 : 30); seed++) {
      const most = 1 + (seed % 4) * 10;
      const world = new RouteWorld({ seed, latency: [1, most] });
      const [a, b] = [world.add(), world.add()];
      if (seed % 3 !== 0) b.subscribe("b");
      if (seed % 5 === 0) for (let i = 0; i < 3_000; i++) b.subscribe(`many/${i}`);
      const late = seed % 2 === 0 ? 0 : 300;
      world.run(50);
      world.see(a, b, "alive");
      expect([...a.rules.unsettled.keys()]).toEqual([b.id]);
      world.act(a, () => a.rules.askUnsettled(world.now));
      world.later(late, () => world.see(b, a, "alive"));
      const took = world.until(() => a.rules.unsettled.size === 0, 990, 1);
      expect(a.agreesWith(b), `seed ${seed}`).toBe(true);
      // Later than the other one met it, by some round trips and one time until it is asked again.
      expect(took, `seed ${seed}`).toBeLessThan(late + 160 + 8 * most);
    }
  });

  it("is waited for so long at most, and by nobody of a node that is lost", () => {
    for (const [settle, state] of [
      [undefined, "alive"],
      [200, "alive"],
      [undefined, "lost"],
      [undefined, "gone"],
    ] as const) {
      const { world, a, b } = met(settle);
      world.see(a, b, "alive");
      world.act(a, () => a.rules.askUnsettled(world.now));
      if (state !== "alive") world.later(100, () => world.see(a, b, state));
      const took = world.until(() => a.rules.unsettled.size === 0, 2_000, 1);
      const expected = state === "alive" ? (settle ?? 1_000) : 100;
      expect(took).toBeGreaterThanOrEqual(expected - 1);
      expect(took).toBeLessThanOrEqual(expected + 51);
    }
    const { world, a, b } = met(0);
    world.see(a, b, "alive");
    expect(a.rules.unsettled.size).toBe(0);
  });

  it("is not waited for when the node is back: what is here of it serves; it is after a restart", () => {
    const { world, a, b } = met();
    b.subscribe("x");
    world.meet();
    world.run(500);
    expect(a.agreesWith(b)).toBe(true);
    world.see(a, b, "lost");
    world.see(a, b, "alive");
    expect(a.rules.unsettled.size).toBe(0);
    expect(a.agreesWith(b)).toBe(true);
    b.restart();
    b.subscribe("y");
    world.see(a, b, "alive");
    expect(a.rules.unsettled.size).toBe(1);
    world.see(b, a, "alive");
    world.act(a, () => a.rules.askUnsettled(world.now));
    expect(world.until(() => a.rules.unsettled.size === 0, 1_000, 1)).toBeLessThan(30);
    expect(a.agreesWith(b)).toBe(true);
  });
});

describe("a node that goes", () => {
  it("is asked for its list each time it is met again, though the last question was lost with its link", () => {
    const world = worldOf(2);
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    b.subscribe("t");
    world.run(100);
    for (let times = 0; times < 2; times++) {
      world.see(a, b, "gone");
      world.see(a, b, "alive");
    }
    expect(world.until(() => world.agree(), 1_000)).toBeLessThan(200);
  });

  it("leaves nothing of a snapshot that was being read", () => {
    const world = worldOf(2);
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    world.see(b, a, "gone");
    for (let i = 0; i < 40_000; i++) a.subscribe(`x/${i}`);
    world.run(2_000);
    world.see(b, a, "alive");
    expect(world.until(() => b.rules.stats().routes > 5_000, 60_000, 1)).toBeLessThan(60_000);
    expect(a.rules.stats().snapshots).toBe(1);
    world.see(b, a, "gone");
    world.see(a, b, "gone");
    expect(b.rules.stats()).toMatchObject({ routes: 0, bytes: 0 });
    expect(a.rules.stats().snapshots).toBe(0);
    expect([...b.store.filters.values()].every(({ size }) => size === 0)).toBe(true);
  });
});

describe("the own interest", () => {
  it("is as much as others take of one node: more is an error, and nothing has changed then", () => {
    const limits = { nodeRoutes: 3, nodeBytes: 10, routes: 100, bytes: 1_000 };
    const world = worldOf(2, { limits });
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    for (const filter of ["a", "b", "c", "c"]) a.subscribe(filter);
    expect(() => a.rules.subscribe(world.now, "d")).toThrow(expect.objectContaining({ code: "EFSM" }));
    a.unsubscribe("a");
    a.unsubscribe("a");
    world.run(10);
    a.unsubscribe("b");
    a.subscribe("12345678");
    world.run(10);
    expect(() => a.rules.subscribe(world.now, "xy")).toThrow(/10 bytes/);
    a.subscribe("x");
    world.run(100);
    expect(a.rules.stats().own).toMatchObject({ filters: 3, bytes: 10 });
    expect(world.agree()).toBe(true);
    expect(b.rules.stats()).toMatchObject({ routes: 3, bytes: 10, refused: {} });
  });
});

describe("many routes", () => {
  /** Two nodes that have not met; the first one has so many filters. */
  function large(count: number, filter: (i: number) => string, options: Partial<RouteWorldOptions> = {}) {
    const world = new RouteWorld({ seed: 1, ...options });
    const [a, b] = [world.add(), world.add()];
    for (let i = 0; i < count; i++) a.subscribe(filter(i));
    world.run(Math.ceil(count / 500) + 100);
    return { world, a, b };
  }

  it("come in bounded pieces, so many ahead of what was read, at a pace: a change of another node is not late by them", () => {
    const count = LONG ? 200_000 : 30_000;
    const { world, a, b } = large(count, (i) => `sensors/${i}/temperature`);
    const c = world.add();
    world.see(b, c, "alive");
    world.see(c, b, "alive");
    let [biggest, most, parts] = [0, 0, 0];
    const link = world.linkOf(a, b);
    world.rewrite = (from, to, item) => {
      biggest = Math.max(biggest, item.length);
      if (from === a && to === b) parts += 1;
      most = Math.max(most, link.queue.length + link.unacknowledged.size);
      return undefined;
    };
    world.meet();
    const start = world.now;
    world.run(20);
    c.subscribe("c");
    expect(world.until(() => b.agreesWith(c), 1_000, 1)).toBeLessThan(20);
    expect(b.agreesWith(a)).toBe(false);
    expect(world.until(() => b.agreesWith(a), 60_000, 1)).toBeLessThan(60_000);
    const took = world.now - start;
    expect(biggest).toBeLessThan(8_400);
    expect(most).toBeLessThanOrEqual(ROUTE_WINDOW);
    expect(took).toBeGreaterThan(((parts - ROUTE_PARTS) * ROUTE_PARTS_TIME) / ROUTE_PARTS - 5);
    // A million in eight seconds.
    expect(took).toBeLessThan(count / 125);
  });

  it("come to many that ask at once, each as fast as the others", () => {
    const { world, a } = large(LONG ? 20_000 : 8_000, (i) => `sensors/${i}/temperature`);
    for (let i = 0; i < 8; i++) world.add();
    world.meet();
    const others = world.nodes.slice(1);
    const done = others.map(() => Number.POSITIVE_INFINITY);
    world.until(
      () => {
        for (const [i, each] of others.entries())
          if (each.agreesWith(a)) done[i] = Math.min(done[i] as number, world.now);
        return done.every((each) => each < Number.POSITIVE_INFINITY);
      },
      20_000,
      1,
    );
    // One after the other, the first would have them after an eighth of the time.
    expect(Math.min(...done)).toBeGreaterThan(Math.max(...done) / 2);
  });

  it("serve while they are read for the first time, and are whole with the last part", () => {
    const { world, a, b } = large(LONG ? 50_000 : 20_000, (i) => `sensors/${i}/temperature`);
    world.meet();
    expect(world.until(() => b.routesOf(a).size > 10_000, 10_000, 1)).toBeLessThan(10_000);
    expect(b.rules.nodeOf(a.id)?.owner).toBe(a.id);
    expect(b.rules.unsettled.has(a.id)).toBe(true);
    expect(world.until(() => !b.rules.unsettled.has(a.id), 900, 1)).toBeLessThan(900);
    expect(b.agreesWith(a)).toBe(true);
  });

  it("of a node that is forgotten while they come are refused, and come again as a snapshot", () => {
    const forget = (world: RouteWorld, at: RouteNode, of: RouteNode): void => {
      for (const state of ["gone", "alive"] as const)
        world.act(at, () => at.rules.onMember(world.now, of.id, state));
    };
    for (const count of [3, 20_000]) {
      const { world, a, b } = large(count, (i) => `sensors/${i}/temperature`);
      world.meet();
      // Within the snapshot, or with a later change on its way.
      expect(world.until(() => b.routesOf(a).size > 0, 1_000, 1)).toBeLessThan(1_000);
      if (count === 3) {
        a.subscribe("later");
        world.run(6);
        expect(world.linkOf(a, b).queue.length).toBe(1);
      }
      forget(world, b, a);
      const isRefused = (): boolean => (b.rules.stats().refused.sequence ?? 0) > 0;
      expect(world.until(isRefused, 1_000, 1)).toBeLessThan(1_000);
      expect([b.routesOf(a).size, b.rules.unsettled.has(a.id)]).toEqual([0, true]);
      expect(world.until(() => !b.rules.unsettled.has(a.id), 900, 1)).toBeLessThan(900);
      expect(b.agreesWith(a)).toBe(true);
    }
  });

  it("come as a snapshot to a reader that fell behind; what it has serves until then", () => {
    const count = LONG ? 30_000 : 15_000;
    const { world, a, b } = large(count, (i) => `x/${i}`);
    world.meet();
    expect(world.until(() => world.agree(), 60_000)).toBeLessThan(60_000);
    // Behind the log: what it has is replaced, and serves until then.
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const)
      world.see(one, other, "lost");
    for (let i = 0; i < 1_000; i++) a.unsubscribe(`x/${i}`);
    for (let i = 0; i < 3 * count; i++) a.subscribe(`a/longer/filter/for/the/log/${i}`);
    world.run(10_000);
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const)
      world.see(one, other, "alive");
    let least = Number.POSITIVE_INFINITY;
    const took = world.until(
      () => {
        least = Math.min(least, b.routesOf(a).size);
        return b.agreesWith(a);
      },
      60_000,
      5,
    );
    expect(took).toBeLessThan(60_000);
    expect(least).toBeGreaterThan(count / 2);
    expect(b.rules.stats().refused).toEqual({});
  });

  it("go on where they were when a peer is full for a while, and when a link brings nothing for a while", () => {
    const { world, a, b } = large(50_000, (i) => `sensors/${i}/temperature`);
    world.meet();
    world.run(20);
    a.full.add(b);
    world.run(5_000);
    expect(b.agreesWith(a)).toBe(false);
    a.full.clear();
    world.act(a, () => a.rules.onRoom(world.now, b.id));
    world.run(20);
    world.blocks = (from) => from === b;
    world.run(5_000);
    world.blocks = undefined;
    const parts = countOf(world, a, b);
    expect(world.until(() => b.agreesWith(a), 30_000)).toBeLessThan(30_000);
    // Not from the beginning.
    expect(parts()).toBeLessThan(130);
  });

  it("are known in time to many nodes that all answer after seconds", () => {
    const world = new RouteWorld({ seed: 2, latency: [3_000, 3_500] });
    for (let i = 0; i < (LONG ? 30 : 15); i++) {
      const node = world.add();
      for (let n = 0; n < 1_000; n++) node.subscribe(`${i}/${n}`);
    }
    world.run(100);
    world.meet();
    expect(world.until(() => world.agree(), 90_000, 100)).toBeLessThan(90_000);
  });
});

describe("an admitted but evil node", () => {
  const LIMITS = { nodeRoutes: 1_000, nodeBytes: 20_000, routes: 2_500, bytes: 100_000 };

  /** Honest nodes with a route each, and an evil one that never speaks by its own rules. */
  function hostile(): { world: RouteWorld; a: RouteNode; b: RouteNode; evil: RouteNode } {
    const world = worldOf(3, { limits: LIMITS });
    const [a, b, evil] = world.nodes as [RouteNode, RouteNode, RouteNode];
    for (const each of [a, b]) each.subscribe(`of/${each.index}`);
    world.run(3_000);
    return { world, a, b, evil };
  }

  const reasons = (node: RouteNode): Readonly<Record<string, number>> => node.rules.stats().refused;

  function added(filters: readonly string[]): RouteChangesWriter {
    const writer = new RouteChangesWriter();
    for (const filter of filters) writer.add(filter, true);
    return writer;
  }

  const LATER = { isFirst: false, isLast: false };
  const partOf = (filters: readonly string[], isFirst: boolean, isLast: boolean): Buffer =>
    added(filters).take({ isFirst, isLast });

  function stillServes(world: RouteWorld, a: RouteNode, b: RouteNode): void {
    a.subscribe("new");
    world.run(3_000);
    expect(world.agree([a, b])).toBe(true);
  }

  it("states more routes, or more bytes of them, than a node may have: the rest is left out, the others' stay", () => {
    const { world, a, b, evil } = hostile();
    world.transmit(evil, b.id, partOf(["first", ""], true, true));
    for (let i = 0; i < 300; i++) {
      const filters = Array.from({ length: 40 }, (_, n) => `${i}/${n}`);
      world.transmit(evil, b.id, added(filters).take(LATER));
    }
    world.run(1_000);
    expect(b.routesOf(evil).size).toBe(LIMITS.nodeRoutes);
    expect(reasons(b)).toEqual({ "filter:empty": 1, "routes:node": 300 * 40 + 1 - LIMITS.nodeRoutes });
    const long = Array.from({ length: 1_000 }, (_, i) => `${"x".repeat(100)}${i}`);
    for (let i = 0; i < 10; i++)
      world.transmit(evil, b.id, partOf(long.slice(100 * i, 100 * i + 100), i === 0, i === 9));
    world.run(1_000);
    expect(b.routesOf(evil).size).toBeLessThan(200);
    expect(b.rules.stats().bytes).toBeLessThanOrEqual(LIMITS.nodeBytes + 100);
    stillServes(world, a, b);
  });

  it("sends a snapshot without end, and begins one after the other: each is given up, and nothing stays of them", () => {
    const { world, a, b, evil } = hostile();
    for (let i = 0; i < 100; i++)
      world.transmit(
        evil,
        b.id,
        partOf(
          Array.from({ length: 100 }, (_, n) => `${i}/${n}`),
          i === 0,
          false,
        ),
      );
    world.run(1_000);
    expect(reasons(b).snapshot).toBe(1);
    for (let i = 2; i < 300; i++) world.transmit(evil, b.id, partOf([`${i}`], true, false));
    world.run(1_000);
    expect(b.rules.stats().routes).toBeLessThanOrEqual(LIMITS.nodeRoutes + 2);
    world.see(b, evil, "gone");
    expect(b.rules.stats().routes).toBe(1);
    stillServes(world, a, b);
  });

  it("sends a snapshot with each item: each takes the place of the one before", () => {
    const { world, a, b, evil } = hostile();
    for (let i = 0; i < 2_000; i++) world.transmit(evil, b.id, partOf([`x/${i}`], true, true));
    world.run(1_000);
    expect([...b.routesOf(evil)]).toEqual(["x/1999"]);
    expect(b.store.filters.size).toBeLessThan(10);
    stillServes(world, a, b);
  });

  it("asks without end: it gets parts at the pace, and others get theirs", () => {
    const world = new RouteWorld({ seed: 5, latency: [1, 1] });
    const [b, evil] = [world.add(), world.add()];
    for (let i = 0; i < 5_000; i++) b.subscribe(`${"x".repeat(200)}/${i}`);
    world.run(2_000);
    world.meet();
    world.run(2_000);
    const got = countOf(world, b, evil);
    const a = world.add();
    world.meet();
    const start = world.now;
    for (let asked = 1; !a.agreesWith(b) && asked < 3_000; asked++) {
      world.transmit(evil, b.id, ASK);
      world.run(1);
    }
    const took = world.now - start;
    expect(took).toBeLessThan(1_000);
    expect(got()).toBeLessThanOrEqual((took / ROUTE_PARTS_TIME + 1) * ROUTE_PARTS);
    expect(reasons(a)).toEqual({});
    expect(b.rules.stats().snapshots).toBeLessThanOrEqual(2);
  });

  it("sends junk, and changes out of order: refused by reason, nothing throws", () => {
    const { world, a, b, evil } = hostile();
    const good = [added(["x", "y"]).take(LATER), partOf(["x"], false, true), ASK];
    for (const item of good) {
      world.transmit(evil, b.id, item);
      for (let i = 0; i < 200; i++) {
        const bad = Buffer.from(
          item.subarray(0, i % 3 === 0 ? Math.floor(world.random() * item.length) : item.length),
        );
        for (let n = 0; n < 1 + (i % 4) && bad.length > 0; n++)
          bad[Math.floor(world.random() * bad.length)] = Math.floor(world.random() * 256);
        world.transmit(evil, b.id, bad);
      }
      world.run(100);
    }
    world.transmit(evil, b.id, Buffer.alloc(0));
    world.transmit(evil, b.id, Buffer.alloc(1_000_000, 0xff));
    world.run(1_000);
    expect(reasons(b).malformed).toBeGreaterThan(200);
    expect(reasons(b).sequence).toBeGreaterThan(1);
    stillServes(world, a, b);
  });

  it("is not heard at all before it is a member, and after it left", () => {
    const { world, a, b, evil } = hostile();
    world.see(b, evil, "gone");
    expect(b.rules.onItem(world.now, evil.id, partOf(["x"], true, true))).toBe("stranger");
    expect(reasons(b)).toMatchObject({ stranger: 1 });
    expect(b.rules.nodeOf(evil.id)).toBeUndefined();
    stillServes(world, a, b);
  });
});
