import { expect, test } from "vitest";
import { frameCost } from "../../../src/core/memory.js";
import { BATCHES } from "../../../src/engine/frame-batch.js";
import { InprocLink } from "../../../src/engine/zmtp/inproc.js";
import { pipeOf, pipeOwner } from "./support/pipe-owner.js";

const peer = (socketType: string) => ({ socketType, identity: Buffer.alloc(0), commands: true });

function side(maxMessageSize = -1) {
  const owner = pipeOwner();
  const pipe = pipeOf(owner, { maxMessageSize });
  const ends: string[] = [];
  const link = new InprocLink(pipe, (reason) => ends.push(reason));
  const takeAll = (): string[] => {
    const all: string[] = [];
    while (pipe.in.messages > 0) all.push(pipe.take().map(String).join("|"));
    return all;
  };
  return { owner, pipe, ends, link, takeAll };
}

/** @param maxMessageSize of the receiver */
function joined(maxMessageSize?: number) {
  const [one, two] = [side(), side(maxMessageSize)];
  InprocLink.join(one.link, peer("PUSH"), two.link, peer("PULL"));
  InprocLink.open(one.link, two.link);
  return { one, two };
}

test("a closed link notifies both ends once, and what was on its way has arrived", () => {
  const { one, two } = joined();
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
  const [one, two] = [side(100), side(100)];
  InprocLink.join(one.link, peer("DEALER"), two.link, peer("DEALER"));
  InprocLink.open(one.link, two.link);
  for (const { pipe } of [one, two]) pipe.send(Buffer.alloc(101), 0, undefined);
  one.pipe.flush();
  two.pipe.flush();
  await null;
  expect([one.ends, two.ends]).toEqual([["protocol"], ["protocol"]]);
});

test("frames of a message whose memory went to a thread all the same leave no bytes behind", () => {
  const { one, two } = joined();
  const frame = Buffer.from(new ArrayBuffer(300));
  one.pipe.send(frame, 0, undefined, true);
  structuredClone(frame.buffer, { transfer: [frame.buffer] });
  one.pipe.flush();
  expect(two.pipe.take()[0]?.length).toBe(0);
  expect(two.pipe.in.cost).toBe(0);
});

test("frames past the receiver's limit end the link as a fault of the protocol, once", async () => {
  for (const last of ["flush", "close"] as const) {
    const { one, two } = joined(10);
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

test("frames that a side has when it ends the link are heard of", () => {
  const { one, two } = joined();
  one.pipe.send(Buffer.from("last"), 0, undefined, true);
  two.link.close("local");
  expect(two.owner.pipeOnMessages).toHaveBeenCalledTimes(1);
  two.pipe.unlinked();
  expect(two.takeAll()).toEqual(["last"]);
});

test("frames are relayed and thrown away as other messages are", () => {
  const { one, two } = joined();
  for (const text of ["a", "b"]) one.pipe.send([Buffer.from(text), Buffer.from("more")], 0, undefined, true);
  one.pipe.flush();
  const batch = two.pipe.takeBatch(BATCHES, 10, Buffer.from("id"));
  expect([batch.messages, batch.tally]).toEqual([2, { bodyBytes: 10, frames: 4, mostFrames: 2 }]);
  expect(batch.decode().map((frames) => frames.join("|"))).toEqual(["id|a|more", "id|b|more"]);
  one.pipe.send(Buffer.from("c"), 0, undefined, true);
  expect(two.pipe.discard()).toBe(1);
  one.pipe.send(Buffer.from("d"), 0, undefined, true);
  expect([two.pipe.in.messages, two.pipe.in.cost]).toEqual([1, frameCost(1)]);
  expect(two.takeAll()).toEqual(["d"]);
});
