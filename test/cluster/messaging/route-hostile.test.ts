/** What an admitted but evil node does to routes: bounded, refused by reason, and the routes of others stay as they are. */
import { describe, expect, it } from "vitest";
import {
  ROUTE_BURST,
  ROUTE_CREDIT,
  ROUTE_PATIENCE,
  ROUTE_PULL_TIMEOUT,
  ROUTE_SERVED,
  ROUTE_SERVED_CREDIT,
} from "../../../src/cluster/messaging/bounds.js";
import {
  BlockKind,
  BlockWriter,
  decodeRouteItem,
  encodeAck,
  encodeBlockItem,
  encodeDigest,
  encodeNone,
  encodePush,
  encodeVersions,
  encodeWant,
  Operation,
  RouteItem,
} from "../../../src/cluster/messaging/route-wire.js";
import { PROOF, type RouteNode, RouteWorld } from "./route-world.js";

const LIMITS = { nodeRoutes: 1_000, nodeBytes: 20_000, routes: 2_500, bytes: 100_000 };

/** Honest nodes with some routes each; the last one is evil. */
function worldOf(count: number): {
  world: RouteWorld;
  honest: RouteNode[];
  evil: RouteNode;
  a: RouteNode;
  b: RouteNode;
} {
  const world = new RouteWorld({ seed: 5, limits: LIMITS, digestInterval: 1_000 });
  for (let i = 0; i < count; i++) world.add();
  world.meet();
  const honest = world.nodes.slice(0, -1);
  for (const each of honest) each.subscribe(`of/${each.index}`);
  world.run(3_000);
  expect(world.agree(honest)).toBe(true);
  const [a, b] = honest as [RouteNode, RouteNode];
  return { world, honest, evil: world.nodes.at(-1) as RouteNode, a, b };
}

function block(
  of: RouteNode,
  kind: BlockKind,
  version: number,
  filters: readonly string[],
  { part = 0, exact = 0, signer = of, operation = Operation.ADD as number } = {},
): Buffer {
  const writer = new BlockWriter();
  for (const filter of filters) writer.add(operation, filter);
  const { sign } = PROOF.of(signer.id, signer.life);
  return writer.finish(kind, { id: of.id, life: of.life, version }, part, exact, sign);
}

const push = (of: RouteNode, version: number, bytes?: Buffer, until?: string): Buffer =>
  encodePush(true, { id: of.id, life: of.life, version }, until, bytes);

const reasons = (node: RouteNode): Readonly<Record<string, number>> => node.rules.stats().refused;

describe("an admitted but evil node", () => {
  for (const count of [4, 40])
    it(`does not change the routes of another, among ${count}`, () => {
      const { world, honest, evil, a, b } = worldOf(count);
      const version = b.rules.versionOf(a.id) as number;
      const forged = block(a, BlockKind.CHANGE, version + 1, ["forged"], { signer: evil });
      world.transmit(evil, b.id, push(a, version + 1, forged));
      world.run(50);
      expect(reasons(b).signature).toBe(1);
      // It is not believed about others any more, and goes on all the same.
      world.transmit(evil, b.id, push(a, version + 1, forged));
      world.transmit(evil, b.id, push(b, 99, block(b, BlockKind.CHANGE, 99, ["forged"])));
      world.run(50);
      expect(reasons(b)).toMatchObject({ signature: 1, distrusted: 1, own: 1 });
      a.subscribe("new");
      world.run(3_000);
      expect(world.agree(honest)).toBe(true);
      expect(b.routesOf(a)).toEqual(new Set(["of/0", "new"]));
    });

  it("claims versions that nobody has, of others and of itself: it is asked, and then not asked any more", () => {
    const { world, honest, evil, a, b } = worldOf(4);
    world.rewrite = (from, _to, item) =>
      from === evil && item[0] === RouteItem.NONE ? Buffer.from([99]) : undefined;
    for (let i = 0; i < 50; i++) {
      world.transmit(evil, b.id, push(a, 1e12 + i));
      world.transmit(evil, b.id, push(evil, 1e12 + i));
      world.run(200);
    }
    expect(b.rules.stats().pulls).toBeLessThanOrEqual(2);
    a.subscribe("new");
    world.run(7_000);
    expect(world.agree(honest)).toBe(true);
    const { items } = world;
    world.run(10_000);
    expect(world.items - items).toBeLessThan(200);
  });

  it("states more routes, or more bytes of them, than a node may have: the rest is left out, the others' stay", () => {
    const { world, honest, evil, b } = worldOf(4);
    for (let version = 1; version <= 300; version++) {
      const filters = Array.from({ length: 40 }, (_, i) => `${version}/${i}`);
      world.transmit(evil, b.id, push(evil, version, block(evil, BlockKind.CHANGE, version, filters)));
    }
    world.run(1_000);
    expect(b.routesOf(evil).size).toBe(LIMITS.nodeRoutes);
    expect(reasons(b)["routes:node"]).toBe(300 * 40 - LIMITS.nodeRoutes);
    const long = Array.from({ length: 1_000 }, (_, i) => `${"x".repeat(100)}${i}`);
    world.transmit(
      evil,
      b.id,
      push(
        evil,
        301,
        block(evil, BlockKind.CHANGE, 301, [...b.routesOf(evil)].slice(0, 900), { operation: 0 }),
      ),
    );
    for (let i = 0; i < 10; i++)
      world.transmit(
        evil,
        b.id,
        push(evil, 302 + i, block(evil, BlockKind.CHANGE, 302 + i, long.slice(100 * i, 100 * i + 100))),
      );
    world.run(1_000);
    expect(b.rules.stats().bytes).toBeLessThanOrEqual(LIMITS.nodeBytes + 100);
    (honest[0] as RouteNode).subscribe("new");
    world.run(3_000);
    expect(world.agree(honest)).toBe(true);
  });

  it("sends a snapshot without end: it is given up", () => {
    const { world, evil, b } = worldOf(3);
    // Its own rules answer that there is nothing.
    world.rewrite = (from, _to, item) =>
      from === evil && item[0] === RouteItem.NONE ? Buffer.from([99]) : undefined;
    world.transmit(evil, b.id, push(evil, 5));
    world.run(20);
    let part = 0;
    for (let i = 0; i < 2_000 && b.rules.stats().pulls > 0; i++) {
      const same = block(
        evil,
        BlockKind.PART,
        5,
        Array.from({ length: 10 }, (_, n) => `again/${n}`),
        { part, exact: 5 },
      );
      part += 1;
      world.transmit(evil, b.id, encodeBlockItem(true, false, same));
      world.run(5);
    }
    expect(reasons(b).snapshot).toBe(1);
    expect(b.routesOf(evil).size).toBe(0);
    // Nor one with parts that have nothing, that take away, or that are not next.
    for (const bad of [
      block(evil, BlockKind.PART, 6, [], { exact: 6 }),
      block(evil, BlockKind.PART, 6, ["x"], { exact: 6, operation: 0 }),
      block(evil, BlockKind.PART, 6, ["x"], { exact: 6, part: 3 }),
      block(evil, BlockKind.PART, 6, ["x"], { exact: 5 }),
      block(evil, BlockKind.CHANGE, 9, ["x"]),
    ]) {
      world.transmit(evil, b.id, push(evil, 6));
      world.run(20);
      expect(b.rules.stats().pulls).toBe(1);
      world.transmit(evil, b.id, encodeBlockItem(true, false, bad));
      world.run(20);
      expect(b.rules.stats().pulls).toBe(0);
    }
    expect(reasons(b)).toMatchObject({ sequence: 3, snapshot: 3 });
    // Nor one with a part left out, or with parts of two versions; what was read of it is gone.
    for (const bad of [
      block(evil, BlockKind.LAST_PART, 6, ["last"], { exact: 6, part: 2 }),
      block(evil, BlockKind.LAST_PART, 7, ["last"], { exact: 7, part: 1 }),
    ]) {
      world.transmit(evil, b.id, push(evil, 7));
      world.run(20);
      const first = block(evil, BlockKind.PART, 6, ["first"], { exact: 6 });
      world.transmit(evil, b.id, encodeBlockItem(false, false, first));
      world.transmit(evil, b.id, encodeBlockItem(true, false, bad));
      world.run(20);
      expect(b.rules.stats().pulls).toBe(0);
      expect(b.routesOf(evil).size).toBe(0);
      expect(b.rules.versionOf(evil.id)).toBe(0);
    }
    expect(reasons(b)).toMatchObject({ sequence: 5 });
  });

  it("sends more blocks than it is asked for, or faster: no more are taken than the pace allows, and another node's are not late by them", () => {
    for (const again of [false, true]) {
      const world = new RouteWorld({ seed: 5, latency: [1, 1] });
      const [a, b, evil] = [world.add(), world.add(), world.add()];
      world.meet();
      world.run(1_000);
      world.rewrite = (from, _to, item) =>
        from === evil && item[0] === RouteItem.NONE ? Buffer.from([99]) : undefined;
      world.transmit(evil, b.id, push(evil, 5));
      world.run(20);
      const each = 500;
      for (let part = 0; part < 300; part++) {
        const filters = Array.from({ length: each }, (_, i) => `${part}/${i}`);
        const bytes = block(evil, BlockKind.PART, 5, filters, { part, exact: 5 });
        world.transmit(evil, b.id, encodeBlockItem(again, false, bytes));
      }
      for (let i = 0; i < 5_000; i++) a.subscribe(`of/a/${i}`);
      world.run(400);
      expect(b.agreesWith(a)).toBe(true);
      const taken = b.routesOf(evil).size;
      expect(taken).toBeGreaterThan(0);
      expect(taken).toBeLessThanOrEqual(again ? ROUTE_CREDIT + ROUTE_BURST * each : ROUTE_BURST * each);
      expect(reasons(b).unasked).toBe(300 - taken / each);
    }
  });

  for (const [how, isLast] of [
    ["each just in time", false],
    ["each as the last one, after it claimed more", true],
  ] as const)
    it(`hands on genuine blocks of another, ${how}: before long that one is asked itself`, () => {
      const { world, evil, a, b } = worldOf(3);
      // Changes of a that b does not get, and that the evil one keeps; b hears nothing of its own rules.
      const kept: Buffer[] = [];
      let isCut = true;
      let isMeant = false;
      world.rewrite = (from, to, item) => {
        const message = from === a && to === evil ? decodeRouteItem(Buffer.from(item)) : undefined;
        if (message?.type === RouteItem.PUSH && message.block !== undefined)
          kept.push(Buffer.from(message.block.bytes));
        const isKeptBack = (from === a && isCut) || (from === evil && !isMeant);
        return to === b && isKeptBack ? Buffer.from([99]) : undefined;
      };
      const give = (item: Buffer): void => {
        isMeant = true;
        world.transmit(evil, b.id, item);
        isMeant = false;
      };
      const version = b.rules.versionOf(a.id) as number;
      for (let i = 0; i < 30; i++) {
        a.subscribe(`new/${i}`);
        world.run(20);
      }
      expect([kept.length, b.rules.versionOf(a.id)]).toEqual([30, version]);
      give(push(a, version + 30));
      world.run(20);
      expect(b.rules.stats().pulls).toBe(1);
      isCut = false;
      const begun = world.now;
      for (let i = 0; i < 30 && !b.agreesWith(a); i++) {
        if (world.until(() => b.agreesWith(a), ROUTE_PULL_TIMEOUT - 100) < Number.POSITIVE_INFINITY) break;
        // The highest claim is the one that counts.
        if (isLast) give(push(a, 1e9 + i));
        give(encodeBlockItem(!isLast, isLast, kept[i] as Buffer));
      }
      expect(b.agreesWith(a)).toBe(true);
      expect(world.now - begun).toBeLessThan(ROUTE_PATIENCE + 3_000);
      // Then it is not believed to have more, for a minute; a's next change is not late.
      give(push(a, 2e9));
      a.subscribe("one more");
      expect(world.until(() => b.agreesWith(a), 5_000)).toBeLessThan(1_000);
    });

  it("spends nearly all the time that others have for routes of another: who is asked next is not taken for slow", () => {
    const { world, honest, evil, a, b } = worldOf(5);
    const [c, d] = honest.slice(2) as [RouteNode, RouteNode];
    const kept: Buffer[] = [];
    const asked: RouteNode[] = [];
    let isMeant = false;
    world.rewrite = (from, to, item) => {
      const message = decodeRouteItem(Buffer.from(item));
      if (from === a && to === evil && message?.type === RouteItem.PUSH && message.block !== undefined)
        kept.push(Buffer.from(message.block.bytes));
      if (from === b && message?.type === RouteItem.WANT) asked.push(to);
      return to === b && !isMeant ? Buffer.from([99]) : undefined;
    };
    const give = (from: RouteNode, item: Buffer): void => {
      isMeant = true;
      world.transmit(from, b.id, item);
      isMeant = false;
      world.run(20);
    };
    const version = b.rules.versionOf(a.id) as number;
    for (let i = 0; i < 3; i++) {
      a.subscribe(`new/${i}`);
      world.run(20);
    }
    expect(kept.length).toBe(3);
    give(evil, push(a, version + 3));
    for (const isLast of [false, true]) {
      world.run(ROUTE_PULL_TIMEOUT - 100);
      give(evil, encodeBlockItem(false, isLast, kept.shift() as Buffer));
    }
    expect([b.rules.versionOf(a.id), b.rules.stats().pulls, asked]).toEqual([version + 2, 0, [evil]]);
    const late = reasons(b).timeout ?? 0;
    give(c, push(a, version + 3));
    expect(asked.pop()).toBe(c);
    // What is left of the 10 s.
    world.run(1_000);
    expect([reasons(b).timeout, asked.pop()]).toEqual([late + 1, a]);
    // It may still be asked for the routes of others, and its answer is late, not unasked.
    give(c, push(d, 5));
    expect(asked.pop()).toBe(c);
    give(c, encodeBlockItem(false, true, kept.shift() as Buffer));
    expect(b.agreesWith(a)).toBe(true);
  });

  it("answers with forged blocks of another: those of that one are not late by them", () => {
    const { world, evil, a, b } = worldOf(4);
    const version = b.rules.versionOf(a.id) as number;
    world.rewrite = (from, _to, item) =>
      from === evil && item[0] === RouteItem.NONE ? Buffer.from([99]) : undefined;
    world.transmit(evil, b.id, push(a, version + 1));
    world.run(20);
    const many = Array.from({ length: 20_000 }, () => "x");
    const forged = block(a, BlockKind.CHANGE, version + 1, many, { signer: evil });
    world.transmit(evil, b.id, encodeBlockItem(false, false, forged));
    world.run(20);
    expect(reasons(b).signature).toBe(1);
    const long = "x".repeat(100);
    for (let i = 0; i < 180; i++) a.subscribe(`${long}/${i}`);
    let took = 0;
    for (; !b.agreesWith(a) && took < 3_000; took++) world.run(1);
    expect(took).toBeLessThan(40);
  });

  for (const [what, kind, version, again] of [
    ["a change, with more to come", BlockKind.CHANGE, 1, true],
    ["a change, as all there is", BlockKind.CHANGE, 1, false],
    ["a part, with more to come", BlockKind.PART, 5, true],
  ] as const)
    it(`answers again and again with what is here of another one, ${what}: that one's routes are late by one question`, () => {
      const { world, evil, a, b } = worldOf(4);
      const known = block(a, kind, version, ["of/0"], { exact: kind === BlockKind.PART ? version : 0 });
      let asked = 0;
      world.rewrite = (from, to, item) => {
        if (from === b && to === evil && item[0] === RouteItem.WANT) asked += 1;
        return from === evil && item[0] === RouteItem.NONE ? Buffer.from([99]) : undefined;
      };
      let claimed = 1e12;
      const hold = (): void => {
        claimed += 1;
        world.transmit(evil, b.id, encodeBlockItem(again, !again, known));
        world.transmit(evil, b.id, push(a, claimed));
        world.run(20);
      };
      for (let i = 0; i < 50; i++) hold();
      expect(asked).toBeLessThan(3);
      // More than two blocks are announced, and not pushed.
      const long = "x".repeat(100);
      for (let i = 0; i < 180; i++) a.subscribe(`${long}/${i}`);
      let took = 0;
      for (; !b.agreesWith(a) && took < 8_000; took += 20) hold();
      expect(took).toBeLessThan(5_000);
    });

  it("changes its routes while a snapshot of them is read: the change is not put into what is half read", () => {
    const { world, evil, b } = worldOf(3);
    world.rewrite = (from, _to, item) =>
      from === evil && item[0] === RouteItem.NONE ? Buffer.from([99]) : undefined;
    world.transmit(evil, b.id, push(evil, 6));
    world.run(20);
    const first = block(evil, BlockKind.PART, 6, ["first"], { exact: 6 });
    world.transmit(evil, b.id, encodeBlockItem(false, false, first));
    world.transmit(evil, b.id, push(evil, 1, block(evil, BlockKind.CHANGE, 1, ["change"])));
    world.run(20);
    expect([...b.routesOf(evil)]).toEqual(["first"]);
    expect(b.rules.versionOf(evil.id)).toBe(0);
  });

  it("sends digests that never agree, and lists that nobody asked for", () => {
    const { world, honest, evil, b } = worldOf(4);
    const { items } = world;
    const all = honest.map(({ id, life }) => ({ id, life, version: 77 }));
    for (let i = 0; i < 1_000; i++) {
      const buckets = new Uint32Array(16).fill(i + 1);
      world.transmit(evil, b.id, encodeDigest(i, buckets));
      world.transmit(evil, b.id, encodeVersions(true, 0xffff, all));
      world.transmit(evil, b.id, encodeVersions(false, 0xffff, all));
      world.run(1);
    }
    // What it was sent: eight answers, and what the first lists led to.
    expect(world.items - items - 3_000).toBeLessThan(100);
    expect(reasons(b).flood).toBeGreaterThan(900);
    expect(reasons(b).unasked).toBeGreaterThan(1_900);
    world.run(12_000);
    (honest[0] as RouteNode).subscribe("new");
    world.run(3_000);
    expect(world.agree(honest)).toBe(true);
  });

  it("asks for snapshots without end: it gets so many blocks as may be, its last question is answered, and others get theirs", () => {
    const world = new RouteWorld({ seed: 5, latency: [1, 1], digestInterval: 1e9 });
    const [b, evil] = [world.add(), world.add()];
    // More bytes than a snapshot of them has, so that it is made for each who asks from the beginning.
    for (let i = 0; i < 5_000; i++) b.subscribe(`${"x".repeat(200)}/${i}`);
    world.run(2_000);
    world.meet();
    world.run(2_000);
    expect(world.agree()).toBe(true);
    let got = 0;
    world.rewrite = (from, to, item) => {
      if (from === b && to === evil && item[0] === RouteItem.BLOCK) got += 1;
      return undefined;
    };
    const ask = (times: number): void => {
      for (let i = 0; i < times; i++) world.transmit(evil, b.id, encodeWant(b.id, b.life, 0, 0));
    };
    ask(2_400);
    world.run(1);
    expect(got).toBeGreaterThan(0);
    expect(got).toBeLessThanOrEqual(ROUTE_SERVED_CREDIT + ROUTE_BURST);
    const first = got;
    world.run(10);
    expect(got).toBe(first + ROUTE_BURST);
    const a = world.add();
    world.meet();
    let took = 0;
    for (; !b.agreesWith(a) || !a.agreesWith(b); took++) {
      if (took > 3_000) break;
      ask(20);
      world.run(1);
    }
    expect(took).toBeLessThan(1_000);
    expect(got - first).toBeLessThanOrEqual((took + 20) * ROUTE_SERVED);
    expect(reasons(a)).toEqual({});
  });

  it("has old changes of others handed on, as often as it likes: a cluster does not echo them", () => {
    const { world, evil, a, b } = worldOf(60);
    const version = b.rules.versionOf(a.id) as number;
    const { items } = world;
    for (let i = 0; i < 1_000; i++) {
      world.transmit(evil, b.id, push(a, version, undefined, evil.id));
      world.run(1);
    }
    expect(world.items - items - 1_000).toBeLessThan(15 * 120);
    expect(reasons(b).flood).toBeGreaterThan(900);
  });

  it("sends junk, acknowledgements of what nobody sent, and what it was not asked for: refused by reason, nothing throws", () => {
    const { world, honest, evil, a, b } = worldOf(4);
    const good = [
      push(a, 3, block(a, BlockKind.CHANGE, 3, ["x"])),
      encodeBlockItem(true, true, block(evil, BlockKind.LAST_PART, 3, ["x"], { exact: 3 })),
      encodeWant(a.id, a.life, 1, 2),
      encodeWant(b.id, b.life, 1e9, 1e9),
      encodeWant(b.id, b.life + 1, 0, 0),
      encodeNone(a.id, a.life),
      encodeAck(b.id, b.life, 1, 2 ** 40),
      encodeAck(a.id, a.life, 1, 0),
      encodeVersions(true, 0xffff, [{ id: a.id, life: a.life, version: 5 }]),
      encodeDigest(1, new Uint32Array(16)),
    ];
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
    expect(reasons(b).malformed).toBeGreaterThan(500);
    world.run(70_000);
    (honest[0] as RouteNode).subscribe("new");
    world.run(6_000);
    expect(world.agree(honest)).toBe(true);
  });

  it("is not heard at all before it is a member, and after it left", () => {
    const { world, evil, a, b } = worldOf(3);
    world.see(b, evil, "gone");
    world.transmit(evil, b.id, push(evil, 1, block(evil, BlockKind.CHANGE, 1, ["x"])));
    world.run(50);
    expect(reasons(b)).toMatchObject({ stranger: 1 });
    expect(b.rules.numberOf(evil.id)).toBeUndefined();
    expect(b.agreesWith(a)).toBe(true);
  });
});
