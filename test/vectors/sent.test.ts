/** What our sockets send, byte by byte as libzmq does: each engine against the same captured bytes. */
import { expect, it } from "vitest";
import { describeEngines, itIf } from "../contract/support/engines.js";
import { nextEvent, within } from "../contract/support/wait.js";
import type { World } from "../contract/support/world.js";
import { plainCheck } from "../contract/support/zap.js";
import { ERROR, ERROR_PLAIN, PLAIN_HELLO, READY_DEALER, READY_PUB } from "./mechanism.js";
import { RawWire, ready } from "./raw-wire.js";
import * as wire from "./wire.js";

const PLAIN_GREETING = wire.GREETING.replace("4e554c4c00", "504c41494e");

describeEngines("sends the bytes that libzmq sends", (world) => {
  const ours = world.engine === "zmtp";

  /** A raw peer of a type whose handshake with a bound socket of ours is done. */
  async function shaken(
    socket: Parameters<World["bind"]>[0],
    type: string,
    greeting = wire.GREETING,
  ): Promise<RawWire> {
    const peer = await RawWire.at(world, socket);
    await within(peer.greet(greeting), "their READY");
    peer.write(ready(type));
    return peer;
  }

  it("the greeting", async () => {
    const peer = await RawWire.at(world, world.dealer());
    peer.write(wire.GREETING);
    expect(await within(peer.read(64), "a greeting")).toBe(wire.GREETING);
  });

  it("READY, with an Identity where the type has one", async () => {
    const dealer = await RawWire.at(world, world.dealer());
    expect(await within(dealer.greet(), "READY")).toBe(READY_DEALER);
    // With libzmq, a Publisher is an XPUB underneath, to see its subscriptions.
    const pub = await RawWire.at(world, world.publisher());
    expect(await within(pub.greet(), "READY")).toBe(ours ? READY_PUB : ready("XPUB"));
  });

  it("SUBSCRIBE and CANCEL, as commands to 3.1 and as messages to 3.0", async () => {
    for (const [greeting, on, off] of [
      [wire.GREETING, wire.SUBSCRIBE, wire.CANCEL],
      [wire.GREETING_30, wire.SUBSCRIBE_MESSAGE, wire.CANCEL_MESSAGE],
    ] as const) {
      const subscriber = world.subscriber();
      subscriber.subscribe("A");
      const joined = new Promise((resolve) => subscriber.events.once("peer:join", resolve));
      const receiving = subscriber.receive().catch(() => undefined); // libzmq's works only while its program asks.
      const peer = await shaken(subscriber, "PUB", greeting);
      expect(await within(peer.readFrame(), "SUBSCRIBE")).toBe(on);
      await joined;
      subscriber.unsubscribe("A");
      expect(await within(peer.readFrame(), "CANCEL")).toBe(off);
      await subscriber.close({ linger: 0 });
      await receiving;
    }
  });

  it("an XSUB application's subscription: a command here, a message from libzmq", async () => {
    const subscriber = world.xSubscriber();
    const joined = new Promise((resolve) => subscriber.events.once("peer:join", resolve));
    const peer = await shaken(subscriber, "XPUB");
    await joined;
    await subscriber.send(Buffer.from("\u0001A"));
    const expected = ours ? wire.SUBSCRIBE : wire.SUBSCRIBE_MESSAGE;
    expect(await within(peer.read(expected.length / 2), "the subscription")).toBe(expected);
  });

  it("PING with its time to live", async () => {
    const socket = world.dealer({
      heartbeatInterval: 30,
      heartbeatTimeToLive: 3_000,
      heartbeatTimeout: 5_000,
    });
    const peer = await shaken(socket, "DEALER");
    expect(await within(peer.readFrame(), "PING")).toBe(wire.PING);
  });

  it("a REQ's request with an id, which counts up", async () => {
    const correlated = world.request({ correlate: true, relaxed: true });
    const other = await shaken(correlated, "REP");
    const [before, behind] = wire.CORRELATED;
    const ids: number[] = [];
    for (let i = 0; i < 2; i++) {
      await correlated.send("Hi");
      expect(await within(other.read(2), "an id")).toBe(before);
      const id = Buffer.from(await other.read(4), "hex");
      // A number for itself alone; libzmq's has the bytes in the machine's order.
      ids.push(ours ? id.readUInt32BE() : id.readUInt32LE());
      expect(await other.read(behind.length / 2)).toBe(behind);
    }
    expect(((ids[0] as number) + 1) >>> 0).toBe(ids[1]);
  });

  it("frames of up to 255 bytes with a short size, longer ones with a long one", async () => {
    const push = world.push();
    const peer = await shaken(push, "PULL");
    await push.send(Buffer.alloc(255, 0xff));
    expect(await within(peer.read(257), "255 bytes")).toBe(wire.FRAME_255);
    await push.send(Buffer.alloc(256, 0xff));
    expect(await within(peer.read(265), "256 bytes")).toBe(wire.FRAME_256);
  });

  it("ERROR of a PLAIN server, which libzmq misspells", async () => {
    const check = await plainCheck(world, () => false);
    const judge = world.dealer({ plainServer: true, zapDomain: "vectors", ...check });
    const stranger = await RawWire.at(world, judge);
    stranger.write(PLAIN_GREETING + PLAIN_HELLO);
    await within(stranger.read(64), "a greeting");
    expect(await within(stranger.readFrame(), "ERROR")).toBe(ours ? ERROR : ERROR_PLAIN);
  });
});

describeEngines("what libzmq takes and we do not", (world) => {
  const test = itIf(world.engine, world.engine === "zmtp", "libzmq ignores the broken command");

  test("SUBSCRIBE with a topic of 254 bytes, which libzmq encodes wrongly, ends the connection", async () => {
    const publisher = world.publisher();
    const peer = await RawWire.at(world, publisher);
    await within(peer.greet(), "READY");
    const left = nextEvent(publisher, "peer:leave");
    peer.write(ready("SUB") + wire.SUBSCRIBE_BROKEN);
    expect(await left).toMatchObject({ reason: "protocol" });
    await within(peer.closed, "the close");
  });
});
