/** More requests at once than the nodes take: those that do not fit wait at their caller, in turn. */
import { describe, expect, it } from "vitest";
import { Balancer } from "../../../src/cluster/requests/balancer.js";
import { encodeBody } from "../../../src/cluster/requests/body.js";
import type { CallTerms } from "../../../src/cluster/requests/call.js";
import { randomOf } from "../simulation/world.js";
import { loadsOf, TERMS, World } from "./request-world.js";

/** A caller, and nodes that have places for 12 requests each. */
function worldOf(servers: number): World {
  const world = new World(7);
  world.workOf = () => ({ ms: 5, fails: false, parts: 0 });
  world.add("caller");
  for (let i = 1; i <= servers; i++) world.add(`w${i}`).serve();
  return world;
}

function call(world: World, count: number, terms: (i: number) => Partial<CallTerms>): Map<string, number> {
  const outcomes = new Map<string, number>();
  const note = (what: string): void => void outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
  for (let i = 0; i < count; i++)
    world.get("caller").calls.call(
      world.now,
      { ...TERMS, body: encodeBody(`${i}`), timeout: -1, ...terms(i) },
      {
        reply: () => note("reply"),
        part: () => undefined,
        end: () => undefined,
        fail: (error) => note(error.message),
      },
    );
  return outcomes;
}

describe("requests that wait for room", () => {
  it("are sent in the order in which they were made, and come before later ones", () => {
    const world = worldOf(1);
    world.get("w1").service = undefined;
    const outcomes = call(world, 1, () => ({}));
    world.runUntil(100);
    const { calls } = world.get("caller");
    for (const node of loadsOf(calls)) node.window = 2;
    call(world, 20, () => ({}));
    world.runUntil(1_000);
    call(world, 1, () => ({}));
    world.runUntil(2_000);
    expect(outcomes.get("reply")).toBe(1);
    expect(world.get("w1").runs.slice(1)).toEqual([...Array(20).keys(), 0].map(String));
  });

  it("have their turn in that order though their node refused them before", () => {
    const world = worldOf(1);
    call(world, 40, () => ({}));
    world.runUntil(1_000);
    expect(world.get("w1").runs).toEqual([...Array(40).keys()].map(String));
  });

  it("hold up no others because they were late at the only node that has room", () => {
    const world = worldOf(2);
    world.workOf = (_, body) => ({ ms: body === "slow" ? 500 : 5, fails: false, parts: 0 });
    const { calls } = world.get("caller");
    call(world, 1, () => ({}));
    world.runUntil(100);
    for (const node of loadsOf(calls)) if (node.id === "w2") node.window = 0;
    call(world, 1, () => ({ body: encodeBody("slow"), idempotent: true, attemptTimeout: 50, retries: 1 }));
    // By then it was repeated, and nobody but the node at which it was late had room.
    world.runUntil(300);
    const others = call(world, 10, () => ({}));
    world.runUntil(1_000);
    expect(others.get("reply")).toBe(10);
  });

  it("hold up none that their own node may serve, where they may not go there", () => {
    const world = worldOf(1);
    const caller = world.get("caller");
    caller.serve();
    caller.candidates = [
      { id: "caller", distance: 0 },
      { id: "w1", distance: 1 },
    ];
    caller.calls.onChanged(world.now);
    call(world, 1, () => ({}));
    world.runUntil(100);
    for (const node of loadsOf(caller.calls)) if (node.id === "w1") node.window = 0;
    const remote = call(world, 1, () => ({ self: false, timeout: 5_000 }));
    const own = call(world, 3, () => ({}));
    world.runUntil(1_000);
    expect([own.get("reply"), remote.size]).toEqual([3, 0]);
  });

  it("do not go to a node that is ejected while another one is only full, and may be its trial", () => {
    const world = worldOf(2);
    const { calls } = world.get("caller");
    call(world, 1, () => ({}));
    world.runUntil(100);
    for (const node of loadsOf(calls))
      if (node.id === "w1") node.window = 0;
      else {
        node.ejections = 1;
        node.ejectedUntil = 1_000;
      }
    const { runs } = world.get("w2");
    const before = runs.length;
    const outcomes = call(world, 3, () => ({}));
    world.runUntil(999);
    expect(runs.length).toBe(before);
    world.runUntil(2_000);
    expect(outcomes.get("reply")).toBe(3);
  });

  it("do not go round and round between a node that is at work and one whose link takes nothing", () => {
    const world = worldOf(2);
    const { calls } = world.get("caller");
    for (const full of ["full", "unreachable"] as const) {
      let tries = 0;
      world.send = (from, to, item) => {
        tries += 1;
        if (tries > 1_000) throw new Error("without an end");
        if (to === "w2") return full;
        world.carry(from, to, item);
        return "sent";
      };
      call(world, 1, () => ({}));
      world.runUntil(world.now + 100);
      for (const node of loadsOf(calls)) if (node.id === "w1") node.window = 1;
      const outcomes = call(world, 20, () => ({}));
      world.runUntil(world.now + 1_000);
      expect(outcomes.get("reply")).toBe(20);
    }
  });

  it("go to a node whose link was full when it has room, though the other one answers nobody meanwhile", () => {
    const world = worldOf(2);
    const { calls } = world.get("caller");
    call(world, 1, () => ({}));
    world.runUntil(100);
    for (const node of loadsOf(calls)) node.window = node.id === "w1" ? 1 : 12;
    world.workOf = (_, body) => ({ ms: body === "slow" ? 60_000 : 5, fails: false, parts: 0 });
    call(world, 1, () => ({ node: "w1", body: encodeBody("slow") }));
    world.send = (from, to, item) => {
      if (to === "w2" && world.now < 300) return "full";
      world.carry(from, to, item);
      return "sent";
    };
    const outcomes = call(world, 3, () => ({}));
    world.runUntil(1_000);
    expect(outcomes.get("reply")).toBe(3);
  });

  it.each([
    "by its timer",
    "before its timer, which is late",
  ])("end with their time, %s, and say so", (how) => {
    const world = worldOf(1);
    world.workOf = () => ({ ms: 1_000_000, fails: false, parts: 0 });
    const { calls } = world.get("caller");
    call(world, 1, () => ({}));
    for (const node of loadsOf(calls)) node.window = 1;
    const outcomes = call(world, 1, () => ({ timeout: 500 }));
    if (how === "by its timer") world.runUntil(1_000);
    else calls.onChanged(1_000);
    expect([...outcomes.keys()]).toEqual([expect.stringContaining("no node has room for it within 500 ms")]);
    expect(calls.waiting).toBe(0);
  });
});

it("a burst is shared by nodes of which one alone has answered before, however slowly", () => {
  const balancer = new Balancer("work", randomOf(1), () => undefined);
  balancer.setCandidates(["a", "b", "c"].map((id) => ({ id, distance: 1 })));
  const [a] = balancer.nodes.values();
  if (a === undefined) throw new Error("no node");
  a.outstanding += 1;
  balancer.ended(0, a, "ok", 12.5);
  for (let i = 0; i < 5_000; i++) {
    const node = balancer.pick(0, [], "");
    if (node !== undefined) node.outstanding += 1;
  }
  for (const { outstanding } of balancer.nodes.values()) expect(outstanding).toBeGreaterThan(1_500);
});
