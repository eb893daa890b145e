/** An XPUB's messages for one of its subscribers alone. */
import { describe, expect, test } from "vitest";
import { type EngineSubscriber, OfferResult } from "../../../../src/engine/engine.js";
import { type FakePeer, RoutingWorld } from "./support.js";

function start(options: { sendHighWaterMark?: number } = {}) {
  const world = new RoutingWorld({ type: "XPublisher", options: { verbosity: "allSubs" }, ...options });
  /** Subscribes, and gives what the program answers. */
  const subscribe = (peer: FakePeer, prefix: string): EngineSubscriber => {
    peer.commandsUs("SUBSCRIBE", prefix);
    expect(world.take()).toEqual([`\u0001${prefix}`]);
    return world.routing.sender?.() as EngineSubscriber;
  };
  return { world, subscribe };
}

const got = (peer: FakePeer): string[] => {
  peer.reads();
  return peer.messages.splice(0).map((message) => message.join("|"));
};

describe("who sent an XPUB's last message", () => {
  test("takes half of its high-water mark, and reports when there is room again; the other half is for all", () => {
    const { world, subscribe } = start({ sendHighWaterMark: 8 });
    const peer = world.joined();
    const subscriber = subscribe(peer, "");
    let taken = 0;
    while (subscriber.offer([`own ${taken}`]) === OfferResult.Accepted) taken += 1;
    expect(taken).toBe(5);
    let told = 0;
    subscriber.wantWritable(() => void told++);
    for (let n = 0; n < 4; n++) world.routing.offer([`all ${n}`]);
    expect(world.drops).toEqual([{ reason: "peer-full", peer: 0 }]);
    expect(subscriber.offer("own")).toBe(OfferResult.Mute);
    expect(told).toBe(0);
    peer.reads();
    expect(told).toBe(1);
    expect(got(peer)).toEqual([
      ...["own 0", "own 1", "own 2", "own 3", "own 4"],
      ...["all 0", "all 1", "all 2"],
    ]);
    expect(subscriber.offer("again")).toBe(OfferResult.Accepted);
    expect(told).toBe(1);
  });

  test.each([
    ["accepted", false],
    ["connected to", true],
  ])("is gone with its connection, and says so (%s)", (_, outlives) => {
    const { world, subscribe } = start({ sendHighWaterMark: 2 });
    const peer = world.peer(outlives);
    world.joins(peer);
    const subscriber = subscribe(peer, "");
    while (subscriber.offer("x") === OfferResult.Accepted);
    let told = 0;
    subscriber.wantWritable(() => void told++);
    world.leaves(peer);
    expect(told).toBe(1);
    expect(subscriber.has("")).toBe(false);
    expect(subscriber.offer("x")).toBe(OfferResult.Unroutable);
    if (!outlives) return;
    expect(world.takeAll()).toEqual([["\0"]]);
    world.joins(peer);
    const next = subscribe(peer, "");
    expect(next).not.toBe(subscriber);
    expect([next.has(""), subscriber.has("")]).toEqual([true, false]);
    expect(subscriber.offer("x")).toBe(OfferResult.Unroutable);
  });

  test("is nobody when it has gone before its message was read, and of messages that nobody sent", () => {
    const { world, subscribe } = start();
    const peer = world.joined();
    peer.commandsUs("SUBSCRIBE", "a");
    expect(world.take()).toEqual(["\u0001a"]);
    peer.says("hello");
    expect(world.routing.sender?.()).toBeDefined();
    world.leaves(peer);
    expect(world.routing.sender?.()).toBeUndefined();
    expect(world.take()).toEqual(["hello"]);
    expect(world.routing.sender?.()).toBeUndefined();
    expect(world.take()).toEqual(["\0a"]);
    expect(world.routing.sender?.()).toBeUndefined();
    const other = world.joined();
    subscribe(other, "b");
    world.leaves(other);
    expect(world.routing.sender?.()).toBeUndefined();
  });
});
