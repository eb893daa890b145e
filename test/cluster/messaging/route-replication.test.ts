/** Route replication in virtual time: what it costs, how long it takes, and what large tables, slow peers and lost items do to it. */
import { describe, expect, it } from "vitest";
import {
  MIN_ITEM_LIMIT,
  ROUTE_BUCKETS,
  ROUTE_BURST,
  ROUTE_CREDIT,
  ROUTE_DIGESTS,
  ROUTE_PACE,
  ROUTE_SERVED_CREDIT,
} from "../../../src/cluster/messaging/bounds.js";
import {
  BlockKind,
  BlockWriter,
  decodeRouteItem,
  encodeDigest,
  encodePush,
  Operation,
  RouteItem,
  SIGNATURE_BYTES,
} from "../../../src/cluster/messaging/route-wire.js";
import { LONG } from "../../support/long.js";
import { type RouteNode, RouteWorld } from "./route-world.js";

function worldOf(count: number, seed = 1, options: object = {}): RouteWorld {
  const world = new RouteWorld({ seed, ...options });
  for (let i = 0; i < count; i++) world.add();
  world.meet();
  world.run(1_000);
  return world;
}

const sum = (world: RouteWorld, of: "sentBytes" | "sentItems"): number =>
  world.nodes.reduce((all, node) => all + node[of], 0);

describe("a change of interest", () => {
  it("reaches all others of a small cluster within milliseconds, is acknowledged, and is taken back", () => {
    const world = worldOf(5);
    const [a] = world.nodes as [RouteNode];
    const ticket = a.subscribe("t/+/x");
    expect(a.rules.acked(ticket)).toBe(false);
    expect(world.until(() => world.agree(), 100, 1)).toBeLessThan(20);
    expect(world.until(() => a.rules.acked(ticket), 100, 1)).toBeLessThan(20);
    a.unsubscribe("t/+/x");
    world.run(20);
    expect(world.agree()).toBe(true);
    expect((world.nodes[1] as RouteNode).routesOf(a).size).toBe(0);
  });

  for (const count of LONG ? [34, 250, 1_000] : [34, 100])
    it(`costs the same for each of ${count} nodes, and comes to each of them once`, () => {
      const world = worldOf(count, 7, { digestInterval: 1e9 });
      world.run(5_000);
      const [items, bytes] = [sum(world, "sentItems"), sum(world, "sentBytes")];
      const before = world.nodes.map((node) => node.sentItems);
      const [a] = world.nodes as [RouteNode];
      const ticket = a.subscribe("sensors/1/temperature");
      const took = world.until(() => a.rules.acked(ticket), 10_000, 1);
      expect(world.nodes.every((each) => each === a || each.routesOf(a).size === 1)).toBe(true);
      // Up to log2(N) steps there, and as many back, of 5 ms at most.
      expect(took).toBeLessThanOrEqual(5 + 2 * 5 * Math.ceil(Math.log2(count)));
      // One push and one acknowledgement for each.
      expect(sum(world, "sentItems") - items).toBe(2 * (count - 1));
      expect((sum(world, "sentBytes") - bytes) / count).toBeLessThan(300);
      const most = Math.max(...world.nodes.map((node, i) => node.sentItems - (before[i] as number)));
      expect(most).toBeLessThanOrEqual(2 + Math.ceil(Math.log2(count)));
    });
});

describe("nodes that meet", () => {
  it("have each other's routes before half a second is over, if one has some or both, at any latency", () => {
    for (let seed = 1; seed <= 100; seed++) {
      // The first digest of each is all that there is.
      const world = new RouteWorld({ seed, latency: [1, 1 + (seed % 4) * 30], digestInterval: 1e9 });
      const [a, b] = [world.add(), world.add()];
      if (seed % 3 !== 0) a.subscribe("a");
      if (seed % 3 !== 1) b.subscribe("b");
      world.run(50);
      world.see(a, b, "alive");
      // What comes from a node that is no member yet is refused.
      world.run(seed % 2 === 0 ? 0 : 100);
      world.see(b, a, "alive");
      expect(
        world.until(() => world.agree(), 2_000),
        `seed ${seed}`,
      ).toBeLessThan(700);
    }
  });
});

describe("more nodes than one list of versions has", () => {
  it("are listed by some buckets at a time, each of them whole, in items that every node takes", () => {
    const world = new RouteWorld({ seed: 3, latency: [1, 1], digestInterval: 1e9 });
    const [a, b] = [world.add(), world.add()];
    const ids = Array.from({ length: LONG ? 12_000 : 4_000 }, (_, i) => {
      const spread = Math.imul(i, 0x9e37_79b1) >>> 0;
      return `${spread.toString(16).padStart(8, "0")}${i.toString(16).padStart(24, "f")}`;
    });
    const writer = new BlockWriter();
    for (const id of ids) {
      const of = { id, life: 1, version: 1 };
      writer.add(Operation.ADD, "x");
      const block = writer.finish(BlockKind.CHANGE, of, 0, 0, () => Buffer.alloc(SIGNATURE_BYTES));
      a.rules.onMember(world.now, id, 1, "alive");
      a.rules.onItem(world.now, id, encodePush(false, of, undefined, block));
    }
    world.see(a, b, "alive");
    world.see(b, a, "alive");
    world.run(1_000);
    expect(a.rules.stats().routes).toBe(ids.length);
    const lists: { bytes: number; answer: boolean; mask: number; count: number }[] = [];
    world.rewrite = (from, to, item) => {
      const message = from === a && to === b ? decodeRouteItem(Buffer.from(item)) : undefined;
      if (message?.type === RouteItem.VERSIONS)
        lists.push({
          bytes: item.length,
          answer: message.answer,
          mask: message.mask,
          count: message.entries.length,
        });
      return undefined;
    };
    // What one that knows nothing is answered, and what it is sent that answers so.
    for (let i = 0; i < ROUTE_DIGESTS; i++)
      world.transmit(b, a.id, encodeDigest(i, new Uint32Array(ROUTE_BUCKETS)));
    world.act(a, () => a.rules.onRoom(world.now, b.id));
    world.run(1_000);
    expect(new Set(lists.map(({ answer }) => answer))).toEqual(new Set([true, false]));
    for (const { bytes, mask, count } of lists) {
      expect(bytes).toBeLessThanOrEqual(MIN_ITEM_LIMIT);
      expect(count).toBeGreaterThan(0);
      expect(count).toBe(ids.filter((id) => (mask >>> Number.parseInt(id.charAt(0), 16)) & 1).length);
    }
    expect(lists.reduce((all, { mask }) => all | mask, 0)).toBe(2 ** ROUTE_BUCKETS - 1);
  });
});

describe("a live node whose details have not come", () => {
  it("is waited for by what wants to be known to all, for 2 s", () => {
    const world = new RouteWorld({ seed: 1, digestInterval: 1e9 });
    const [a, b] = [world.add(), world.add()];
    world.act(a, () => a.rules.onMember(world.now, b.id, 0, "expected"));
    const ticket = a.subscribe("x");
    world.run(1_000);
    expect(a.rules.acked(ticket)).toBe(false);
    world.see(b, a, "alive");
    world.see(a, b, "alive");
    expect(world.until(() => a.rules.acked(ticket), 1_000, 1)).toBeLessThan(100);
    expect(b.agreesWith(a)).toBe(true);

    const c = world.add();
    world.act(a, () => a.rules.onMember(world.now, c.id, 0, "expected"));
    const next = a.subscribe("y");
    expect(world.until(() => a.rules.acked(next), 5_000)).toBeGreaterThan(1_500);
    expect(a.rules.acked(next)).toBe(true);
    world.act(a, () => a.rules.onMember(world.now, c.id, 0, "expected"));
    const last = a.subscribe("z");
    world.act(a, () => a.rules.onMember(world.now, c.id, 0, "gone"));
    expect(world.until(() => a.rules.acked(last), 5_000, 1)).toBeLessThan(100);
  });
});

describe("the interest of a member that was just met", () => {
  const met = (settle?: number): { world: RouteWorld; a: RouteNode; b: RouteNode } => {
    const world = new RouteWorld({
      seed: 1,
      digestInterval: 1e9,
      ...(settle === undefined ? {} : { settle }),
    });
    return { world, a: world.add(), b: world.add() };
  };

  it("is known as soon as it is asked for, if it has some or none, in either order of their meeting", () => {
    for (let seed = 1; seed <= (LONG ? 120 : 60); seed++) {
      const most = 1 + (seed % 4) * 10;
      const world = new RouteWorld({ seed, latency: [1, most], digestInterval: 1e9 });
      const [a, b] = [world.add(), world.add()];
      if (seed % 3 !== 0) b.subscribe("b");
      if (seed % 5 === 0) for (let i = 0; i < 3_000; i++) b.subscribe(`many/${i}`);
      const late = seed % 2 === 0 ? 0 : 300;
      world.run(50);
      world.see(a, b, "alive");
      expect([...a.rules.unsettled.keys()]).toEqual([b.id]);
      world.act(a, () => a.rules.askUnsettled(world.now));
      world.later(late, () => world.see(b, a, "alive"));
      let took = -1;
      const start = world.now;
      world.settled = (at, id) => {
        if (at === a && id === b.id) took = world.now - start;
        expect(at.agreesWith(at === a ? b : a), `seed ${seed}`).toBe(true);
      };
      world.run(990);
      expect(took, `seed ${seed}`).toBeGreaterThan(0);
      // Later than the other one met it, by some round trips and one time until it is asked again.
      expect(took, `seed ${seed}`).toBeLessThan(late + 110 + 8 * most);
      expect(a.rules.unsettled.size).toBe(0);
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

  it("is waited for from its first sign of life on, before its details have come; and not of one that takes no part", () => {
    const { world, a, b } = met();
    world.act(a, () => a.rules.onMember(world.now, b.id, 0, "expected"));
    expect(a.rules.unsettled.size).toBe(1);
    world.act(a, () => a.rules.askUnsettled(world.now));
    b.subscribe("x");
    world.run(300);
    world.see(b, a, "alive");
    world.see(a, b, "alive");
    expect(world.until(() => a.rules.unsettled.size === 0, 1_000, 1)).toBeLessThan(30);
    expect(a.agreesWith(b)).toBe(true);
    const c = world.add();
    world.act(a, () => a.rules.onMember(world.now, c.id, 0, "expected"));
    expect(a.rules.unsettled.size).toBe(1);
    world.act(a, () => a.rules.onMember(world.now, c.id, 0, "gone"));
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
  it("keeps its routes for the grace period when it is lost, is no target, and is one again when it is back", () => {
    const world = worldOf(3, 1, { grace: 60_000 });
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    a.subscribe("x");
    world.run(100);
    world.see(b, a, "lost");
    const number = b.rules.numberOf(a.id) as number;
    expect(b.rules.nodeOf(number)).toBeUndefined();
    expect(b.routesOf(a).size).toBe(1);
    world.run(50_000);
    world.see(b, a, "alive");
    expect(b.agreesWith(a)).toBe(true);
    world.see(b, a, "lost");
    // To the millisecond, not with the next digest.
    world.run(59_900);
    expect(b.rules.numberOf(a.id)).toBe(number);
    expect(b.forgotten.size).toBe(0);
    world.run(200);
    expect(b.rules.numberOf(a.id)).toBeUndefined();
    expect(b.rules.stats()).toMatchObject({ routes: 0, nodes: 1 });
    // Nor is the key kept by which its blocks were verified.
    expect([...b.forgotten]).toEqual([a.id]);
    // What it changed meanwhile is fetched when it is back after all.
    a.subscribe("y");
    world.see(b, a, "alive");
    expect(world.until(() => b.agreesWith(a), 2_000)).toBeLessThan(2_000);
  });

  for (const state of ["gone", "restarted"] as const)
    it(`has no route any more when it is ${state}, and no number that leads to it`, () => {
      const world = worldOf(3);
      const [a, b] = world.nodes as [RouteNode, RouteNode];
      for (let i = 0; i < 500; i++) a.subscribe(`x/${i}`);
      world.run(1_000);
      const number = b.rules.numberOf(a.id) as number;
      if (state === "restarted") {
        a.restart();
        a.subscribe("new");
        for (const other of world.nodes) world.see(a, other, "alive");
        for (const other of world.nodes) world.see(other, a, "alive");
        expect(b.rules.stats().routes).toBe(0);
        expect(world.until(() => world.agree(), 2_000)).toBeLessThan(2_000);
        expect(b.rules.stats().routes).toBe(1);
      } else {
        world.see(b, a, "gone");
        expect(b.rules.nodeOf(number)).toBeUndefined();
        expect(b.rules.stats()).toMatchObject({ routes: 0, nodes: 1 });
      }
    });

  it("leaves nothing of a snapshot that was being read", () => {
    const world = worldOf(2);
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    for (let i = 0; i < 20_000; i++) a.subscribe(`x/${i}`);
    expect(world.until(() => b.rules.stats().routes > 5_000, 60_000, 1)).toBeLessThan(60_000);
    world.see(b, a, "gone");
    expect(b.rules.stats()).toMatchObject({ routes: 0, bytes: 0, pulls: 0 });
    expect([...b.store.byNumber.values()].every(({ size }) => size === 0)).toBe(true);
  });
});

describe("the own interest", () => {
  it("is as much as others take of one node: more is an error, and nothing has changed then", () => {
    const limits = { nodeRoutes: 3, nodeBytes: 10, routes: 100, bytes: 1_000 };
    const world = worldOf(2, 1, { limits });
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    for (const filter of ["a", "b", "c", "c"]) a.subscribe(filter);
    expect(() => a.rules.subscribe(world.now, "d")).toThrow(expect.objectContaining({ code: "EFSM" }));
    a.unsubscribe("a");
    a.unsubscribe("a");
    world.run(10);
    a.subscribe("12345678");
    a.unsubscribe("b");
    world.run(10);
    expect(() => a.rules.subscribe(world.now, "xy")).toThrow(/10 bytes/);
    a.subscribe("x");
    world.run(100);
    expect(a.rules.stats().own).toMatchObject({ filters: 3, bytes: 10 });
    expect(world.agree()).toBe(true);
    expect(b.rules.stats()).toMatchObject({ routes: 3, bytes: 10, refused: {} });
  });

  it("send nothing where nobody is interested in anything: no link is opened for it", () => {
    for (const count of [2, 30, 60]) {
      const world = worldOf(count);
      world.run(30_000);
      expect(world.nodes.map(({ sentItems }) => sentItems)).toEqual(world.nodes.map(() => 0));
      (world.nodes[0] as RouteNode).subscribe("a");
      expect(world.until(() => world.agree(), 2_000)).toBeLessThan(1_000);
    }
  });
});

describe("routes that were left out for those of others", () => {
  /** Counts the questions of one node to another. */
  function wantsOf(world: RouteWorld, one: RouteNode, other: RouteNode): () => number {
    let wants = 0;
    world.rewrite = (from, to, item) => {
      if (from === one && to === other && item[0] === RouteItem.WANT) wants += 1;
      return undefined;
    };
    return () => wants;
  }

  /** Three nodes; the second has no room for all that the third has, next to those of the first. */
  function shortWorld() {
    const limits = { nodeRoutes: 1_200, nodeBytes: 100_000, routes: 2_000, bytes: 1_000_000 };
    const world = worldOf(3, 1, { limits });
    const [a, b, c] = world.nodes as [RouteNode, RouteNode, RouteNode];
    for (let i = 0; i < 1_150; i++) a.subscribe(`of/a/${i}`);
    expect(world.until(() => b.agreesWith(a), 10_000)).toBeLessThan(10_000);
    for (let i = 0; i < 1_000; i++) c.subscribe(`of/c/${i}`);
    expect(world.until(() => b.routesOf(c).size === 850, 10_000)).toBeLessThan(10_000);
    world.run(1_000);
    expect(b.routesOf(c).size).toBe(850);
    return { world, a, b, c, wants: wantsOf(world, b, c) };
  }

  it("come when those go, and the others serve meanwhile", () => {
    const { world, a, b, c, wants } = shortWorld();
    world.run(60_000);
    expect(b.routesOf(c).size).toBe(850);
    world.see(b, a, "gone");
    let least = 850;
    const took = world.until(
      () => {
        const number = b.rules.numberOf(c.id) as number;
        least = Math.min(least, b.rules.nodeOf(number) === c.id ? b.routesOf(c).size : 0);
        return b.agreesWith(c);
      },
      60_000,
      1,
    );
    expect(took).toBeLessThan(30_000);
    expect(least).toBe(850);
    // It goes on from there, with what it has alone.
    c.subscribe("new");
    c.unsubscribe("of/c/1");
    world.run(1_000);
    expect(b.agreesWith(c)).toBe(true);
    expect(b.rules.stats()).toMatchObject({ routes: 1_000, pulls: 0 });
    const before = wants();
    world.run(60_000);
    expect(wants()).toBe(before);
  });

  it("are asked for less and less often where there is never room for all", () => {
    const { world, a, b, c, wants } = shortWorld();
    world.see(b, a, "gone");
    // There always seems to be room, and one is refused all the same.
    const addBytes = b.store.addBytes.bind(b.store);
    b.store.addBytes = (bytes, start, end, node) => {
      b.store.isFull = Buffer.from(bytes.subarray(start, end)).toString() === "of/c/7";
      return b.store.isFull ? "shapes" : addBytes(bytes, start, end, node);
    };
    world.run(300_000);
    expect(b.routesOf(c).size).toBe(999);
    expect(wants()).toBeGreaterThan(1);
    // Five times, for one or two answers each.
    expect(wants()).toBeLessThan(20);
  });
});

describe("many routes", () => {
  it("are fetched in bursts that the reader asks for: a change of another node is not late by them", () => {
    const world = worldOf(3);
    const [a, b, c] = world.nodes as [RouteNode, RouteNode, RouteNode];
    world.see(b, a, "lost");
    for (let i = 0; i < (LONG ? 100_000 : 50_000); i++) a.subscribe(`sensors/${i}/temperature`);
    world.run(10_000);
    let biggest = 0;
    let inFlight = 0;
    let most = 0;
    world.rewrite = (from, to, item) => {
      biggest = Math.max(biggest, item.length);
      if (from === a && to === b) most = Math.max(most, ++inFlight);
      if (from === b && to === a) inFlight = 0;
      return undefined;
    };
    world.see(b, a, "alive");
    world.run(500);
    c.subscribe("c");
    expect(world.until(() => b.agreesWith(c), 1_000, 1)).toBeLessThan(20);
    expect(b.rules.stats()).toMatchObject({ pulls: 1 });
    expect(world.until(() => world.agree(), 60_000)).toBeLessThan(10_000);
    expect(biggest).toBeLessThan(9_000);
    expect(most).toBeLessThanOrEqual(6);
  });

  it("are fetched at a pace after the first ones, a block at a time: a near reader's turns are short, and it is done in time", () => {
    const world = worldOf(2, 1, { latency: [1, 1] });
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    world.see(b, a, "lost");
    const count = 80_000;
    for (let i = 0; i < count; i++) a.subscribe(i.toString(36));
    world.run(10_000);
    const came: { at: number; operations: number }[] = [];
    world.rewrite = (from, _to, item) => {
      const message = from === a ? decodeRouteItem(Buffer.from(item)) : undefined;
      if (message?.type === RouteItem.BLOCK) came.push({ at: world.now, operations: message.block.count });
      return undefined;
    };
    world.see(b, a, "alive");
    const took = world.until(() => world.agree(), 60_000, 1);
    expect(took).toBeGreaterThan((count - ROUTE_CREDIT) / ROUTE_PACE - 20);
    expect(took).toBeLessThan(1.1 * (count / ROUTE_PACE) + 300);
    let here = 0;
    const late = came.filter(({ operations }) => {
      here += operations;
      return here > 2 * ROUTE_CREDIT;
    });
    expect(late.length).toBeGreaterThan(30);
    for (const [i, { at, operations }] of late.slice(1).entries())
      expect(at - (late[i] as { at: number }).at).toBeGreaterThan(operations / ROUTE_PACE - 2);
  });

  it("are asked of a far node some blocks at a time", () => {
    const world = worldOf(2, 1, { latency: [50, 50] });
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    for (let i = 0; i < 20_000; i++) a.subscribe(`sensors/${i}/temperature`);
    const asked = new Set<number>();
    world.rewrite = (from, _to, item) => {
      const message = from === b ? decodeRouteItem(Buffer.from(item)) : undefined;
      if (message?.type === RouteItem.WANT) asked.add(message.most);
      return undefined;
    };
    expect(world.until(() => world.agree(), 60_000)).toBeLessThan(10_000);
    expect([...asked]).toEqual([ROUTE_BURST]);
  });

  it("are fetched once where their node was asked several times before it answered, and none of its answers is refused", () => {
    const world = new RouteWorld({ seed: 1, latency: [300, 300], digestInterval: 1e9 });
    const [a, b] = [world.add(), world.add()];
    for (let i = 0; i < 20_000; i++) b.subscribe(`sensors/${i}/temperature`);
    world.run(1_000);
    let asked = 0;
    let came = 0;
    world.rewrite = (from, _to, item) => {
      if (from === a && item[0] === RouteItem.WANT) asked += 1;
      if (from === b && item[0] === RouteItem.BLOCK) came += 1;
      return undefined;
    };
    world.meet();
    world.act(a, () => a.rules.askUnsettled(world.now));
    expect(world.until(() => a.agreesWith(b), 60_000)).toBeLessThan(60_000);
    const blocks = a.rules.versionOf(b.id) as number;
    expect(asked).toBeGreaterThan(blocks / ROUTE_BURST + 5);
    // Those that it asked for again within a second, three at a time; the rest came once.
    expect(came).toBeLessThan(blocks + 11 * ROUTE_BURST);
    expect(a.rules.stats().refused).toEqual({});
  });

  it("with long filters, of which more blocks are asked for than are sent at once, come all the same: each question is answered", () => {
    const world = new RouteWorld({ seed: 1, latency: [1, 1], digestInterval: 1e9 });
    const [a, b] = [world.add(), world.add()];
    for (let i = 0; i < 4_000; i++) b.subscribe(`${i}/${"x".repeat(2_000)}`);
    world.run(2_000);
    expect(b.rules.stats().own.version).toBeGreaterThan(3 * ROUTE_SERVED_CREDIT);
    world.meet();
    expect(world.until(() => a.agreesWith(b), 10_000)).toBeLessThan(2_000);
    expect(a.rules.stats().refused).toEqual({});
  });

  it("that change while they are read end in the right copy, and a reader that fell behind gets a snapshot", () => {
    const count = LONG ? 30_000 : 15_000;
    const world = worldOf(3);
    const [a, b] = world.nodes as [RouteNode, RouteNode];
    world.see(b, a, "lost");
    for (let i = 0; i < count; i++) a.subscribe(`x/${i}`);
    world.run(5_000);
    world.see(b, a, "alive");
    for (let i = 0; i < 3_000; i++) {
      if (i % 3 === 0) a.subscribe(`y/${i}`);
      else a.unsubscribe(`x/${(i * 7) % count}`);
      world.run(1);
    }
    expect(world.until(() => world.agree(), 60_000)).toBeLessThan(60_000);
    // Behind the log: what it has is replaced, and serves until then.
    world.see(b, a, "lost");
    for (let i = 0; i < 1_000; i++) a.unsubscribe(`x/${i}`);
    for (let i = 0; i < 2 * count; i++) a.subscribe(`a/longer/filter/for/the/log/${i}`);
    world.run(10_000);
    world.see(b, a, "alive");
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
  });
});

describe("an idle cluster", () => {
  it("sends a digest now and then, however many routes there are", () => {
    const bytes = (count: number, routes: number): number => {
      const world = worldOf(count, 3);
      for (const each of world.nodes) for (let i = 0; i < routes; i++) each.subscribe(`${each.index}/${i}`);
      expect(world.until(() => world.agree(), 60_000)).toBeLessThan(60_000);
      world.run(5_000);
      const before = sum(world, "sentBytes");
      world.run(60_000);
      return (sum(world, "sentBytes") - before) / count;
    };
    const few = bytes(4, 1);
    expect(few).toBeLessThan(8 * 80);
    expect(bytes(4, 2_000)).toBeLessThan(1.5 * few);
    expect(bytes(40, 10)).toBeLessThan(1.5 * few);
  });
});
