/** How fast another node's routes are fetched. */
import { describe, expect, it } from "vitest";
import {
  ROUTE_BURST,
  ROUTE_CREDIT,
  ROUTE_PACE,
  ROUTE_PACE_PULLS,
} from "../../../src/cluster/messaging/bounds.js";
import { RoutePace } from "../../../src/cluster/messaging/route-pace.js";

const BLOCK = 300;
const EACH = BLOCK / ROUTE_PACE;

/** Fetches blocks, each as soon as it may be, from a node at a distance. @returns ms until so many operations are here */
function fetch(operations: number, distance: number, pulls = 1): { took: number; most: number[] } {
  const pace = new RoutePace();
  const most: number[] = [];
  let now = 1_000;
  let here = 0;
  while (here < operations) {
    now = Math.max(now, pace.freeAt);
    const blocks = pace.blocks(now);
    most.push(blocks);
    now += distance;
    for (let i = 0; i < blocks; i++) pace.spend(now, BLOCK, pulls);
    pace.onAnswer(distance);
    here += blocks * BLOCK;
  }
  return { took: now - 1_000, most };
}

describe("the pace at which routes are fetched", () => {
  it("lets a small table come at once, as many blocks at a time as an answer has", () => {
    const { took, most } = fetch(ROUTE_CREDIT - 2 * ROUTE_BURST * BLOCK, 1);
    expect(took).toBe(most.length);
    expect(most).toEqual(most.map(() => ROUTE_BURST));
  });

  it("gives each operation of a large one its time, and asks a near node for one block", () => {
    const { took, most } = fetch(1_000_000, EACH / 4);
    expect(took).toBeGreaterThan((1_000_000 - ROUTE_CREDIT) / ROUTE_PACE - EACH * ROUTE_BURST);
    expect(took).toBeLessThan(1_000_000 / ROUTE_PACE + 1);
    const late = most.slice(most.length / 10);
    expect(late).toEqual(late.map(() => 1));
  });

  it("asks a far node for as many blocks as come in the time of an answer, up to an answer's bound", () => {
    expect(fetch(100_000, 1.5 * EACH).most.at(-1)).toBe(2);
    const far = fetch(100_000, 100 * EACH);
    expect(far.most).toEqual(far.most.map(() => ROUTE_BURST));
  });

  it("is as much slower for each where more nodes are fetched: all together are as fast as some", () => {
    const alone = fetch(1_000_000, 1).took;
    expect(fetch(1_000_000, 1, ROUTE_PACE_PULLS).took).toBe(alone);
    const many = fetch(1_000_000, 1, 4 * ROUTE_PACE_PULLS).took;
    expect(many / alone).toBeGreaterThan(3.5);
    expect(many / alone).toBeLessThan(4.5);
  });

  it("gives credit back by and by, and no more than there was", () => {
    const pace = new RoutePace();
    pace.spend(0, 1_000_000, 1);
    expect(pace.freeAt).toBeCloseTo((1_000_000 - ROUTE_CREDIT) / ROUTE_PACE);
    const later = pace.freeAt + 1_000_000;
    pace.spend(later, ROUTE_CREDIT, 1);
    expect(pace.freeAt).toBeCloseTo(later);
    pace.spend(later, BLOCK, 1);
    expect(pace.freeAt).toBeCloseTo(later + EACH);
  });
});
