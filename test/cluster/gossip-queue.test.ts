import { describe, expect, it } from "vitest";
import { MAX_GOSSIP } from "../../src/cluster/bounds.js";
import { GossipQueue } from "../../src/cluster/membership/gossip-queue.js";
import { Update } from "../../src/cluster/wire/packets.js";

const id = (index: number): string => index.toString(16).padStart(32, "0");
const left = (index: number, count: number): Update => Update.left({ id: id(index), start: 1, count });

describe("updates that wait to be spread", () => {
  it("take no more room for being superseded where nobody is there to take them", () => {
    const queue = new GossipQueue();
    for (let count = 0; count < 10_000; count++) {
      queue.push(left(count % 10, count));
      expect(queue.places).toBeLessThanOrEqual(100);
    }
    expect(queue.size).toBe(10);
    const taken = queue.take(1_000, 1);
    expect(taken.map(({ count }) => count)).toEqual([...Array(10).keys()].map((index) => 9_990 + index));
    expect([queue.size, queue.places]).toEqual([0, 0]);
  });

  it("keep how often they were transmitted when superseded ones are cleared away", () => {
    const queue = new GossipQueue();
    queue.push(left(1, 1));
    queue.take(1_000, 3);
    queue.take(1_000, 3);
    for (let count = 0; count < 1_000; count++) queue.push(left(2, count));
    // The least transmitted first; the other one leaves for the third and last time.
    expect(queue.take(1_000, 3).map(({ id }) => id)).toEqual([id(2), id(1)]);
    expect(queue.take(1_000, 3).map(({ id }) => id)).toEqual([id(2)]);
  });

  it("are bounded in number: the oldest goes", () => {
    const queue = new GossipQueue();
    const more = 1_000;
    let dropped = 0;
    for (let count = 0; count < MAX_GOSSIP + more; count++)
      if (queue.push(Update.removal(id(count), 1, count, true))) dropped += 1;
    expect([queue.size, dropped]).toEqual([MAX_GOSSIP, more]);
    expect(queue.places).toBeLessThanOrEqual(2 * MAX_GOSSIP + 64);
    expect(queue.push(Update.removal(id(more), 2, 0, false)), "one about the same node").toBe(false);
    expect(queue.take(1_000, 1)[0]?.id).toBe(id(more + 1));
  });
});
