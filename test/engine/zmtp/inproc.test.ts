import { expect, test } from "vitest";
import { FRAME_COST, frameCost } from "../../../src/core/frame-cost.js";
import type { TakenMessages } from "../../../src/engine/engine.js";
import { InprocLink } from "../../../src/engine/zmtp/inproc.js";
import { Pipe } from "../../../src/engine/zmtp/pipe.js";
import { ReceiveBudget } from "../../../src/engine/zmtp/receive-budget.js";
import { pipeOwner } from "./support/pipe-owner.js";

const peer = (socketType: string) => ({ socketType, identity: Buffer.alloc(0), commands: true });

function side(sendHighWaterMark: number, receiveHighWaterMark: number, maxMessageSize = -1, bytes = 0) {
  const owner = pipeOwner();
  const pipe = new Pipe(
    owner,
    {
      sendHighWaterMark,
      receiveHighWaterMark,
      sendHighWaterMarkBytes: bytes,
      receiveHighWaterMarkBytes: bytes,
      maxMessageSize,
      maxFrames: 65_536,
      conflate: false,
      early: true,
    },
    new ReceiveBudget(() => 0),
    "inproc://test",
    true,
  );
  const ends: string[] = [];
  const link = new InprocLink(pipe, { receiveHighWaterMark, receiveHighWaterMarkBytes: bytes }, (reason) =>
    ends.push(reason),
  );
  const takeAll = (): string[] => {
    const all: string[] = [];
    while (pipe.in.messages > 0) all.push(pipe.take().map(String).join("|"));
    return all;
  };
  return { owner, pipe, ends, link, takeAll };
}

interface Marks {
  send?: number;
  receive?: number;
  maxMessageSize?: number;
  /** Of both sides. */
  bytes?: number;
}

function pair(marks: Marks = {}) {
  const one = side(marks.send ?? 10, 10, -1, marks.bytes);
  const two = side(10, marks.receive ?? 10, marks.maxMessageSize, marks.bytes);
  const join = (): void => {
    InprocLink.join(one.link, peer("PUSH"), two.link, peer("PULL"));
    InprocLink.open(one.link, two.link);
  };
  return { one, two, join };
}

test("a closed link notifies both ends once, and what was on its way has arrived", () => {
  const { one, two, join } = pair();
  join();
  one.pipe.send("last", 0, undefined);
  one.link.close("local");
  one.link.close("local");
  two.link.close("local");
  expect([one.ends, two.ends]).toEqual([["local"], ["remote"]]);
  expect(two.takeAll()).toEqual(["last"]);
  one.pipe.send("nobody", 0, undefined);
  one.pipe.flush();
  expect([two.pipe.in.messages, one.pipe.out.messages]).toEqual([0, 1]);
});

test("two ends that both get what is past their limits end once", async () => {
  const one = side(10, 10, 100);
  const two = side(10, 10, 100);
  InprocLink.join(one.link, peer("DEALER"), two.link, peer("DEALER"));
  InprocLink.open(one.link, two.link);
  for (const { pipe } of [one, two]) pipe.send(Buffer.alloc(101), 0, undefined);
  one.pipe.flush();
  two.pipe.flush();
  await null;
  expect([one.ends, two.ends]).toEqual([["protocol"], ["protocol"]]);
});

test("the mark in bytes holds for what was flushed in earlier turns, too", () => {
  const { one, two, join } = pair({ send: 1_000, receive: 1_000, bytes: 1_000 });
  join();
  let sent = 0;
  for (; one.pipe.hasRoom() && sent < 1_000; sent++) {
    one.pipe.send(Buffer.alloc(98), 0, undefined);
    one.pipe.flush();
  }
  expect([sent, two.pipe.in.cost]).toEqual([13, 13 * frameCost(98)]);
});

test("frames that are given away are the receiver's, in order with what is encoded", () => {
  const { one, two, join } = pair();
  join();
  const [given, list] = [Buffer.from("given"), [Buffer.from("b"), Buffer.from("c")]];
  one.pipe.send("a", 0, undefined);
  one.pipe.send(list, 0, undefined, true);
  one.pipe.send("d", 0, undefined);
  one.pipe.send(given, 0, [Buffer.alloc(0)], true);
  one.pipe.send(given, 0, undefined, true);
  expect(two.owner.pipeOnMessages).not.toHaveBeenCalled();
  one.pipe.flush();
  expect(two.owner.pipeOnMessages).toHaveBeenCalledTimes(1);
  const messages: Buffer[][] = [];
  const { messages: waiting, cost } = two.pipe.in;
  // As on the wire: 7 headers of 2 bytes.
  expect([waiting, cost]).toEqual([5, 14 + 14 + 7 * FRAME_COST]);
  const taken: TakenMessages = { messages, bytes: 0, cost: 0 };
  while (two.pipe.in.messages > 0)
    two.pipe.takeMany(taken, 10, 1_000, undefined, messages.length === 2 ? Buffer.from("id") : undefined);
  expect([taken.bytes, taken.cost]).toEqual([16, cost + frameCost(2)]);
  expect(messages.map((frames) => frames.join("|"))).toEqual(["a", "b|c", "id|d", "|given", "given"]);
  expect([messages[1]?.[0] === list[0], messages[4]?.[0] === given]).toEqual([true, true]);
  expect(two.pipe.in.cost).toBe(0);
});

test("frames of a message whose memory went to a thread all the same leave no bytes behind", () => {
  const { one, two, join } = pair({ bytes: 100 });
  join();
  const frame = Buffer.from(new ArrayBuffer(300));
  one.pipe.send(frame, 0, undefined, true);
  structuredClone(frame.buffer, { transfer: [frame.buffer] });
  one.pipe.flush();
  expect(two.pipe.take()[0]?.length).toBe(0);
  expect(two.pipe.in.cost).toBe(0);
});

test("frames past the receiver's limit end the link as a fault of the protocol, once", async () => {
  for (const last of ["flush", "close"] as const) {
    const { one, two, join } = pair({ maxMessageSize: 10 });
    join();
    one.pipe.send([Buffer.alloc(5), Buffer.alloc(5)], 0, undefined, true);
    one.pipe.send([Buffer.alloc(5), Buffer.alloc(6)], 0, undefined, true);
    expect(one.link.pass([Buffer.from("x")])).toBe(-1);
    if (last === "flush") one.pipe.flush();
    else one.link.close("local");
    await null;
    expect([one.ends, two.ends]).toEqual([["remote"], ["protocol"]]);
    expect(two.pipe.in.messages).toBe(1);
  }
});

test("a message past the limit and those behind it are counted as lost with the link, and no more", async () => {
  const { one, two, join } = pair({ maxMessageSize: 10 });
  join();
  const body = Buffer.alloc(11);
  const messages = ["a", body, "b", Buffer.alloc(1_000), "c"];
  for (const message of messages) one.pipe.send(message, 0, undefined);
  one.pipe.flush();
  one.pipe.send("waits", 0, undefined);
  await null;
  expect([two.takeAll(), one.pipe.unlinked(), one.pipe.out.messages]).toEqual([["a"], 4, 1]);
  expect(one.pipe.unlinked()).toBe(0);

  const given = pair({ maxMessageSize: 10 });
  given.join();
  given.one.pipe.send(Buffer.alloc(11), 0, undefined, true);
  given.one.pipe.send(Buffer.from("waits"), 0, undefined, true);
  await null;
  expect([given.one.pipe.end(), given.one.pipe.out.messages]).toEqual([2, 0]);
});

test("frames that a side has when it ends the link are heard of", () => {
  const { one, two, join } = pair();
  join();
  one.pipe.send(Buffer.from("last"), 0, undefined, true);
  two.link.close("local");
  expect(two.owner.pipeOnMessages).toHaveBeenCalledTimes(1);
  two.pipe.unlinked();
  expect(two.takeAll()).toEqual(["last"]);
});

test("frames are relayed and thrown away as other messages are", () => {
  const { one, two, join } = pair();
  join();
  for (const text of ["a", "b"]) one.pipe.send([Buffer.from(text), Buffer.from("more")], 0, undefined, true);
  one.pipe.flush();
  const batch = two.pipe.takeBatch(10, Buffer.from("id"));
  expect([batch.messages, batch.tally]).toEqual([2, { bodyBytes: 10, frames: 4, mostFrames: 2 }]);
  expect(batch.decode().map((frames) => frames.join("|"))).toEqual(["id|a|more", "id|b|more"]);
  one.pipe.send(Buffer.from("c"), 0, undefined, true);
  expect(two.pipe.discard()).toBe(1);
  one.pipe.send(Buffer.from("d"), 0, undefined, true);
  expect([two.pipe.in.messages, two.pipe.in.cost]).toEqual([1, frameCost(1)]);
  expect(two.takeAll()).toEqual(["d"]);
});
