/** Which node gets a request, and what a stream may send. */
import { describe, expect, it } from "vitest";
import { Balancer, type NodeLoad } from "../../../src/cluster/requests/balancer.js";
import { PartStream } from "../../../src/cluster/requests/outgoing.js";
import { BodyForm, decodeBody } from "../../../src/cluster/requests/wire.js";
import { randomOf } from "../simulation/world.js";

const at = (distance: number, ...ids: string[]): { id: string; distance: number }[] =>
  ids.map((id) => ({ id, distance }));

class Picks {
  readonly balancer: Balancer;
  now = 0;

  constructor(candidates: readonly { id: string; distance: number }[]) {
    this.balancer = new Balancer(randomOf(7));
    this.balancer.setCandidates(candidates);
  }

  pick(): NodeLoad {
    const node = this.balancer.pick(this.now, [], true);
    if (node === undefined) throw new Error("nobody");
    return node;
  }

  /** Requests one after the other, each of which ends before the next. @returns how many each node got */
  run(count: number, outcome: (node: NodeLoad) => { ms: number; fails?: boolean }): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let i = 0; i < count; i++) {
      const node = this.pick();
      counts[node.id] = (counts[node.id] ?? 0) + 1;
      node.outstanding += 1;
      const { ms, fails = false } = outcome(node);
      this.now += 1;
      node.ended(this.now, fails ? "failed" : "ok", ms);
    }
    return counts;
  }
}

describe("the choice of a node", () => {
  it("asks the nearest that have room, and others where these have none", () => {
    const picks = new Picks([...at(3, "far"), ...at(1, "near", "near too")]);
    for (let i = 0; i < 100; i++) expect(picks.pick().id).toMatch(/^near/);
    for (const id of ["near", "near too"]) {
      const node = picks.balancer.nodes.get(id) as NodeLoad;
      node.report(0, 4, 4);
    }
    expect(picks.pick().id).toBe("far");
    // What was reported is old.
    picks.now = 2_000;
    expect(picks.pick().id).toMatch(/^near/);
  });

  it("asks the one more often that answers sooner, and leaves none out", () => {
    const picks = new Picks(at(1, "quick", "slow"));
    const counts = picks.run(2_000, ({ id }) => ({ ms: id === "quick" ? 1 : 10 }));
    expect(counts.quick).toBeGreaterThan(4 * (counts.slow ?? 0));
    const even = new Picks(at(1, "a", "b", "c", "d")).run(4_000, () => ({ ms: 1 }));
    for (const id of ["a", "b", "c", "d"]) expect(even[id]).toBeGreaterThan(700);
  });
});

describe("a node that fails", () => {
  it("gets nothing for a second while others are left, then until it fails again, and its share when it does not", () => {
    const picks = new Picks([...at(1, "bad"), ...at(3, "far")]);
    let isBad = true;
    const outcome = ({ id }: NodeLoad): { ms: number; fails: boolean } => ({
      ms: 1,
      fails: id === "bad" && isBad,
    });
    expect(picks.run(400, outcome).bad).toBe(5);
    picks.now += 1_000;
    expect(picks.run(400, outcome).bad).toBe(1);
    isBad = false;
    picks.now += 1_000;
    expect(picks.run(400, outcome)).toEqual({ bad: 400 });
  });

  it("gets its share where all fail", () => {
    const counts = new Picks(at(1, "a", "b", "c")).run(600, () => ({ ms: 1, fails: true }));
    for (const id of ["a", "b", "c"]) expect(counts[id]).toBeGreaterThan(100);
  });
});

it("the window of a stream refuses a part that was not granted", async () => {
  const granted: number[][] = [];
  const reader = new PartStream(1, 10, decodeBody, (...credit) => granted.push(credit));
  const part = (length: number): string | undefined => reader.part(BodyForm.BYTES, Buffer.alloc(length));
  expect([part(50), part(0)]).toEqual([undefined, "window"]);
  expect(await reader.next()).toMatchObject({ value: Buffer.alloc(50) });
  expect(granted).toEqual([[1, 50]]);
  expect(part(1)).toBeUndefined();
});
