import { expect, test } from "vitest";
import { OfferResult } from "../../../../src/engine/engine.js";
import fc, { forAll } from "../../../support/properties.js";
import { weighted } from "../../support/weighted.js";
import { type FakePeer, RoutingWorld } from "./support.js";

const step = fc.record({
  how: weighted({ ask: 3, junk: 1, take: 2, reply: 2, accept: 1, leave: 1, reads: 1 }),
  who: fc.nat(10),
  hops: fc.nat(3),
});

test("a reply goes to its asker with its asker's envelope, or is counted as dropped; nobody else ever gets it", () => {
  forAll([fc.array(step, { maxLength: 100 })], { numRuns: 2_000, defaultRuns: 120 }, (steps) => {
    const world = new RoutingWorld({ type: "Reply", sendHighWaterMark: 2 });
    const living = new Set<FakePeer>();
    let number = 0;
    let asked = 0;
    let taken = 0;
    let junk = 0;
    let current: { peer: number; body: string } | undefined;
    const replies = new Map<string, number>();
    for (const { how, who, hops } of steps) {
      const peer = [...living][who % Math.max(1, living.size)];
      if (how === "accept" && living.size < 4) living.add(world.joined());
      else if (how === "take") {
        const before = world.routing.readable;
        const request = world.take();
        expect(request !== undefined).toBe(before && current === undefined);
        if (request === undefined) continue;
        taken += 1;
        const [from, body] = request as [string, string];
        current = { peer: Number(from), body };
      } else if (how === "reply") {
        const result = world.routing.offer(["reply", current?.body ?? "nothing"]);
        expect(result).toBe(current === undefined ? OfferResult.Mute : OfferResult.Accepted);
        if (current !== undefined) replies.set(current.body, current.peer);
        current = undefined;
      } else if (peer === undefined) continue;
      else if (how === "ask" && peer.reading) {
        number += 1;
        asked += 1;
        const envelope = Array.from({ length: hops }, (_, i) => `hop ${i} of ${number}`);
        peer.says(...envelope, "", String(peer.number), `${number}:${hops}`);
      } else if (how === "junk" && peer.reading) {
        junk += 1;
        peer.says("no", "delimiter");
      } else if (how === "reads") peer.reads();
      else if (how === "leave") {
        world.leaves(peer);
        living.delete(peer);
      }
    }
    for (const peer of living) peer.reads();
    for (const peer of world.peers) {
      for (const message of peer.messages) {
        const delimiter = message.indexOf("");
        const [word, body] = message.slice(delimiter + 1) as [string, string];
        expect([word, replies.get(body)]).toEqual(["reply", peer.number]);
        replies.delete(body);
        const [request, hops] = body.split(":").map(Number) as [number, number];
        expect(message.slice(0, delimiter)).toEqual(
          Array.from({ length: hops }, (_, i) => `hop ${i} of ${request}`),
        );
      }
    }
    // The rest was dropped, each with a reason: its asker was gone, or did not read; or ended with its pipe.
    expect(world.drops.length + world.lost).toBe(replies.size);
    if (current !== undefined) world.routing.offer("done");
    while (world.take() !== undefined) {
      taken += 1;
      world.routing.offer("done");
    }
    expect([taken, world.routing.invalid]).toEqual([asked, junk]);
  });
});

test("an asker that does not read gets replies up to the mark; further ones are dropped and counted, until it reads", () => {
  const world = new RoutingWorld({ type: "Reply", sendHighWaterMark: 2 });
  const peer = world.joined();
  const answer = (): void => {
    peer.says("", "question");
    expect(world.take()).toEqual(["question"]);
    expect(world.routing.offer("answer")).toBe(OfferResult.Accepted);
  };
  for (let i = 0; i < 5; i++) answer();
  expect(peer.pipe.out.messages).toBe(2);
  expect(world.drops).toEqual(Array(3).fill({ reason: "peer-full", peer: 0 }));
  peer.reads();
  answer();
  peer.reads();
  expect(peer.messages).toEqual(Array(3).fill(["", "answer"]));
  expect(world.drops).toHaveLength(3);
});

test("requests come in turn of the peers, one at a time", () => {
  const world = new RoutingWorld({ type: "Reply" });
  const peers = [world.joined(), world.joined()];
  for (const peer of peers) for (const body of ["a", "b", "c"]) peer.says("", `${peer.number}${body}`);
  const order: string[] = [];
  for (let request = world.take(); request !== undefined; request = world.take()) {
    order.push(...request);
    expect([world.routing.readable, world.take(), world.routing.writable]).toEqual([false, undefined, true]);
    world.routing.offer("ok");
  }
  // The first was looked at before the others came.
  expect(order).toEqual(["0a", "0b", "1a", "0c", "1b", "1c"]);
});

test("a request of the delimiter alone has an empty body", () => {
  const world = new RoutingWorld({ type: "Reply" });
  const peer = world.joined();
  peer.says("envelope", "");
  expect(world.take()).toEqual([""]);
  world.routing.offer("ok");
  peer.reads();
  expect(peer.messages).toEqual([["envelope", "", "ok"]]);
});

test("a request counts as queued until it is taken, also while it is looked at", () => {
  const world = new RoutingWorld({ type: "Reply" });
  const peer = world.joined();
  for (const body of ["a", "b"]) peer.says("", body);
  expect([world.routing.readable, world.routing.queuedIn]).toEqual([true, 2]);
  expect([world.routing.discard(), world.routing.readable]).toEqual([2, false]);
});
