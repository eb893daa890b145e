import { expect, test } from "vitest";
import type { Pipe } from "../../../../src/engine/zmtp/pipe.js";
import { FairQueue, LoadBalancer } from "../../../../src/engine/zmtp/routing/queues.js";
import { LengthSet } from "../../../../src/engine/zmtp/routing/subscription-index.js";

import fc from "../../../support/properties.js";
import { RoutingWorld } from "./support.js";

test("the fair queue gives one message of each pipe that has some, in turn", () => {
  const world = new RoutingWorld({ type: "Pull" });
  const peers = [3, 1, 2].map((count) => {
    const peer = world.joined();
    for (let i = 0; i < count; i++) peer.says(`${peer.number}${i}`);
    return peer;
  });
  expect(peers.map(({ pipe }) => pipe.queued)).toEqual([true, true, true]);
  expect(world.takeAll().flat()).toEqual(["00", "10", "20", "01", "21", "02"]);
});

test("a pipe that was added twice has one turn, and one that was emptied meanwhile none", () => {
  const world = new RoutingWorld({ type: "Pull" });
  const [a, b] = [world.joined(), world.joined()];
  const queue = new FairQueue();
  a.says("a");
  b.says("b");
  for (const { pipe } of [a, a, b]) {
    pipe.queued = false;
    queue.add(pipe);
    queue.add(pipe);
  }
  a.pipe.discard();
  expect(queue.next()).toBe(b.pipe);
  b.pipe.take();
  queue.advance(b.pipe);
  expect([queue.next(), queue.length]).toEqual([undefined, 0]);
});

test("nobody's turn to be read is skipped when another has left", () => {
  const world = new RoutingWorld({ type: "Pull" });
  const peers = [world.joined(), world.joined(), world.joined(), world.joined()];
  for (const peer of peers) for (const n of [0, 1, 2]) peer.says(`${peer.number}${n}`);
  const take = (count: number): string[] => Array.from({ length: count }, () => world.take()?.[0] ?? "");
  expect(take(2)).toEqual(["00", "10"]);
  peers[2]?.pipe.discard();
  expect(take(2)).toEqual(["30", "01"]);
  peers[0]?.pipe.discard();
  expect(take(3)).toEqual(["11", "31", "12"]);
  expect(take(2)).toEqual(["32", ""]);
});

test("nobody's turn to be sent to is skipped when another has left", () => {
  const world = new RoutingWorld({ type: "Pull" });
  const balancer = new LoadBalancer();
  const peers = [0, 1, 2, 3].map(() => world.joined());
  for (const { pipe } of peers) balancer.add(pipe);
  const send = (count: number): number[] =>
    Array.from({ length: count }, () => {
      const pipe = balancer.send("x", undefined);
      return peers.findIndex((peer) => peer.pipe === pipe);
    });
  const remove = (who: number): void => balancer.remove((peers[who] as (typeof peers)[0]).pipe);
  expect(send(2)).toEqual([0, 1]);
  remove(0); // Before the one whose turn it is.
  expect(send(2)).toEqual([2, 3]);
  expect(send(1)).toEqual([1]);
  remove(2); // The one whose turn it is.
  expect(send(3)).toEqual([3, 1, 3]);
});

test("the load balancer goes round those with room, and comes back to who has it again", () => {
  const world = new RoutingWorld({ type: "Push", sendHighWaterMark: 2 });
  const balancer = new LoadBalancer();
  const peers = [world.joined(), world.joined(), world.joined()];
  for (const { pipe } of peers) {
    pipe.open = false; // In the list of the world's own until now.
    balancer.add(pipe);
    balancer.add(pipe);
  }
  const sent: number[] = [];
  const send = (): void => {
    const pipe = balancer.send("x", undefined);
    sent.push(peers.findIndex((peer) => peer.pipe === pipe));
  };
  for (let i = 0; i < 7; i++) send();
  expect(sent).toEqual([0, 1, 2, 0, 1, 2, -1]);
  peers[1]?.reads();
  const [, { pipe }] = peers as [(typeof peers)[0], (typeof peers)[0]];
  pipe.open = false;
  balancer.add(pipe);
  send();
  expect(sent.at(-1)).toBe(1);
});

test("a peer without room hears once that a send waits, and once more when it was full again", () => {
  let times = 0;
  let hasRoom = false;
  const pipe = { hasRoom: () => hasRoom, awaited: () => (times += 1) } as unknown as Pipe;
  const balancer = new LoadBalancer();
  const wait = (): number => {
    expect(balancer.next()).toBeUndefined();
    balancer.awaited();
    return times;
  };
  balancer.add(pipe);
  expect([wait(), wait()]).toEqual([1, 1]);
  hasRoom = true;
  balancer.add(pipe);
  expect(balancer.next()).toBe(pipe);
  hasRoom = false;
  expect(wait()).toBe(2);
});

test("a removed peer gets no turn, and the others keep theirs", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ add: fc.boolean(), who: fc.nat(5) }), { maxLength: 60 }), (steps) => {
      const world = new RoutingWorld({ type: "Pull" });
      const balancer = new LoadBalancer();
      const peers = Array.from({ length: 6 }, () => world.joined());
      const open = new Set<number>();
      for (const { add, who } of steps) {
        const pipe = (peers[who] as (typeof peers)[0]).pipe;
        if (add) balancer.add(pipe);
        else balancer.remove(pipe);
        if (add) open.add(who);
        else open.delete(who);
        const round = new Set<number>();
        for (let i = 0; i < open.size; i++) {
          const next = balancer.send("x", undefined);
          round.add(peers.findIndex((peer) => peer.pipe === next));
        }
        expect(round).toEqual(open);
      }
    }),
    { numRuns: 300, defaultRuns: 100 },
  );
});

test("the lengths that occur are sorted, each once", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ add: fc.boolean(), length: fc.nat(12) }), { maxLength: 60 }),
      (steps) => {
        const [set, all] = [new LengthSet(), [] as number[]];
        for (const { add, length } of steps) {
          if (add) {
            set.add(length);
            all.push(length);
          } else {
            set.remove(length);
            const at = all.indexOf(length);
            if (at >= 0) all.splice(at, 1);
          }
          expect(Array.from({ length: set.size }, (_, i) => set.at(i))).toEqual(
            [...new Set(all)].sort((a, b) => a - b),
          );
        }
      },
    ),
    { numRuns: 500 },
  );
});
