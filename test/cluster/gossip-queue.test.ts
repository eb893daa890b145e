import { describe, expect, it } from "vitest";
import { GossipQueue } from "../../src/cluster/membership/gossip-queue.js";
import { Update } from "../../src/cluster/wire/packets.js";

const id = (index: number): string => index.toString(16).padStart(32, "a");

describe("updates that wait to be spread", () => {
  it("take no more room for being superseded where nobody is there to take them", () => {
    const queue = new GossipQueue();
    for (let count = 0; count < 10_000; count++) {
      queue.push(Update.left(id(count % 10), 1, count));
      expect(queue.places).toBeLessThanOrEqual(100);
    }
    expect(queue.size).toBe(10);
    const taken = queue.take(1_000, 1);
    expect(taken.map(({ count }) => count)).toEqual([...Array(10).keys()].map((index) => 9_990 + index));
    expect([queue.size, queue.places]).toEqual([0, 0]);
  });

  it("keep how often they were transmitted when superseded ones are cleared away", () => {
    const queue = new GossipQueue();
    queue.push(Update.left(id(1), 1, 1));
    queue.take(1_000, 3);
    queue.take(1_000, 3);
    for (let count = 0; count < 1_000; count++) queue.push(Update.left(id(2), 1, count));
    // The least transmitted first; the other one leaves for the third and last time.
    expect(queue.take(1_000, 3).map(({ id }) => id)).toEqual([id(2), id(1)]);
    expect(queue.take(1_000, 3).map(({ id }) => id)).toEqual([id(2)]);
  });
});
