import { describe, expect, test } from "vitest";
import { OfferResult } from "../../../../src/engine/engine.js";
import fc, { forAll } from "../../../support/properties.js";
import { weighted } from "../../support/weighted.js";
import { type FakePeer, RoutingWorld } from "./support.js";

const prefix = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 3 });
const step = fc.record({
  how: weighted({
    subscribe: 2,
    unsubscribe: 1,
    connect: 1,
    join: 2,
    leave: 1,
    says: 2,
    take: 1,
    reads: 1,
    block: 1,
  }),
  who: fc.nat(10),
  prefix,
  old: fc.boolean(),
});

/** What a publisher has understood: the set of a connection's prefixes. */
function understood(peer: FakePeer): string[] {
  const prefixes = new Set<string>();
  for (const command of peer.commands) {
    const name = command.slice(1, 1 + command.charCodeAt(0));
    const topic = command.slice(1 + name.length);
    if (name === "SUBSCRIBE") prefixes.add(topic);
    else prefixes.delete(topic);
  }
  for (const [message] of peer.messages as [string][]) {
    if (message.startsWith("\u0001")) prefixes.add(message.slice(1));
    else prefixes.delete(message.slice(1));
  }
  return [...prefixes].sort();
}

test("each publisher knows what is subscribed now, on every new connection again; the program gets what matches", () => {
  forAll(
    [fc.array(step, { maxLength: 120 }), fc.boolean()],
    { numRuns: 1_500, defaultRuns: 100 },
    (steps, inverted) => {
      const world = new RoutingWorld({ type: "Subscriber", options: { invertMatching: inverted } });
      const counts = new Map<string, number>();
      const peers: FakePeer[] = [];
      const matches = (topic: string): boolean =>
        [...counts.keys()].some((one) => topic.startsWith(one)) !== inverted;
      const got: string[] = [];
      const take = (): void => {
        const message = world.take();
        if (message !== undefined) got.push(message.join("|"));
      };
      let number = 0;
      const said: string[] = [];
      for (const { how, who, prefix, old } of steps) {
        const peer = peers[who % Math.max(1, peers.length)];
        if (how === "subscribe") {
          counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
          world.routing.subscriptions?.subscribe(Buffer.from(prefix));
        } else if (how === "unsubscribe") {
          const count = counts.get(prefix) ?? 0;
          if (count > 1) counts.set(prefix, count - 1);
          else counts.delete(prefix);
          world.routing.subscriptions?.unsubscribe(Buffer.from(prefix));
        } else if (how === "connect" && peers.length < 4) peers.push(world.peer(true));
        else if (how === "take") take();
        else if (peer === undefined) continue;
        else if (how === "join" && !peer.linked) {
          peer.commands.length = 0;
          peer.messages.length = 0;
          world.joins(peer, "", "PUB", !old);
          peer.blocked = who % 2 === 0;
        } else if (how === "leave") world.leaves(peer);
        else if (how === "block") peer.blocked = !peer.blocked;
        else if (how === "reads" && peer.linked) peer.reads();
        else if (how === "says" && peer.linked && peer.reading) {
          // Filtered when it is looked at: what is asked for between does not matter here, so it is taken at once.
          while (world.routing.readable) take();
          number += 1;
          if (matches(prefix)) said.push(`${prefix}|${number}`);
          peer.says(prefix, String(number));
          while (world.routing.readable) take();
        }
      }
      expect(got).toEqual(said);
      for (const peer of peers) {
        if (!peer.linked) continue;
        peer.reads();
        expect(understood(peer)).toEqual([...counts.keys()].sort());
      }
    },
  );
});

test("a publisher that never reads what is subscribed is parted from, and hears the rest over its next connection", () => {
  const world = new RoutingWorld({ type: "XSubscriber" });
  const peer = world.peer(true);
  world.joins(peer);
  const prefix = "x".repeat(60_000);
  for (let i = 0; peer.closed === undefined; i++) {
    world.routing.offer(`\u0001${prefix}`);
    world.routing.offer(`\0${prefix}`);
    expect(i).toBeLessThan(2_000);
  }
  expect(peer.pipe.out.bytes).toBe(0);
  world.routing.offer("\u0001wanted");
  world.joins(peer);
  peer.reads();
  expect(understood({ ...peer, commands: peer.commands } as never)).toEqual(["wanted"]);
});

test("a publisher that has yet to get what one turn has subscribed and cancelled is kept", () => {
  const world = new RoutingWorld({ type: "XSubscriber", options: { sendHighWaterMarkBytes: 1_000 } });
  const peer = world.joined();
  peer.blocked = false;
  for (let i = 0; i < 1_000; i++) {
    world.routing.offer(`\u0001${i}`);
    world.routing.offer(`\0${i}`);
  }
  world.routing.offer("\u0001wanted");
  peer.reads();
  expect(peer.closed).toBeUndefined();
  expect(understood(peer)).toEqual(["wanted"]);
});

test("as batches, too, a program gets what it asked for, in order, what was looked at before among it", () => {
  const topic = fc.constantFrom("a", "ab", "b", "c");
  const chunk = fc.record({ topics: fc.array(topic, { minLength: 1, maxLength: 8 }), looks: fc.boolean() });
  forAll(
    [fc.array(topic, { maxLength: 2 }), fc.boolean(), fc.array(chunk)],
    { numRuns: 500, defaultRuns: 100 },
    (prefixes, inverted, chunks) => {
      const world = new RoutingWorld({ type: "Subscriber", options: { invertMatching: inverted } });
      for (const prefix of prefixes) world.routing.subscriptions?.subscribe(Buffer.from(prefix));
      const peer = world.joined();
      const got: string[] = [];
      const expected: string[] = [];
      let number = 0;
      for (const { topics, looks } of chunks) {
        const messages = topics.map((one) => [one, String(++number)] as const);
        peer.saysTogether(messages);
        for (const [one, text] of messages)
          if (prefixes.some((prefix) => one.startsWith(prefix)) !== inverted) expected.push(`${one}|${text}`);
        const { relaySource } = world.routing;
        if (looks) expect(world.routing.readable).toBe(expected.length > got.length);
        const next = () => relaySource?.takeBatch(5);
        for (let batch = next(); batch !== undefined; batch = next()) {
          const { messages: count } = batch;
          const decoded = batch.decode();
          expect(decoded).toHaveLength(count);
          expect(count).toBeLessThanOrEqual(5);
          for (const frames of decoded) got.push(frames.join("|"));
        }
        expect(got).toEqual(expected);
        expect(world.routing.readable).toBe(false);
      }
    },
  );
});

describe("XSUB", () => {
  test("01 and 00 subscribe and cancel, also after a new connection; the rest goes to every publisher", () => {
    const world = new RoutingWorld({ type: "XSubscriber" });
    const peer = world.peer(true);
    for (const message of ["\u0001a", "\u0001b", "\0a", "up"])
      expect(world.routing.offer(message)).toBe(OfferResult.Accepted);
    expect(world.routing.offer(["\u0001c", "two frames"])).toBe(OfferResult.Accepted);
    world.joins(peer);
    peer.reads();
    expect([understood({ ...peer, commands: peer.commands, messages: [] } as never), peer.messages]).toEqual([
      ["b"],
      [["up"], ["\u0001c", "two frames"]],
    ]);
  });

  test("what waits when the connection is lost is dropped and counted, and the next one gets what is subscribed then", () => {
    const world = new RoutingWorld({ type: "XSubscriber" });
    const [peer, other] = [world.peer(true), world.peer(true)];
    for (const one of [peer, other]) world.joins(one);
    for (const one of [peer, other]) one.blocked = false;
    world.routing.offer("\u0001a");
    world.routing.offer("hello");
    other.reads();
    // Listeners may subscribe.
    world.onDrop = () => world.routing.offer("\u0001wanted");
    world.leaves(peer);
    world.routing.offer("\0a");
    world.routing.offer("behind");
    world.joins(peer);
    for (const one of [peer, other]) one.reads();
    expect(world.drops).toEqual([{ reason: "disconnected", peer: peer.number }]);
    expect([peer.messages, other.messages]).toEqual([[["behind"]], [["hello"], ["behind"]]]);
    for (const one of [peer, other])
      expect(understood({ ...one, commands: one.commands, messages: [] } as never)).toEqual(["wanted"]);
  });

  test("a publisher without room misses what is sent, and that is reported", () => {
    const world = new RoutingWorld({ type: "XSubscriber", sendHighWaterMark: 1 });
    const [full, empty] = [world.joined(), world.joined()];
    world.routing.offer("1");
    empty.reads();
    world.routing.offer("2");
    empty.reads();
    expect(world.drops).toEqual([{ reason: "peer-full", peer: full.number }]);
    expect(empty.messages).toEqual([["1"], ["2"]]);
  });
});
