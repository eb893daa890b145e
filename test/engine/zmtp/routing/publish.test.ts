import { describe, expect, test } from "vitest";
import { OfferResult } from "../../../../src/engine/engine.js";
import { MAX_DEPARTED } from "../../../../src/engine/zmtp/routing/publish.js";
import { LONG } from "../../../support/long.js";
import fc, { forAll } from "../../../support/properties.js";
import { weighted } from "../../support/weighted.js";
import { type FakePeer, RoutingWorld } from "./support.js";

const prefix = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 3 });
const step = fc.record({
  how: weighted({ sub: 3, cancel: 1, publish: 3, reads: 1, accept: 1, leave: 1 }),
  who: fc.nat(10),
  prefix,
  /** As 3.0 peers say it. */
  old: fc.boolean(),
});

test.each([
  "Publisher",
  "XPublisher",
] as const)("%s: each subscriber gets exactly what it asked for, in order, or it is counted as dropped", (type) => {
  forAll(
    [fc.array(step, { maxLength: 120 }), fc.boolean()],
    { numRuns: 1_500, defaultRuns: 80 },
    (steps, inverted) => {
      const world = new RoutingWorld({ type, options: { invertMatching: inverted }, sendHighWaterMark: 3 });
      const living = new Map<FakePeer, Set<string>>();
      const due = new Map<FakePeer, string[]>();
      let number = 0;
      for (const { how, who, prefix, old } of steps) {
        const peer = [...living.keys()][who % Math.max(1, living.size)];
        if (how === "accept" && living.size < 5) {
          const made = world.joined();
          living.set(made, new Set());
          due.set(made, []);
        } else if (how === "publish") {
          const message = [prefix, String(number++)];
          const dropsBefore = world.drops.length;
          expect(world.routing.offer(message)).toBe(OfferResult.Accepted);
          const full = new Set(world.drops.slice(dropsBefore).map((drop) => drop.peer));
          for (const [subscriber, prefixes] of living) {
            const matches = [...prefixes].some((one) => prefix.startsWith(one)) !== inverted;
            if (!matches) expect(full.has(subscriber.number)).toBe(false);
            else if (full.has(subscriber.number)) expect(subscriber.pipe.out.messages).toBe(3);
            else due.get(subscriber)?.push(message.join("|"));
          }
        } else if (peer === undefined) continue;
        else if (how === "reads") peer.reads();
        else if (how === "leave") {
          world.leaves(peer);
          living.delete(peer);
        } else {
          const on = how === "sub";
          if (old) peer.says(`${on ? "\u0001" : "\0"}${prefix}`);
          else peer.commandsUs(on ? "SUBSCRIBE" : "CANCEL", prefix);
          if (on) living.get(peer)?.add(prefix);
          else living.get(peer)?.delete(prefix);
        }
      }
      for (const [peer] of living) {
        peer.reads();
        expect(peer.messages.map((message) => message.join("|"))).toEqual(due.get(peer));
      }
    },
  );
});

describe("XPUB reports", () => {
  const notices = (world: RoutingWorld): string[] => world.takeAll().flat();

  test.each([
    ["allSubs", 2],
    [undefined, 1],
  ] as const)("a repetition with allSubs alone, no cancellation of what others have, and one of what nobody has, verbosity %s", (verbosity, times) => {
    const world = new RoutingWorld({ type: "XPublisher", options: { ...(verbosity && { verbosity }) } });
    const [a, b] = [world.joined(), world.joined()];
    for (let n = 0; n < 2; n++) a.commandsUs("SUBSCRIBE", "t");
    expect(notices(world)).toEqual(Array(times).fill("\u0001t"));
    for (let n = 0; n < 3; n++) b.commandsUs("CANCEL", "t");
    expect(notices(world)).toEqual([]);
    a.commandsUs("CANCEL", "t");
    b.commandsUs("CANCEL", "t");
    expect(notices(world)).toEqual(["\0t", "\0t"]);
  });

  const MODES = [{}, { verbosity: "allSubs" }, { verbosity: "allSubsUnsubs" }, { manual: true }] as const;

  test.each(MODES)("what a departed peer has sent, then the end of its subscriptions, %o", (options) => {
    const world = new RoutingWorld({ type: "XPublisher", options });
    const peer = world.joined();
    peer.commandsUs("SUBSCRIBE", "a");
    peer.says("a message");
    peer.commandsUs("CANCEL", "a");
    peer.commandsUs("SUBSCRIBE", "b");
    world.leaves(peer);
    expect(notices(world)).toEqual(["\u0001a", "a message", "\0a", "\u0001b", "\0b"]);
    expect(world.kept).toBe(0);
  });

  test("the ends of subscriptions also in a full queue, during which no peer joins once too many have left", () => {
    const world = new RoutingWorld({ type: "XPublisher", receiveHighWaterMark: 4 });
    const stays = world.joined();
    for (let i = 0; i < MAX_DEPARTED; i++) {
      const peer = world.joined();
      for (const topic of ["a", "b", "c"]) peer.commandsUs("SUBSCRIBE", `${i}${topic}`);
      world.leaves(peer);
    }
    stays.commandsUs("SUBSCRIBE", "s");
    expect(stays.reading).toBe(false);
    expect(world.routing.queuedIn).toBe(6 * MAX_DEPARTED + 1);
    const late = world.peer();
    expect(world.joins(late)).toBe(false);
    const all = notices(world);
    expect(new Set(all).size).toBe(6 * MAX_DEPARTED + 1);
    expect([stays.reading, world.joins(late), world.kept]).toEqual([true, true, 0]);
  });

  test("and forgets a departed peer once all from it is taken", () => {
    const world = new RoutingWorld({ type: "XPublisher", receiveHighWaterMark: 1 });
    const stays = world.joined();
    for (let i = 0; i < MAX_DEPARTED; i++) {
      const peer = world.joined();
      peer.commandsUs("SUBSCRIBE", "t");
      world.leaves(peer);
      expect(notices(world)).toEqual(["\u0001t", "\0t"]);
    }
    stays.commandsUs("SUBSCRIBE", "s");
    expect([stays.reading, world.joins(world.peer())]).toEqual([false, true]);
  });

  test("nothing that a peer sends behind what its connection ends for", () => {
    const world = new RoutingWorld({ type: "XPublisher" });
    const peer = world.joined();
    peer.saysTogether([["before"], [`\u0001${"x".repeat(16_384)}`], [""], ["after"]]);
    expect([peer.closed, world.routing.overflowed, notices(world)]).toEqual(["protocol", 2, ["before"]]);
  });

  test.each([
    {},
    { verbosity: "allSubs" },
    { verbosity: "allSubsUnsubs" },
  ] as const)("in the end what is asked for, and with allSubsUnsubs how often, whatever comes and goes unread, %o", (options) => {
    const counts = options.verbosity === "allSubsUnsubs";
    const does = fc.record({
      how: weighted({ sub: 3, cancel: 2, leave: 1, read: 2 }),
      who: fc.nat(5),
      prefix: fc.constantFrom("", "a", "ab"),
      old: fc.boolean(),
    });
    forAll([fc.array(does, { maxLength: 120 })], { numRuns: 1_000, defaultRuns: 150 }, (steps) => {
      const world = new RoutingWorld({ type: "XPublisher", options, receiveHighWaterMark: 1_000 });
      const peers = new Map<number, { peer: FakePeer; own: Set<string> }>();
      const believed = new Map<string, number>();
      const read = (): boolean => {
        const [notice] = world.take() ?? [];
        if (notice === undefined) return false;
        const before = counts ? (believed.get(notice.slice(1)) ?? 0) : 0;
        believed.set(notice.slice(1), notice[0] === "\u0001" ? before + 1 : before - 1);
        return true;
      };
      for (const { how, who, prefix, old } of steps) {
        if (how === "read") {
          read();
          continue;
        }
        const { peer, own } = peers.get(who) ?? { peer: world.joined(), own: new Set() };
        peers.set(who, { peer, own });
        if (how === "leave") {
          world.leaves(peer);
          peers.delete(who);
          continue;
        }
        const on = how === "sub";
        // Each only once, as what is reported of a repetition is tested above.
        if (counts && own.has(prefix) === on) continue;
        if (on) own.add(prefix);
        else own.delete(prefix);
        if (old) peer.says(`${on ? "\u0001" : "\0"}${prefix}`);
        else peer.commandsUs(on ? "SUBSCRIBE" : "CANCEL", prefix);
      }
      while (read());
      const asked = new Map<string, number>();
      for (const { own } of peers.values())
        for (const topic of own) asked.set(topic, counts ? (asked.get(topic) ?? 0) + 1 : 1);
      expect(new Map([...believed].filter(([, count]) => count > 0))).toEqual(asked);
      expect(world.kept).toBe(0);
    });
  });

  test("a message that is no subscription as it is; PUB drops it", () => {
    const world = new RoutingWorld({ type: "XPublisher" });
    const peer = world.joined();
    peer.says("hello", "there");
    peer.says("\u0001a", "two frames");
    peer.says("");
    expect(world.takeAll()).toEqual([["hello", "there"], ["\u0001a", "two frames"], [""]]);
    const pub = new RoutingWorld({ type: "Publisher" });
    pub.joined().says("hello");
    expect([pub.take(), pub.routing.readable, pub.routing.queuedIn]).toEqual([undefined, false, 0]);
  });

  test("manual: what is set for a connection that was lost is not the next one's", () => {
    const world = new RoutingWorld({ type: "XPublisher", options: { manual: true } });
    const peer = world.peer(true);
    world.joins(peer);
    peer.commandsUs("SUBSCRIBE", "A");
    expect(world.take()).toEqual(["\u0001A"]);
    peer.commandsUs("SUBSCRIBE", "B");
    world.leaves(peer);
    world.routing.subscriptions?.subscribe(Buffer.from("A"));
    world.joins(peer);
    while (world.take() !== undefined) world.routing.subscriptions?.subscribe(Buffer.from("B"));
    for (const topic of ["A", "B"]) world.routing.offer(topic);
    peer.reads();
    expect(peer.messages).toEqual([]);
  });
});

describe("PUB", () => {
  test.each([
    ["Publisher", "many frames, in several slabs", 20],
    ["Publisher", "few, at the end of a burst", 2],
    ["Radio", "a body", 0],
  ] as const)("%s: what one peer has sent on is not used again before the others have it: %s", (type, _, frames) => {
    const world = new RoutingWorld({ type });
    const [quick, slow] = [world.joined(), world.joined()];
    for (const peer of [quick, slow]) peer.commandsUs(type === "Radio" ? "JOIN" : "SUBSCRIBE", "t");
    quick.blocked = false;
    const sent = Array.from({ length: 40 }, (_, i) => {
      const letter = String.fromCharCode(65 + i);
      const bodies = Array.from({ length: frames }, () => letter.repeat(14_000));
      return ["t", ...(frames === 0 ? [letter.repeat(15_000)] : bodies)];
    });
    for (const message of sent) world.routing.offer(message.map((frame) => Buffer.from(frame)));
    for (const peer of [quick, slow]) {
      peer.reads();
      expect(peer.messages.map((message) => message.map((frame) => frame[0]))).toEqual(
        sent.map((message) => message.map((frame) => frame[0])),
      );
      expect(peer.messages).toEqual(sent);
    }
  });

  test("a listener of drops may publish: the message under way stays what it is", () => {
    const world = new RoutingWorld({ type: "Publisher", sendHighWaterMark: 2 });
    const [slow, quick, third] = [world.joined(), world.joined(), world.joined()];
    for (const peer of [slow, quick, third]) peer.commandsUs("SUBSCRIBE", "m");
    quick.commandsUs("SUBSCRIBE", "alert");
    world.routing.offer("m1");
    world.routing.offer("m2");
    for (const peer of [quick, third]) peer.reads();
    world.onDrop = () => {
      world.onDrop = undefined;
      world.routing.offer(["alert", "a peer is slow"]);
    };
    world.routing.offer("m3");
    for (const peer of [slow, quick, third]) peer.reads();
    expect(slow.messages).toEqual([["m1"], ["m2"]]);
    expect(quick.messages).toEqual([["m1"], ["m2"], ["m3"], ["alert", "a peer is slow"]]);
    expect(third.messages).toEqual([["m1"], ["m2"], ["m3"]]);
  });
});

test.each([
  "Publisher",
  "XPublisher",
] as const)("%s: a listener of a departed peer's subscriptions may publish, and that peer gets nothing", (type) => {
  const world = new RoutingWorld({ type });
  const [leaver, stays] = [world.peer(true), world.joined()];
  world.joins(leaver);
  for (const topic of ["a", "b", "c"]) leaver.commandsUs("SUBSCRIBE", topic);
  stays.commandsUs("SUBSCRIBE", "c");
  world.onEvent = ({ type }) => {
    if (type === "unsubscribe") world.routing.offer("c");
  };
  world.leaves(leaver);
  world.routing.offer("c");
  world.joins(leaver);
  for (const peer of [leaver, stays]) peer.reads();
  expect(leaver.messages).toEqual([]);
  expect(stays.messages).toHaveLength(type === "Publisher" ? 4 : 1);
});

test("a subscriber has 64 MiB of prefixes, without those that it took back", () => {
  const world = new RoutingWorld({ type: "Publisher" });
  const peer = world.joined();
  const prefix = (i: number): string => String(i).padEnd(1_024);
  const fit = Math.floor(67_108_864 / 1_024);
  for (let i = 0; i < fit; i++) peer.commandsUs("SUBSCRIBE", prefix(i));
  peer.commandsUs("CANCEL", prefix(0));
  peer.commandsUs("SUBSCRIBE", prefix(fit));
  expect(peer.closed).toBeUndefined();
  expect(world.events.filter(({ type }) => type === "subscribe")).toHaveLength(fit + 1);
  peer.commandsUs("SUBSCRIBE", prefix(0));
  expect(peer.closed).toBe("protocol");
});

test.runIf(LONG)("RADIO: a peer that is in 262,144 groups and joins one more is put out", () => {
  const peer = new RoutingWorld({ type: "Radio" }).joined();
  for (let i = 0; i < 262_144; i++) peer.commandsUs("JOIN", String(i));
  expect(peer.closed).toBeUndefined();
  peer.commandsUs("JOIN", "one more");
  expect(peer.closed).toBe("protocol");
});

test("XPUB: a peer that filled the queue is read on once half of it was taken", () => {
  const world = new RoutingWorld({ type: "XPublisher", receiveHighWaterMark: 4 });
  const peer = world.joined();
  for (const prefix of ["a", "b", "c", "d"]) peer.commandsUs("SUBSCRIBE", prefix);
  expect(peer.reading).toBe(false);
  world.take();
  expect(peer.reading).toBe(false);
  world.take();
  expect(peer.reading).toBe(true);
});
