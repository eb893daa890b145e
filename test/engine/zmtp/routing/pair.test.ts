import { expect, test } from "vitest";
import { OfferResult } from "../../../../src/engine/engine.js";
import fc from "../../../support/properties.js";
import { type FakePeer, RoutingWorld } from "./support.js";

const step = fc.record({
  how: fc.constantFrom("accept", "leave", "offer", "offer", "says", "says", "take", "reads"),
  who: fc.nat(4),
});

test("one peer at a time; order both ways, nothing lost but with the peer", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const world = new RoutingWorld({ type: "Pair", sendHighWaterMark: 3 });
      let peer: FakePeer | undefined;
      let [accepted, said, heard] = [0, 0, 0];
      for (const { how } of steps) {
        if (how === "accept") {
          const made = world.peer();
          expect(world.joins(made)).toBe(peer === undefined);
          peer ??= made;
        } else if (how === "take") {
          const message = world.take();
          if (message !== undefined) expect(message).toEqual([String(heard++)]);
        } else if (how === "offer") {
          const room = peer !== undefined && peer.pipe.out.messages < 3 && !peer.pipe.mute;
          const result = world.routing.offer(String(accepted));
          if (result === OfferResult.Accepted) accepted += 1;
          if (room) expect(result).toBe(OfferResult.Accepted);
          if (peer === undefined) expect(result).toBe(OfferResult.Mute);
        } else if (peer === undefined) continue;
        else if (how === "leave") {
          world.leaves(peer);
          peer = undefined;
        } else if (how === "says") peer.says(String(said++));
        else peer.reads();
        const delivered = world.peers.flatMap(({ messages }) => messages).length;
        const queued = world.peers.reduce((sum, { pipe }) => sum + pipe.out.messages, 0);
        expect(delivered + queued + world.lost).toBe(accepted);
      }
      expect(world.takeAll()).toHaveLength(said - heard);
      const got = world.peers.flatMap(({ messages }) => messages.map(([text]) => Number(text)));
      expect(got).toEqual([...got].sort((a, b) => a - b));
    }),
    { numRuns: 1_500, defaultRuns: 120 },
  );
});

test.each([
  "Pair",
  "Channel",
] as const)("%s reads what a peer has left before what the next one sends", (type) => {
  const world = new RoutingWorld({ type });
  const first = world.joined();
  for (const text of ["0", "1", "2"]) first.says(text);
  world.leaves(first);
  const second = world.joined();
  second.says("3");
  second.says("4");
  expect(world.takeAll()).toEqual([["0"], ["1"], ["2"], ["3"], ["4"]]);
});
