/** What passes without decoding has to be what would pass decoded: the same peers get the same messages. */

import { describe, expect, test } from "vitest";
import type { SocketTypeName } from "../../../../src/core/socket-type.js";
import { OfferResult } from "../../../../src/engine/engine.js";
import { FrameBatch } from "../../../../src/engine/frame-batch.js";
import fc, { forAll } from "../../../support/properties.js";
import { RoutingWorld } from "../routing/support.js";
import { decodeStream, encodeFrame } from "./support.js";

type Message = readonly string[];

/** @param own whether its memory may be changed */
function encode(messages: readonly Message[], first?: string, own = false): FrameBatch {
  const frames = messages.flatMap((message) =>
    message.map((text, i) =>
      encodeFrame({ flags: i < message.length - 1 ? 1 : 0, body: Buffer.from(text, "latin1") }),
    ),
  );
  const before = Buffer.from("before");
  const bytes = Buffer.concat([before, ...frames, Buffer.from("behind")]);
  const end = bytes.length - 6;
  const id = first === undefined ? undefined : Buffer.from(first, "latin1");
  const tally = { bodyBytes: 0, frames: messages.flat().length, mostFrames: 0 };
  return new FrameBatch(bytes, 6, end, messages.length, tally, id, undefined, own);
}

function decode(run: FrameBatch): string[][] {
  const { messages } = decodeStream(Buffer.from(run.bytes.subarray(run.start, run.end)));
  const first = run.first === undefined ? [] : [Buffer.from(run.first).toString("latin1")];
  return messages.map((message) => [
    ...first,
    ...message.map((hex) => Buffer.from(hex, "hex").toString("latin1")),
  ]);
}

const part = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 3 }),
  fc.integer({ min: 200, max: 9_000 }).map((size) => "b".repeat(size)),
);
const message = fc.array(part, { minLength: 1, maxLength: 3 });
/** Neighbours with the same first frame. */
const alike = fc
  .tuple(fc.constantFrom("a", "ab", "b", "c"), fc.array(message, { minLength: 1, maxLength: 8 }))
  .map(([first, rests]) => rests.map((rest) => [first, ...rest]));
const step = fc.oneof(
  { weight: 4, arbitrary: fc.array(message, { minLength: 1, maxLength: 12 }) },
  { weight: 3, arbitrary: alike },
  { weight: 2, arbitrary: fc.nat(9) },
);

/** Plays the steps: messages to be sent, or the number of a peer that reads. @returns what each peer got */
function play(
  type: SocketTypeName,
  options: Record<string, unknown>,
  peers: readonly string[],
  steps: readonly (readonly Message[] | number)[],
  send: (world: RoutingWorld, messages: readonly Message[]) => void,
) {
  const world = new RoutingWorld({ type, options, sendHighWaterMark: 5 });
  for (const [i, name] of peers.entries()) {
    const peer = world.joined(type === "Router" ? name : "");
    if (type.endsWith("Publisher")) peer.commandsUs("SUBSCRIBE", name);
    if (i === 1 && type.endsWith("Publisher")) peer.commandsUs("SUBSCRIBE", "ab");
  }
  for (const step of steps) {
    if (typeof step === "number") world.peers[step % peers.length]?.reads();
    else send(world, step);
  }
  for (const peer of world.peers) peer.reads();
  const missed = peers.map((_, i) => world.drops.filter(({ peer }) => peer === i).length);
  return { got: world.peers.map((peer) => peer.messages), missed };
}

/** @param first in front of each */
const decoded =
  (first?: string) =>
  (world: RoutingWorld, messages: readonly Message[]): void => {
    for (const each of messages) {
      const frames = first === undefined ? each : [first, ...each];
      const result = world.routing.offer(frames.map((text) => Buffer.from(text, "latin1")));
      if (result === OfferResult.Mute) return; // As it is for the whole rest of an encoded run.
    }
  };

const undecoded =
  (first: string | undefined, own: boolean) =>
  (world: RoutingWorld, messages: readonly Message[]): void => {
    const run = encode(messages, first, own);
    for (let left = run.messages + 1; run.messages > 0; ) {
      const result = world.routing.relaySink?.offerBatch(run);
      expect(run.messages).toBeLessThan(left); // Refused ones are taken off, too.
      left = run.messages;
      if (result === OfferResult.Mute) {
        const rest = messages.slice(messages.length - run.messages);
        expect(decode(run)).toEqual(first === undefined ? rest : rest.map((each) => [first, ...each]));
        return;
      }
      if (result === OfferResult.Accepted) expect(run.messages).toBe(0);
      left += 1;
    }
  };

describe.each([
  ["Push", {}, ["1"]],
  ["Push", {}, ["1", "2", "3"]],
  ["Dealer", {}, ["1", "2"]],
  ["Pair", {}, ["1"]],
  ["Router", {}, ["a", "ab", "b"]],
  ["XPublisher", {}, [""]],
  ["XPublisher", {}, ["", "", ""]],
  ["Publisher", {}, ["a", "b", "aa", ""]],
  ["XPublisher", { noDrop: true }, ["a", "", "b"]],
  ["Publisher", { invertMatching: true }, ["a", "b"]],
] as const)("%s with %o to peers %o", (type, options, peers) => {
  test("sends without decoding what it sends decoded", () => {
    forAll([fc.array(step, { maxLength: 20 })], { numRuns: 100, defaultRuns: 12 }, (steps) => {
      const one = play(type, options, peers, steps, decoded());
      for (const own of [false, true]) {
        const other = play(type, options, peers, steps, undecoded(undefined, own));
        expect(other.got).toEqual(one.got);
        expect(other.missed).toEqual(one.missed);
      }
    });
  });

  test.skipIf(type.endsWith("Publisher"))("does so with a frame in front of each, too", () => {
    forAll([fc.array(step, { maxLength: 20 })], { numRuns: 100, defaultRuns: 12 }, (steps) => {
      const one = play(type, options, peers, steps, decoded("ab"));
      const other = play(type, options, peers, steps, undecoded("ab", true));
      expect(other.got).toEqual(one.got);
    });
  });
});

const TYPES = ["Pull", "Dealer", "Router", "Pair", "XSubscriber"] as const;
test.each(TYPES)("%s takes without decoding what it takes decoded, in the order of each peer", (type) => {
  forAll(
    [fc.array(fc.tuple(fc.nat(2), message), { maxLength: 30 }), fc.integer({ min: 1, max: 5 })],
    { numRuns: 100, defaultRuns: 30 },
    (said, most) => {
      const world = new RoutingWorld({ type });
      const names = type === "Pair" ? ["x"] : ["x", "y", "z"];
      for (const name of names) world.joined(name);
      const due = names.map((): string[][] => []);
      for (const [who, frames] of said) {
        const peer = who % names.length;
        world.peers[peer]?.says(`${peer}`, ...frames);
        due[peer]?.push([...(type === "Router" ? [names[peer] as string] : []), `${peer}`, ...frames]);
      }
      const got = names.map((): string[][] => []);
      for (;;) {
        const run = world.routing.relaySource?.takeBatch(most);
        if (run === undefined) break;
        expect(run.messages).toBeLessThanOrEqual(most);
        for (const each of decode(run)) got[Number(each[type === "Router" ? 1 : 0])]?.push(each);
      }
      expect(got).toEqual(due);
      expect(world.routing.readable).toBe(false);
    },
  );
});
