import { expect, it } from "vitest";
import { GossipQueue } from "../../src/cluster/membership/gossip-queue.js";
import { Update } from "../../src/cluster/wire/packets.js";

const id = (index: number): string => index.toString(16).padStart(32, "0");
const left = (index: number, count: number): Update => Update.left({ id: id(index), start: 1, count });

it("updates that wait to be spread are the latest of each key, however many came before", () => {
  const queue = new GossipQueue();
  for (let count = 0; count < 10_000; count++) queue.push(left(count % 10, count));
  expect(queue.size).toBe(10);
  const taken = queue.take(1_000, 1);
  expect(taken.map(({ count }) => count)).toEqual([...Array(10).keys()].map((index) => 9_990 + index));
  expect([queue.size, queue.take(1_000, 1)]).toEqual([0, []]);
});
