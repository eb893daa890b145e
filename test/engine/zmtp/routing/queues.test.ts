import { expect, test } from "vitest";
import { LoadBalancer } from "../../../../src/engine/zmtp/routing/queues.js";
import { RoutingWorld } from "./support.js";

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
