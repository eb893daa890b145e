/** Queues are bounded in bytes, too: what peers may make this process keep, and what it keeps for them. */

import { describe, expect, it } from "vitest";
import type { Publisher, Pull, XPublisher } from "../../../src/index.js";
import { nextEvent, until } from "../../contract/support/wait.js";
import { command, type RawPeer } from "../../contract/support/zmtp-peer.js";
import { HostileWorld, MIB, quiet } from "./support/hostile-world.js";
import { shaken } from "./support/raw-server.js";

const world = new HostileWorld();
const KIB = 1_024;

/** A frame of so many bytes; its first four are `number`. */
function large(bytes: number, number = 0): Buffer {
  const frame = Buffer.alloc(9 + bytes, "x");
  frame[0] = 0x02;
  frame.writeBigUInt64BE(BigInt(bytes), 1);
  frame.writeUInt32BE(number, 9);
  return frame;
}

async function peers(pull: Pull, count: number): Promise<RawPeer[]> {
  const endpoint = await world.bind(pull);
  const all: RawPeer[] = [];
  for (let i = 0; i < count; i++) all.push(await shaken(world, endpoint, "PUSH"));
  await until(() => pull.stats().peers === count, `${count} peers`);
  return all;
}

/** The first bytes of the next messages, by number. */
async function numbers(pull: Pull, count: number): Promise<number[]> {
  const all: number[] = [];
  while (all.length < count) {
    const [frame] = await pull.receive({ timeout: 8_000 });
    all.push((frame as Buffer).readUInt32BE(0));
  }
  return all;
}

describe("what is received and not taken", () => {
  it("of one peer stops at the mark in bytes, and comes whole when the program reads", async () => {
    const pull = world.pull({ receiveHighWaterMarkBytes: 4 * MIB });
    const [peer] = (await peers(pull, 1)) as [RawPeer];
    for (let i = 0; i < 24; i++) peer.write(large(MIB, i));
    const queued = await quiet(() => pull.stats().receiveQueued);
    expect(queued).toBeGreaterThanOrEqual(3);
    expect(queued).toBeLessThanOrEqual(4);
    expect(await numbers(pull, 24)).toEqual(Array.from({ length: 24 }, (_, i) => i));
  });

  it("of a peer whose message is larger than the mark comes all the same", async () => {
    const pull = world.pull({ receiveHighWaterMarkBytes: 1_000, maxReceiveQueueBytes: 1_000 });
    const [peer] = (await peers(pull, 1)) as [RawPeer];
    for (let i = 0; i < 3; i++) peer.write(large(3 * MIB, i));
    expect(await numbers(pull, 3)).toEqual([0, 1, 2]);
  });

  it("of all peers together stops at the socket's bound, and all of it comes", async () => {
    const pull = world.pull({ maxReceiveQueueBytes: 2 * MIB });
    const all = await peers(pull, 6);
    for (const [i, peer] of all.entries())
      for (let k = 0; k < 20; k++) peer.write(large(200 * KIB, 100 * i + k));
    const queued = await quiet(() => pull.stats().receiveQueued);
    expect(queued).toBeGreaterThanOrEqual(9);
    // The bound, and what one read of each peer brings past it.
    expect(queued).toBeLessThanOrEqual(11 + 6);
    const got = await numbers(pull, 120);
    expect(new Set(got).size).toBe(120);
    for (let i = 0; i < 6; i++) {
      const own = got.filter((number) => Math.floor(number / 100) === i);
      expect(own).toEqual(Array.from({ length: 20 }, (_, k) => 100 * i + k));
    }
  });

  it("and not finished by peers that stopped does not keep others out", async () => {
    const pull = world.pull({ maxReceiveQueueBytes: 2 * MIB });
    const all = await peers(pull, 4);
    const [one, ...others] = all as [RawPeer, ...RawPeer[]];
    for (const peer of others) peer.write(large(MIB).subarray(0, 700 * KIB));
    // Small ones pass at any time, and large ones in their turn when those before them have left.
    for (let i = 0; i < 20; i++) one.write(large(10 * KIB, i));
    expect(await numbers(pull, 20)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    one.write(large(MIB, 77));
    for (const peer of others) peer.destroy();
    expect(await numbers(pull, 1)).toEqual([77]);
  });

  it("of an XPUB's subscribers stops at the mark in bytes, too", async () => {
    const publisher = world.xPublisher({ receiveHighWaterMarkBytes: MIB });
    const peer = await shaken(world, publisher, "XSUB");
    for (let i = 0; i < 60; i++) peer.write(large(100 * KIB, 0x5858_0000 + i));
    const queued = await quiet(() => publisher.stats().receiveQueued);
    expect(queued).toBeGreaterThanOrEqual(10);
    expect(queued).toBeLessThanOrEqual(12);
    for (let i = 0; i < 60; i++) {
      const [frame] = await publisher.receive({ timeout: 8_000 });
      expect((frame as Buffer).readUInt32BE(0)).toBe(0x5858_0000 + i);
    }
  });
});

describe("what waits to be sent", () => {
  it("to a subscriber that does not read stops at the mark in bytes; what it misses is counted", async () => {
    const publisher = world.publisher({ sendHighWaterMarkBytes: 2 * MIB });
    const peer = await shaken(world, publisher, "SUB");
    peer.write(command("SUBSCRIBE", ""));
    await publisher.waitForSubscribers({ timeout: 8_000 });
    peer.socket.pause();
    let dropped = 0;
    publisher.events.on("drop", ({ reason, messages }) => {
      if (reason === "peer-full") dropped += messages;
    });
    const body = Buffer.alloc(512 * KIB);
    for (let i = 0; i < 100; i++) await publisher.send(body);
    const { copies } = publisher.stats();
    expect(dropped).toBe(copies?.dropped);
    // The mark, one message past it, and what is in flight; the kernel has taken some.
    expect(copies?.queued).toBeLessThanOrEqual(6);
    expect(dropped).toBeGreaterThan(50);
  });

  it("to a peer that does not read makes a sender wait, and goes on when it reads", async () => {
    const push = world.push({ sendHighWaterMarkBytes: 2 * MIB });
    const peer = await shaken(world, push, "PULL");
    await until(() => push.stats().peers === 1, "the peer");
    peer.socket.pause();
    const body = Buffer.alloc(512 * KIB);
    let sent = 0;
    while (push.trySend(body)) {
      sent += 1;
      expect(sent).toBeLessThan(200);
      if (sent % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(push.stats().queued).toBeLessThanOrEqual(6);
    const waiting = push.send(body);
    peer.socket.resume();
    await waiting;
    await peer.heard((sent + 1) * body.length);
  });

  it("for a peer that is not there yet stops at the mark in bytes", async () => {
    const push = world.connect(world.push({ sendHighWaterMarkBytes: MIB }), "tcp://127.0.0.1:9"); // Nobody listens there.
    const body = Buffer.alloc(300 * KIB);
    let sent = 0;
    while (push.trySend(body) && sent < 100) sent += 1;
    expect(sent).toBe(4);
  });

  it("and received over inproc stops at the marks of both sides", async () => {
    const push = world.push({ sendHighWaterMarkBytes: MIB });
    const pull = world.pull({ receiveHighWaterMarkBytes: MIB });
    pull.bindSync("inproc://byte-bounds");
    push.connect("inproc://byte-bounds");
    const body = Buffer.alloc(100 * KIB);
    let sent = 0;
    while (push.trySend(body) && sent < 1_000) sent += 1;
    expect(sent).toBeGreaterThanOrEqual(20);
    expect(sent).toBeLessThanOrEqual(22);
    const waiting = push.send(body);
    for (let i = 0; i <= sent; i++) await pull.receive({ timeout: 8_000 });
    await waiting;
  });
});

describe("what a subscriber may say", () => {
  async function start<P extends Publisher | XPublisher>(publisher: P, as = "SUB") {
    const peer = await shaken(world, publisher, as);
    await until(() => publisher.stats().peers === 1, "the peer");
    return { publisher, peer };
  }

  it("to a PUB is 64 KiB at once; a longer frame ends its connection before it has come", async () => {
    const { publisher, peer } = await start(world.publisher(), "XSUB");
    peer.write(large(65_536));
    peer.write(command("SUBSCRIBE", "a"));
    await publisher.waitForSubscribers({ timeout: 8_000 });
    const left = nextEvent(publisher, "disconnect");
    peer.write(large(65_537).subarray(0, 100));
    expect(await left).toMatchObject({ reason: "protocol" });
  });

  it("to an XPUB is as much as maxMessageSize; a command is never longer than 64 KiB", async () => {
    const { publisher, peer } = await start(world.xPublisher(), "XSUB");
    peer.write(large(100_000, 0x5858_5858));
    expect((await publisher.receive({ timeout: 8_000 }))[0]).toHaveLength(100_000);
    const left = nextEvent(publisher, "disconnect");
    peer.write(command("SUBSCRIBE", Buffer.alloc(65_536 - 9)).subarray(0, 100));
    const { reason, error } = await left;
    expect(reason).toBe("protocol");
    expect(error?.message).toContain("command");
  });

  it("is a prefix of 1,024 bytes, not more", async () => {
    const { publisher, peer } = await start(world.publisher());
    const told = nextEvent(publisher, "subscribe");
    peer.write(command("SUBSCRIBE", Buffer.alloc(1_024, "x")));
    expect((await told).topic).toHaveLength(1_024);
    const left = nextEvent(publisher, "disconnect");
    peer.write(command("SUBSCRIBE", Buffer.alloc(1_025, "x")));
    expect(await left).toMatchObject({ reason: "protocol" });
  });
});
