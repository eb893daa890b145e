import { expect, test } from "vitest";
import { OfferResult } from "../../../../src/engine/engine.js";
import fc from "../../../support/properties.js";
import { weighted } from "../../support/weighted.js";
import { type FakePeer, RoutingWorld } from "./support.js";

const step = fc.record({
  how: weighted({
    offer: 4,
    says: 2,
    take: 2,
    reads: 1,
    connect: 1,
    accept: 1,
    join: 1,
    leave: 1,
    disconnect: 1,
    unblock: 1,
  }),
  who: fc.nat(20),
  frames: fc.integer({ min: 1, max: 3 }),
});

test("whatever peers do: per-peer order is kept, nothing is doubled, and every message is somewhere", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), fc.integer({ min: 1, max: 4 }), (steps, mark) => {
      const world = new RoutingWorld({ type: "Dealer", sendHighWaterMark: mark, receiveHighWaterMark: mark });
      const living = new Set<FakePeer>();
      const spoken = new Map<number, number>();
      const heard: { peer: number; number: number }[] = [];
      let accepted = 0;
      let said = 0;
      const hear = (message: string[] | undefined): void => {
        if (message === undefined) return;
        heard.push({ peer: Number(message[0]), number: Number(message[1]) });
      };
      for (const { how, who, frames } of steps) {
        const all = [...living];
        const peer = all[who % Math.max(1, all.length)];
        if (how === "offer") {
          const message = [String(accepted), ...Array.from({ length: frames - 1 }, () => "more")];
          const full = all.every(({ pipe }) => pipe.out.messages >= mark && pipe.link?.blocked !== false);
          const result = world.routing.offer(message);
          if (result === OfferResult.Accepted) accepted += 1;
          // A pipe stays closed until half of its queue has left.
          else expect(all.every(({ pipe }) => pipe.mute)).toBe(true);
          if (full) expect(result).toBe(OfferResult.Mute);
        } else if (how === "take") hear(world.take());
        else if (how === "connect" && living.size < 6) living.add(world.peer(true));
        else if (how === "accept" && living.size < 6) living.add(world.joined());
        else if (peer === undefined) continue;
        else if (how === "says" && peer.linked && peer.reading) {
          const number = spoken.get(peer.number) ?? 0;
          spoken.set(peer.number, number + 1);
          said += 1;
          peer.says(String(peer.number), String(number));
        } else if (how === "reads" && peer.linked) peer.reads();
        else if (how === "unblock") peer.blocked = !peer.blocked;
        else if (how === "join" && !peer.linked && peer.pipe.outlives) world.joins(peer);
        else if (how === "leave") {
          world.leaves(peer);
          if (!peer.pipe.outlives) living.delete(peer);
        } else if (how === "disconnect") {
          world.disconnects(peer);
          living.delete(peer);
        }
        const delivered = world.peers.flatMap(({ messages }) => messages).length;
        const queued = world.peers.reduce((sum, { pipe }) => sum + pipe.out.messages, 0);
        expect(delivered + queued + world.lost).toBe(accepted);
        for (const { pipe } of all) expect(pipe.out.messages).toBeLessThanOrEqual(mark);
      }
      for (let message = world.take(); message !== undefined; message = world.take())
        heard.push({ peer: Number(message[0]), number: Number(message[1]) });
      expect(heard).toHaveLength(said);
      for (const { number, messages } of world.peers) {
        expect(heard.filter(({ peer }) => peer === number).map((one) => one.number)).toEqual(
          Array.from({ length: spoken.get(number) ?? 0 }, (_, i) => i),
        );
        const got = messages.map(([first]) => Number(first));
        expect(got).toEqual([...got].sort((a, b) => a - b));
      }
      const everything = world.peers.flatMap(({ messages }) => messages.map(([first]) => first));
      expect(new Set(everything).size).toBe(everything.length);
    }),
    { numRuns: 2_000, defaultRuns: 60 },
  );
});

test("a PUSH hears nothing and reads nothing", () => {
  const world = new RoutingWorld({ type: "Push" });
  const peer = world.joined();
  peer.says("what");
  expect([world.readable, world.take()]).toEqual([0, undefined]);
  expect([world.routing.readable, world.routing.queuedIn]).toEqual([false, 0]);
});

test("peers that leave with untaken messages all at once hold nobody up", () => {
  const world = new RoutingWorld({ type: "Pull" });
  const peers = Array.from({ length: 16_000 }, () => world.joined());
  for (const peer of peers) peer.says("1");
  const began = performance.now();
  for (const peer of peers) world.leaves(peer);
  // Some 20 ms; with a look at all of them at each departure, some 3 s.
  expect(performance.now() - began).toBeLessThan(1_000);
  expect(world.routing.tooManyOrphans()).toBe(true);
  world.takeAll();
  expect(world.routing.tooManyOrphans()).toBe(false);
});
