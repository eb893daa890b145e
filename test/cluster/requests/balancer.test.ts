/** Which node gets a request, who is left out, and what a stream may send. */
import { describe, expect, it } from "vitest";
import { Balancer, type NodeLoad } from "../../../src/cluster/requests/balancer.js";
import { PartStream } from "../../../src/cluster/requests/outgoing.js";
import { BodyForm, decodeBody } from "../../../src/cluster/requests/wire.js";
import { randomOf } from "../simulation/world.js";

const at = (distance: number, ...ids: string[]): { id: string; distance: number }[] =>
  ids.map((id) => ({ id, distance }));

class Picks {
  readonly balancer: Balancer;
  readonly ejected: string[] = [];
  readonly restored: string[] = [];
  now = 0;

  constructor(candidates: readonly { id: string; distance: number }[]) {
    this.balancer = new Balancer("work", randomOf(7), (event) => {
      if (event.type === "service:ejected") this.ejected.push(event.node);
      else if (event.type === "service:restored") this.restored.push(event.node);
    });
    this.balancer.setCandidates(candidates);
  }

  pick(key = "", tried: readonly string[] = []): NodeLoad {
    const node = this.balancer.pick(this.now, tried, key);
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
      this.balancer.ended(this.now, node, fails ? "failed" : "ok", ms);
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

  it("sends one key to one node, the next one where that is gone, and keys to all", () => {
    const ids = ["a", "b", "c", "d", "e"];
    const picks = new Picks(at(1, ...ids));
    const other = new Picks(at(3, ...ids.toReversed()));
    const counts: Record<string, number> = {};
    for (let i = 0; i < 1_000; i++) {
      const { id } = picks.pick(`order ${i}`);
      expect(other.pick(`order ${i}`).id).toBe(id);
      expect(picks.pick(`order ${i}`, [id]).id).not.toBe(id);
      counts[id] = (counts[id] ?? 0) + 1;
    }
    for (const id of ids) expect(counts[id]).toBeGreaterThan(130);
  });
});

describe("who is left out", () => {
  it("ejects one that fails while others do not, tries it later, and takes it back", () => {
    const picks = new Picks(at(1, "a", "b", "bad"));
    let isBad = true;
    const outcome = ({ id }: NodeLoad): { ms: number; fails: boolean } => ({
      ms: 1,
      fails: id === "bad" && isBad,
    });
    const counts = picks.run(400, outcome);
    expect(picks.ejected).toEqual(["bad"]);
    // Other callers may not have ejected it: a key goes to one node from all of them.
    const keys = Array.from({ length: 100 }, (_, at) => `order ${at}`);
    expect(keys.some((key) => picks.pick(key).id === "bad")).toBe(true);
    expect(counts.bad).toBe(5);
    // On trial: one request, which fails; then one that does not.
    picks.now += 2_000;
    expect(picks.run(50, outcome).bad).toBe(1);
    expect(picks.ejected).toEqual(["bad", "bad"]);
    isBad = false;
    picks.now += 4_000;
    expect(picks.run(600, outcome).bad).toBeGreaterThan(100);
    expect(picks.restored).toEqual(["bad"]);
  });

  it("ejects nobody where all fail, and no more than half", () => {
    const all = new Picks(at(1, "a", "b", "c"));
    all.run(500, () => ({ ms: 1, fails: true }));
    expect(all.ejected).toEqual([]);
    const one = new Picks(at(1, "a"));
    one.run(50, () => ({ ms: 1, fails: true }));
    expect(one.ejected).toEqual([]);
    const most = new Picks(at(1, "a", "b", "x", "y", "z"));
    let atOnce = 0;
    most.run(900, ({ id }) => {
      const ejected = [...most.balancer.nodes.values()].filter((node) => node.isEjected(most.now)).length;
      atOnce = Math.max(atOnce, ejected);
      return { ms: 1, fails: id > "m" };
    });
    expect(atOnce).toBe(2);
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
