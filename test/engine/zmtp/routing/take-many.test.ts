/** Messages that are taken together are those that are taken one by one, of each socket type. */
import { expect, test } from "vitest";
import type { SocketTypeName } from "../../../../src/core/socket-type.js";
import type { TakenMessages } from "../../../../src/engine/engine.js";
import fc, { forAll } from "../../../support/properties.js";
import { RoutingWorld, text } from "./support.js";

const message = fc.array(fc.constantFrom("", "a", "ab", "b", "x".repeat(300)), {
  minLength: 1,
  maxLength: 3,
});
const step = fc.record({
  how: fc.constantFrom("says", "says", "says", "several", "take", "take", "peer", "leaves"),
  who: fc.nat(3),
  messages: fc.array(message, { minLength: 1, maxLength: 12 }),
  count: fc.integer({ min: 1, max: 12 }),
  maxCost: fc.constantFrom(1, 500, 100_000),
});

/** How often one call gave several. */
let timesTogether = 0;

/** @returns up to `max` messages, and bytes of their frames, as a receive of several takes them */
function takeUpTo(world: RoutingWorld, max: number, maxCost: number, together: boolean): unknown[] {
  const messages: Buffer[][] = [];
  const taken: TakenMessages = { messages, bytes: 0, cost: 0 };
  let calls = 0;
  while (messages.length < max) {
    const before = messages.length;
    if (together) {
      taken.cost = 0; // As the next receive begins.
      world.routing.takeMany(taken, max, maxCost, undefined);
    }
    if (messages.length > before) {
      calls += 1;
      continue;
    }
    const message = world.routing.take();
    if (message === undefined) break;
    messages.push(message);
    for (const { length } of message) taken.bytes += length;
  }
  if (calls > 0 && messages.length > calls) timesTogether += 1;
  return [messages.map(text), taken.bytes, world.routing.queuedIn, world.peers.map(({ reading }) => reading)];
}

const TYPES = "Pull Dealer Pair Router XSubscriber Subscriber Dish Gather Channel".split(
  " ",
) as SocketTypeName[];
test.each(
  TYPES,
)("%s: messages taken together come in the same order, count the same, and their peers are read on at the same time", (type) => {
  timesTogether = 0;
  forAll(
    [fc.array(step, { maxLength: 60 }), fc.boolean(), fc.boolean()],
    { numRuns: 1_000, defaultRuns: 60 },
    (steps, invertMatching, all) => {
      const [one, other] = [false, true].map(() => {
        const world = new RoutingWorld({ type, receiveHighWaterMark: 20, options: { invertMatching } });
        for (const prefix of all ? ["a", ""] : ["a"])
          world.routing.subscriptions?.subscribe(Buffer.from(prefix));
        world.joined("first");
        return world;
      }) as [RoutingWorld, RoutingWorld];
      for (const { how, who, messages, count, maxCost } of steps) {
        const index = who % one.peers.length;
        if (how === "take") {
          expect(takeUpTo(other, count, maxCost, true)).toEqual(takeUpTo(one, count, maxCost, false));
          continue;
        }
        for (const world of [one, other]) {
          const peer = world.peers[index];
          if (how === "peer" && type !== "Pair" && type !== "Channel" && world.peers.length < 3) {
            world.joined(`peer ${world.peers.length}`);
          } else if (how === "leaves" && peer?.linked === true) world.leaves(peer);
          else if (peer?.linked === true && peer.reading) {
            if (how === "several") peer.saysTogether(messages);
            else if (how === "says") peer.says(...(messages[0] as string[]));
          }
        }
      }
      expect(takeUpTo(other, 1_000, 100_000, true)).toEqual(takeUpTo(one, 1_000, 100_000, false));
    },
  );
  expect(timesTogether).toBeGreaterThan(0);
});
