/** Answers about routes that come late or never, in virtual time: what is late is taken, who is silent is asked ever more seldom. */
import { describe, expect, it } from "vitest";
import { MAX_LATE_ROUTE_ANSWERS, ROUTE_LATE } from "../../../src/cluster/messaging/bounds.js";
import { RouteBackoff } from "../../../src/cluster/messaging/route-backoff.js";
import {
  BlockKind,
  BlockWriter,
  encodeBlockItem,
  Operation,
  RouteItem,
} from "../../../src/cluster/messaging/route-wire.js";
import { LONG } from "../../support/long.js";
import { PROOF, type RouteNode, RouteWorld } from "./route-world.js";

/** 7 s there and back: later than a node has to have answered. */
const SLOW = [3_450, 3_550] as const;

describe("answers that come late", () => {
  for (const count of LONG ? [20, 60] : [20])
    it(`are taken: ${count} nodes that start at once and answer after 7 s know all routes`, () => {
      const world = new RouteWorld({ seed: 7, latency: SLOW });
      for (let i = 0; i < count; i++) world.add().subscribe(`of/${i}`);
      world.meet(2_000);
      expect(world.until(() => world.agree(), 90_000, 500)).toBeLessThan(90_000);
      for (const { rules } of world.nodes) {
        const { refused } = rules.stats();
        expect(refused.timeout, "they were late").toBeGreaterThan(0);
        expect(refused.unasked ?? 0).toBeLessThan(5);
      }
    });

  /** A node whose interest others get as a snapshot: of more changes than it keeps so many filters are left. */
  const churned = (left: number): { world: RouteWorld; a: RouteNode; b: RouteNode } => {
    const world = new RouteWorld({ seed: 2, latency: SLOW });
    const [a, b] = [world.add(), world.add()];
    const filters = Array.from({ length: 700 }, (_, i) => `${i}/${"x".repeat(2_000)}`);
    for (const filter of filters) b.subscribe(filter);
    world.run(2_000);
    for (const filter of filters.slice(left)) b.unsubscribe(filter);
    world.run(2_000);
    world.meet();
    return { world, a, b };
  };

  it("are taken of a snapshot, at the first question", () => {
    const { world, a, b } = churned(3);
    const asks: number[] = [];
    world.rewrite = (from, _to, item) => {
      if (from === a && item[0] === RouteItem.WANT) asks.push(world.now);
      return undefined;
    };
    expect(world.until(() => asks.length > 0, 60_000)).toBeLessThan(60_000);
    // What it would say if it was asked again.
    world.rewrite = (from, _to, item) =>
      from === a && item[0] === RouteItem.WANT ? Buffer.from([99]) : undefined;
    world.run(12_000);
    expect(a.agreesWith(b)).toBe(true);
    expect(a.rules.stats().refused.timeout).toBeGreaterThan(0);
  });

  it("are taken of a snapshot with many parts, whose node has ever more time for each", () => {
    const { world, a, b } = churned(40);
    expect(world.until(() => a.agreesWith(b), 240_000, 500)).toBeLessThan(240_000);
  });

  it("are believed as those in time are: not without a signature, and to what was asked only", () => {
    const world = new RouteWorld({ seed: 5, digestInterval: 1e9 });
    const [a, b, evil] = [world.add(), world.add(), world.add()] as [RouteNode, RouteNode, RouteNode];
    world.meet();
    world.run(1_000);
    const block = (version: number, filter: string, signer: RouteNode): Buffer => {
      const writer = new BlockWriter();
      writer.add(Operation.ADD, filter);
      const { sign } = PROOF.of(signer.id, signer.life);
      const bytes = writer.finish(BlockKind.CHANGE, { id: b.id, life: b.life, version }, 0, 0, sign);
      return encodeBlockItem(false, true, bytes);
    };
    // Who claims to know more of b is asked, and its answers are held back.
    let asks = 0;
    world.rewrite = (from, to, item) => {
      if (from === a && to === evil && item[0] === RouteItem.WANT) asks += 1;
      return from === evil && item[0] === RouteItem.NONE ? Buffer.from([99]) : undefined;
    };
    const claim = Buffer.from([RouteItem.PUSH, 1]);
    const version = Buffer.from([1]);
    const life = Buffer.alloc(6);
    life.writeUIntBE(b.life, 0, 6);
    world.transmit(evil, a.id, Buffer.concat([claim, Buffer.from(b.id, "hex"), life, version]));
    world.run(5_500);
    expect(asks).toBe(1);
    expect(a.rules.stats().refused.timeout).toBe(1);
    world.transmit(evil, a.id, block(1, "forged", evil));
    world.run(20);
    expect(a.rules.stats().refused.signature).toBe(1);
    expect(a.routesOf(b).size).toBe(0);
    // One question has one answer.
    world.transmit(evil, a.id, block(1, "forged", evil));
    world.run(20);
    expect(a.rules.stats().refused).toMatchObject({ signature: 1, unasked: 1 });
    b.subscribe("real");
    world.run(20);
    expect(a.agreesWith(b)).toBe(true);
  });
});

describe("a node that never answers", () => {
  it("is asked again after 2 s, doubled each time, and then no more until somebody says that there is more", () => {
    const world = new RouteWorld({ seed: 1, digestInterval: 1e9 });
    const [a, b] = [world.add(), world.add()];
    world.meet();
    const asked: number[] = [];
    const start = world.now;
    world.rewrite = (from, _to, item) => {
      if (from === a && item[0] === RouteItem.WANT) asked.push(Math.round((world.now - start) / 1_000));
      return from === b && item[0] !== RouteItem.DIGEST && item[0] !== RouteItem.VERSIONS
        ? Buffer.from([99])
        : undefined;
    };
    for (let i = 0; i < 5_000; i++) b.subscribe(`many/${i}`);
    // Its digest says that there is something.
    world.run(1_000);
    world.act(b, () => b.rules.onRoom(world.now, a.id));
    world.run(200_000);
    // 5 s and the back-off for the answer, then the back-off.
    expect(asked.map((at) => at - (asked[0] as number))).toEqual([0, 7, 18, 35, 64]);
    expect(a.rules.stats()).toMatchObject({ pulls: 0, refused: { timeout: 5 } });
  });

  it("is remembered within bounds, and for some time", () => {
    const backoff = new RouteBackoff();
    for (let i = 0; i <= MAX_LATE_ROUTE_ANSWERS; i++) backoff.onTimeout(0, "server", `${i}`, 1);
    expect(backoff.isAwaited(1, "server", "0", 1)).toBe(false);
    expect(backoff.isAwaited(1, "server", "1", 1)).toBe(true);
    expect(backoff.isAwaited(1, "server", "1", 2)).toBe(false);
    expect(backoff.isAwaited(ROUTE_LATE, "server", "1", 1)).toBe(false);
    // All of them were one time-out.
    expect([backoff.isBackedOff(1_999, "server"), backoff.isBackedOff(2_000, "server")]).toEqual([
      true,
      false,
    ]);
    backoff.onTimeout(5_000, "server", "1", 1);
    for (const isThere of [true, true, false]) {
      expect(backoff.isAwaited(6_000, "server", "1", 1)).toBe(isThere);
      backoff.endLate("server", "1");
    }
    expect(backoff.isBackedOff(8_999, "server")).toBe(true);
    backoff.onAnswer(7_000, "server");
    expect(backoff.isBackedOff(7_000, "server")).toBe(false);
    expect([backoff.timeout("server", true), backoff.timeout("server", false)]).toEqual([9_000, 5_000]);
    backoff.expire(7_000 + ROUTE_LATE);
    expect(backoff.timeout("server", true)).toBe(5_000);
  });
});
