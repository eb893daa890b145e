import { expect, test, vi } from "vitest";
import { Encoder } from "../../../src/engine/zmtp/codec/encoder.js";
import type { Pipe, PipeOptions } from "../../../src/engine/zmtp/pipe.js";
import { ReceiveBudget } from "../../../src/engine/zmtp/receive-budget.js";
import { encodeFrame } from "./codec/support.js";
import { pipeOf, pipeOwner } from "./support/pipe-owner.js";

const nextTick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const frame = (text: string, flags = 0): Buffer => encodeFrame({ flags, body: Buffer.from(text) });
const PEER = { socketType: "PULL", identity: Buffer.alloc(0), commands: true };

function make(options: Partial<PipeOptions> = {}, outlives = true, budget?: ReceiveBudget) {
  const owner = pipeOwner();
  const pipe = pipeOf(owner, options, outlives, budget);
  const written: string[] = [];
  const link = {
    blocked: false,
    flush: vi.fn(() => {
      if (link.blocked) return;
      for (const { bytes, start, end } of pipe.out.take(Number.POSITIVE_INFINITY))
        written.push(Buffer.from(bytes.subarray(start, end)).toString("latin1"));
      pipe.out.confirm();
      pipe.relieved();
    }),
    pause: vi.fn(),
    resume: vi.fn(),
    drain: vi.fn(),
    draining: false,
    halfClose: vi.fn(),
    close: vi.fn(),
  };
  const fill = (): number => {
    let count = 0;
    for (; pipe.hasRoom() && count < 10_000; count++) pipe.send(String(count), 0, undefined);
    return count;
  };
  const arrive = (...messages: string[]): void => {
    pipe.in.push(Buffer.concat(messages.map((message) => frame(message))));
    pipe.arrived();
  };
  return { pipe, owner, link, written, fill, arrive };
}

test("a link that takes what it is given never makes the bytes a bound", () => {
  const { pipe, link } = make({ sendHighWaterMarkBytes: 50_000 });
  pipe.linked(link, PEER);
  for (let i = 0; i < 100; i++) {
    expect(pipe.hasRoom()).toBe(true);
    pipe.send(Buffer.alloc(30_000), 0, undefined);
  }
});

test("empty frames count in either direction: their header, and what each costs in memory", () => {
  const marks = { sendHighWaterMarkBytes: 100_000, receiveHighWaterMarkBytes: 100_000 };
  const { pipe, link } = make({ sendHighWaterMark: 1_000, receiveHighWaterMark: 1_000, ...marks });
  const empty = Array.from({ length: 1_000 }, () => "");
  let sent = 0;
  for (; pipe.hasRoom(); sent++) pipe.send(empty, 0, undefined);
  expect(sent).toBe(2);
  pipe.linked(link, PEER);
  const wire = Buffer.concat(
    empty.map((_, i) => encodeFrame({ flags: i < 999 ? 1 : 0, body: Buffer.alloc(0) })),
  );
  for (const paused of [0, 1]) {
    pipe.in.push(Buffer.from(wire));
    pipe.arrived();
    expect(link.pause).toHaveBeenCalledTimes(paused);
  }
});

test("a message that is arriving counts as soon as another waits, and alone it always arrives", () => {
  const { pipe, link } = make({ receiveHighWaterMark: 1_000, receiveHighWaterMarkBytes: 400 });
  pipe.linked(link, PEER);
  const large = frame("y".repeat(1_000));
  pipe.in.push(large, 0, 900);
  pipe.arrived();
  expect(link.pause).not.toHaveBeenCalled();
  pipe.in.push(Buffer.concat([large.subarray(900), large.subarray(0, 20)]));
  pipe.arrived();
  expect(link.pause).toHaveBeenCalledTimes(1);
  pipe.take();
  expect(link.resume).toHaveBeenCalledTimes(1);
  // The same with a small one that waits.
  pipe.in.push(Buffer.concat([large.subarray(20), frame("small"), large.subarray(0, 500)]));
  pipe.take();
  pipe.arrived();
  expect(link.pause).toHaveBeenCalledTimes(2);
});

test("what was read to a mark when the link was lost does not stop the next one from being read in the end", () => {
  const budget = new ReceiveBudget(() => 100);
  const { pipe, link, arrive } = make({}, true, budget);
  pipe.linked(link, PEER);
  arrive("x".repeat(120));
  expect(pipe.paused).toBe(true);
  pipe.unlinked();
  expect(pipe.paused).toBe(false);
  pipe.linked(link, PEER);
  arrive("y");
  expect(pipe.paused).toBe(true);
  pipe.take();
  pipe.take();
  expect(pipe.paused).toBe(false);
  expect(link.resume).toHaveBeenCalled();
});

test.each([
  [1_000, 5_000, 1_000],
  [1_000, 100, 100],
  [1_000, undefined, 1_000],
  [-1, 5_000, 5_000],
  [-1, undefined, Number.MAX_SAFE_INTEGER],
])("of maxMessageSize %s and a policy's messageSize %s the smaller one holds", (own, messageSize, most) => {
  const { pipe } = make({ maxMessageSize: own });
  for (const policy of [{}, { messageSize }]) {
    pipe.police(policy);
    const limit = "messageSize" in policy ? most : own < 0 ? Number.MAX_SAFE_INTEGER : own;
    const size = Math.min(limit, 6_000);
    const header = Buffer.alloc(9, 2);
    header.writeBigUInt64BE(BigInt(size), 1);
    expect(pipe.in.push(Buffer.concat([header, Buffer.alloc(size)]))).toBeUndefined();
    if (limit > 6_000) continue;
    header.writeBigUInt64BE(BigInt(size + 1), 1);
    const { pipe: other } = make({ maxMessageSize: own });
    other.police(policy);
    expect(other.in.push(header)).toBe("too-long");
  }
});

test("a turn's messages leave in one flush at its end", async () => {
  const { pipe, link, written } = make();
  pipe.linked(link, PEER);
  for (const message of ["a", "b", "c"]) pipe.send(message, 0, undefined);
  expect(link.flush).not.toHaveBeenCalled();
  await nextTick();
  expect(link.flush).toHaveBeenCalledTimes(1);
  expect(written).toEqual(["\0\u0001a\0\u0001b\0\u0001c"]);
});

test("a full queue is flushed at once where the link can, so nobody has to wait for the turn's end", () => {
  const { pipe, link, fill } = make();
  pipe.linked(link, PEER);
  expect(fill()).toBe(10_000);
});

test("a large batch is written without waiting for the turn's end, one of large messages when it fills a write", () => {
  const encoder = new Encoder();
  const ways: ((pipe: Pipe, message: Buffer) => void)[] = [
    (pipe, message) => pipe.send(message, 0, undefined),
    (pipe, message) => {
      encoder.encode(message, 0, undefined);
      pipe.sendEncoded(encoder);
    },
  ];
  const written = (size: number, send: (pipe: Pipe, message: Buffer) => void): number => {
    const { pipe, link } = make({ sendHighWaterMark: 1_000 });
    pipe.linked(link, PEER);
    let messages = 0;
    for (; link.flush.mock.calls.length === 0; messages++) send(pipe, Buffer.alloc(size));
    return messages;
  };
  for (const send of ways)
    expect([written(10_000, send), written(65_536, send), written(300_000, send)]).toEqual([7, 4, 1]);
});

test("a turn's small messages are written in ever larger parts, and the next turn's begin with a small one", async () => {
  const { pipe, link } = make({ sendHighWaterMark: 10_000 });
  pipe.linked({ ...link, prompt: true }, PEER);
  const parts = (most: number): number[] => {
    const sizes: number[] = [];
    for (let messages = 1; sizes.length < most; messages++) {
      const writes = link.flush.mock.calls.length;
      pipe.send(Buffer.alloc(100), 0, undefined);
      if (link.flush.mock.calls.length === writes) continue;
      sizes.push(messages);
      messages = 0;
      pipe.takeOut(1_000_000);
      pipe.out.confirm();
    }
    return sizes;
  };
  const [first = 0, second = 0, third = 0] = parts(3);
  expect(second).toBeGreaterThan(1.5 * first);
  expect(third).toBeGreaterThan(1.5 * second);
  await new Promise((resolve) => setImmediate(resolve));
  expect(parts(1)).toEqual([first]);
});

test("published and relayed messages wait for the end of the turn", () => {
  const { pipe, link } = make({ sendHighWaterMark: 10_000 });
  pipe.linked({ ...link, prompt: true }, PEER);
  const encoder = new Encoder();
  for (let i = 0; i < 100; i++) {
    encoder.encode(Buffer.alloc(100), 0, undefined);
    pipe.sendEncoded(encoder);
  }
  expect(link.flush).not.toHaveBeenCalled();
  pipe.send(Buffer.alloc(100), 0, undefined);
  expect(link.flush).toHaveBeenCalledTimes(1);
});

test.each([
  ["that is not written at once", { prompt: false }, {}],
  ["whose peer does not answer", { prompt: true }, { early: false }],
])("a link %s gets a turn's small messages at its end", async (_what, kind, options) => {
  const { pipe, link } = make({ sendHighWaterMark: 10_000, ...options });
  pipe.linked({ ...link, ...kind }, PEER);
  for (let i = 0; i < 100; i++) pipe.send(Buffer.alloc(100), 0, undefined);
  pipe.send(Buffer.alloc(3_000), 0, undefined);
  expect(link.flush).not.toHaveBeenCalled();
  await new Promise((resolve) => setImmediate(resolve));
  expect(link.flush).toHaveBeenCalledOnce();
});

test("a queue that is full again and again gets shorter, where sends wait, until 1 GiB has left without filling it", () => {
  const large = Buffer.alloc(262_144);
  const open = (awaits: boolean, sendHighWaterMark = 100) => {
    const { pipe, link, owner } = make({ sendHighWaterMark });
    link.blocked = true;
    pipe.linked(link, PEER);
    /** @returns how many messages wait then */
    const fill = (): number => {
      while (pipe.hasRoom()) pipe.send(large, 0, undefined);
      if (awaits) pipe.awaited();
      return pipe.out.messages;
    };
    const leave = (): void => {
      pipe.takeOut(1);
      pipe.out.confirm();
      pipe.relieved();
    };
    /** @returns how many messages leave until there is room */
    const untilRoom = (): number => {
      const before = owner.pipeOnRoom.mock.calls.length;
      let left = 0;
      for (; owner.pipeOnRoom.mock.calls.length === before; left++) leave();
      return left;
    };
    return { pipe, fill, leave, untilRoom };
  };
  const { pipe, fill, leave, untilRoom } = open(true);
  expect(fill()).toBe(100);
  // Each time half as many, down to 2 MB, of which half leaves.
  const steps: number[][] = [];
  for (let i = 0; i < 6; i++) steps.push([untilRoom(), fill()]);
  expect(steps).toEqual([
    [51, 50],
    [26, 25],
    [13, 13],
    [8, 8],
    [5, 8],
    [5, 8],
  ]);
  untilRoom();
  for (let i = 0; i < 4_100; i++) {
    pipe.send(large, 0, undefined);
    leave();
  }
  expect(fill()).toBe(100);
  // Where it is short anyway, and where nobody waits, since messages are dropped or refused, the mark stays.
  const short = open(true, 60);
  expect([short.fill(), short.untilRoom(), short.fill()]).toEqual([60, 8, 60]);
  const dropping = open(false);
  expect([dropping.fill(), dropping.untilRoom(), dropping.fill()]).toEqual([100, 8, 100]);
});

test("reading stops at the receive mark, and starts again when half of it was taken", () => {
  const { pipe, link, arrive } = make({ receiveHighWaterMark: 6 });
  pipe.linked(link, PEER);
  arrive("1", "2", "3", "4", "5");
  expect(pipe.paused).toBe(false);
  arrive("6", "7");
  arrive("8");
  expect([pipe.paused, link.pause.mock.calls.length]).toEqual([true, 1]);
  for (const left of [7, 6, 5, 4]) {
    pipe.take();
    expect([pipe.in.messages, link.resume.mock.calls.length]).toEqual([left, 0]);
  }
  pipe.take();
  expect([pipe.paused, link.resume.mock.calls.length]).toEqual([false, 1]);
});

test("a full pipe's next connection is not read from the start, until there is room", () => {
  const { pipe, link, arrive } = make({ receiveHighWaterMark: 2 });
  pipe.linked(link, PEER);
  arrive("1", "2");
  pipe.unlinked();
  link.pause.mockClear();
  pipe.linked(link, PEER);
  expect(link.pause).toHaveBeenCalledTimes(1);
  pipe.take();
  expect(link.resume).toHaveBeenCalledTimes(1);
});

test("throwing away what was received starts reading again", () => {
  const { pipe, link, arrive } = make({ receiveHighWaterMark: 2 });
  pipe.linked(link, PEER);
  arrive("1", "2", "3");
  expect([pipe.discard(), pipe.in.messages, link.resume.mock.calls.length]).toEqual([3, 0, 1]);
});

test("a loss makes room where the pipe goes on, and for nobody where it ends with its link", () => {
  for (const outlives of [true, false]) {
    const { pipe, link, owner, fill } = make({ sendHighWaterMark: 1 }, outlives);
    link.blocked = true;
    pipe.linked(link, PEER);
    fill();
    pipe.out.take(1);
    pipe.unlinked();
    expect(owner.pipeOnRoom).toHaveBeenCalledTimes(outlives ? 1 : 0);
  }
});

test("conflate keeps the newest only, in both directions, and always has room", () => {
  const { pipe, link, written, arrive } = make({
    conflate: true,
    sendHighWaterMark: 1,
    receiveHighWaterMark: 1,
  });
  for (const message of ["1", "2", "3"]) {
    expect(pipe.hasRoom()).toBe(true);
    pipe.send(message, 0, undefined);
  }
  pipe.linked(link, PEER);
  pipe.flush();
  expect(written).toEqual(["\0\u00013"]);
  arrive("1", "2");
  arrive("3");
  expect([pipe.in.messages, pipe.paused]).toEqual([1, false]);
  expect(pipe.take().map(String)).toEqual(["3"]);
});

test("conflate does not take back what is in flight", () => {
  const { pipe, link } = make({ conflate: true });
  link.blocked = true;
  pipe.linked(link, PEER);
  pipe.send("flying", 0, undefined);
  pipe.out.take(1);
  pipe.send("old", 0, undefined);
  pipe.send("new", 0, undefined);
  expect([pipe.out.messages, pipe.out.length]).toEqual([2, 1]);
});

test("a link that fails while it is flushed is no affair of the pipes that are flushed after it", async () => {
  await nextTick(); // What earlier tests have left is flushed.
  const ticks: (() => void)[] = [];
  const spy = vi
    .spyOn(process, "nextTick")
    .mockImplementation((tick: unknown) => void ticks.push(tick as () => void));
  try {
    const [bad, good] = [make(), make()];
    for (const { pipe, link } of [bad, good]) pipe.linked(link, PEER);
    bad.link.flush.mockImplementationOnce(() => {
      throw new Error("broken");
    });
    for (const { pipe } of [bad, good]) pipe.send("a", 0, undefined);
    expect(() => ticks.shift()?.()).toThrow("broken");
    while (ticks.length > 0) ticks.shift()?.();
    expect(good.written).toEqual(["\0\u0001a"]);
    // Nor is the failed one left out for good.
    bad.pipe.send("b", 0, undefined);
    while (ticks.length > 0) ticks.shift()?.();
    expect(bad.written).toEqual(["\0\u0001a\0\u0001b"]);
  } finally {
    spy.mockRestore();
  }
});

test("large messages have room again when 2 MB have left, others when half of the mark is free", () => {
  const bytesOf = (size: number, messages: number): number[] => {
    const { pipe, owner, link } = make({ sendHighWaterMark: 100 });
    link.blocked = true;
    pipe.linked(link, PEER);
    while (pipe.hasRoom()) pipe.send(Buffer.alloc(size), 0, undefined);
    const called: number[] = [];
    for (let left = messages; left <= 100; left += messages) {
      pipe.out.take(messages * (size + 9));
      pipe.out.confirm();
      pipe.relieved();
      if (owner.pipeOnRoom.mock.calls.length > called.length) called.push(left);
    }
    return called;
  };
  expect(bytesOf(262_144, 1)).toEqual([8]);
  expect(bytesOf(20_000, 1)).toEqual([50]);
});

test("a pipe awaited until half of its mark is free reports room then, however many bytes have left before", () => {
  const { pipe, owner, link } = make({ sendHighWaterMark: 100 });
  link.blocked = true;
  pipe.linked(link, PEER);
  while (pipe.hasRoom()) pipe.send(Buffer.alloc(262_144), 0, undefined);
  const leave = (messages: number): number => {
    pipe.out.take(messages * 262_153);
    pipe.out.confirm();
    pipe.relieved();
    return owner.pipeOnRoom.mock.calls.length;
  };
  expect(leave(10)).toBe(1);
  expect(pipe.hasRoomToSpare()).toBe(false);
  expect(leave(20)).toBe(1);
  expect(leave(20)).toBe(2);
  expect(pipe.hasRoomToSpare()).toBe(true);
  while (pipe.hasRoom()) pipe.send(Buffer.alloc(262_144), 0, undefined);
  expect(leave(10)).toBe(3);
  pipe.awaitRoom();
  expect(leave(20)).toBe(3);
  expect(leave(20)).toBe(4);
});
