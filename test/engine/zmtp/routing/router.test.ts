import { expect, test } from "vitest";
import { OfferResult } from "../../../../src/engine/engine.js";
import fc, { forAll } from "../../../support/properties.js";
import { weighted } from "../../support/weighted.js";
import { type FakePeer, RoutingWorld } from "./support.js";

const idOf = (peer: FakePeer): string => (peer.pipe.routingId as Buffer).toString("latin1");

const waiting = (world: RoutingWorld): number =>
  world.peers.reduce((sum, { pipe }) => sum + pipe.out.messages, 0);

const step = fc.record({
  how: weighted({ accept: 2, connect: 1, join: 1, leave: 1, says: 2, take: 1, offer: 2, reads: 1 }),
  who: fc.nat(10),
  identity: fc.constantFrom("", "", "a", "b", "c", "\u00ff\0x"),
});

test.each([
  false,
  true,
])("handover %s: ids are unique at every moment, lead to their peer, and report where a message came from", (handover) => {
  forAll([fc.array(step, { maxLength: 100 })], { numRuns: 1_500, defaultRuns: 100 }, (steps) => {
    const world = new RoutingWorld({ type: "Router", options: { handover }, sendHighWaterMark: 3 });
    const living = new Set<FakePeer>();
    const sent = new Map<number, string[]>();
    const came = new Map<number, string[]>();
    const had = new Map<number, Set<string>>();
    let number = 0;
    for (const { how, who, identity } of steps) {
      for (const peer of living) if (!peer.pipe.outlives && !peer.linked) living.delete(peer);
      const all = [...living];
      const peer = all[who % Math.max(1, all.length)];
      number += 1;
      if (how === "accept" && living.size < 6) {
        const taken = all.some((other) => other.pipe.routingId !== undefined && idOf(other) === identity);
        const made = world.peer();
        const allowed = world.joins(made, identity);
        expect(allowed).toBe(identity === "" || !taken || handover);
        if (allowed) living.add(made);
      } else if (how === "connect" && living.size < 6) living.add(world.peer(true));
      else if (how === "take") {
        const message = world.take();
        if (message === undefined) continue;
        const [id, from, body] = message as [string, string, string];
        expect(id.length).toBeGreaterThan(0);
        // The name it has now: an answer must not go to the peer that has taken over the one it had.
        expect(id).toBe(idOf(world.peers[Number(from)] as FakePeer));
        came.set(Number(from), [...(came.get(Number(from)) ?? []), body]);
      } else if (peer === undefined) continue;
      else if (how === "join" && peer.pipe.outlives && !peer.linked) world.joins(peer, identity);
      else if (how === "leave") world.leaves(peer);
      else if (how === "reads") peer.reads();
      else if (how === "says" && peer.linked) {
        sent.set(peer.number, [...(sent.get(peer.number) ?? []), String(number)]);
        peer.says(String(peer.number), String(number));
      } else if (how === "offer" && peer.pipe.routingId !== undefined) {
        const before = waiting(world);
        const body = Buffer.from(`to ${idOf(peer)}`, "latin1");
        const result = world.routing.offer([peer.pipe.routingId, body]);
        expect(waiting(world)).toBe(before + (result === OfferResult.Accepted ? 1 : 0));
        const bearers = all.filter((one) => one.pipe.routingId !== undefined && idOf(one) === idOf(peer));
        if (result === OfferResult.PeerFull)
          expect(bearers.some(({ pipe }) => pipe.out.messages === 3)).toBe(true);
      }
      for (const one of living)
        if (one.linked) had.set(one.number, (had.get(one.number) ?? new Set()).add(idOf(one)));
      const names = [...living].filter((one) => one.linked).map(idOf);
      expect(new Set(names).size).toBe(names.length);
    }
    for (let message = world.take(); message !== undefined; message = world.take()) {
      const [id, from, body] = message as [string, string, string];
      expect(id).toBe(idOf(world.peers[Number(from)] as FakePeer));
      came.set(Number(from), [...(came.get(Number(from)) ?? []), body]);
    }
    expect(came).toEqual(sent);
    for (const peer of world.peers)
      for (const [body] of peer.messages as [string][])
        expect(had.get(peer.number)?.has(body.slice("to ".length))).toBe(true);
  });
});

test.each([
  ["\0id", false],
  ["x".repeat(256), false],
  ["x".repeat(255), true],
  ["\u00ff\u00fe", true],
])("an Identity is refused where the RFC forbids it", (identity, allowed) => {
  const world = new RoutingWorld({ type: "Router" });
  expect(world.joins(world.peer(), identity)).toBe(allowed);
});

test("with handover a peer that we connected to, and that goes, does not take the name with it that another has by then", () => {
  const world = new RoutingWorld({ type: "Router", options: { handover: true } });
  const first = world.peer(true);
  world.joins(first, "n");
  world.leaves(first);
  const second = world.joined("n");
  world.disconnects(first);
  expect(world.routing.offer(["n", "x"])).toBe(OfferResult.Accepted);
  second.reads();
  expect(second.messages).toEqual([["x"]]);
});

test("a peer we connect to keeps the name it had, and its queue, while its connection is away", () => {
  const world = new RoutingWorld({ type: "Router" });
  const peer = world.peer(true);
  world.joins(peer, "server");
  world.leaves(peer);
  expect(world.routing.offer(["server", "waits"])).toBe(OfferResult.Accepted);
  world.joins(peer, "server");
  peer.reads();
  expect(peer.messages).toEqual([["waits"]]);
});

test.each([
  false,
  true,
])("handover %s: an answer to a routing id as it came goes to the peer that has the name now", (handover) => {
  const world = new RoutingWorld({ type: "Router", options: { handover } });
  const first = world.joined("n");
  const asCame = first.pipe.routingId as Buffer;
  expect(world.routing.offer([asCame, "first"])).toBe(OfferResult.Accepted);
  if (!handover) world.leaves(first);
  const second = world.joined("n");
  expect(world.routing.offer([asCame, "second"])).toBe(OfferResult.Accepted);
  second.reads();
  expect(second.messages).toEqual([["second"]]);
  world.leaves(second);
  for (const id of [asCame, second.pipe.routingId as Buffer])
    expect(world.routing.offer([id, "nobody"])).toBe(OfferResult.Unroutable);
});

test("with handover an answer to a message of who had the name goes to the peer that has it now", () => {
  const world = new RoutingWorld({ type: "Router", options: { handover: true } });
  world.joined("n").says("asks");
  const second = world.joined("n");
  const [from] = world.routing.take() as [Buffer];
  expect(world.routing.offer([from, "answer"])).toBe(OfferResult.Accepted);
  second.reads();
  expect(second.messages).toEqual([["answer"]]);
});

test("a send that waits for one peer leaves the room of another as it is", () => {
  const world = new RoutingWorld({ type: "Router" });
  const peer = world.joined("other");
  const body = Buffer.alloc(1_000_000);
  const fills = (): number => {
    let accepted = 0;
    while (world.routing.offer([Buffer.from("other"), body]) === OfferResult.Accepted) accepted += 1;
    return accepted;
  };
  const first = fills();
  expect(first).toBeGreaterThan(50);
  world.routing.awaited();
  peer.reads();
  expect(fills()).toBe(first);
});
