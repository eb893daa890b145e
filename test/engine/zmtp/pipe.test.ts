import { expect, test, vi } from "vitest";
import type { PipeOptions } from "../../../src/engine/zmtp/pipe.js";
import { ReceiveBudget } from "../../../src/engine/zmtp/receive-limits.js";
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
  const arrive = (...messages: string[]): void => {
    pipe.in.push(Buffer.concat(messages.map((message) => frame(message))));
    pipe.arrived();
  };
  return { pipe, owner, link, written, arrive };
}

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

test("a long queue that a send waits for gets shorter, until the connection changes", () => {
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
    return { pipe, link, fill, untilRoom };
  };
  const { pipe, link, fill, untilRoom } = open(true);
  expect(fill()).toBe(100);
  const steps: number[][] = [];
  for (let i = 0; i < 3; i++) steps.push([untilRoom(), fill()]);
  expect(steps).toEqual([
    [97, 8],
    [5, 8],
    [5, 8],
  ]);
  pipe.unlinked();
  pipe.linked(link, PEER);
  expect(fill()).toBe(100);
  // Where it is short anyway, and where nobody waits, since messages are dropped or refused, the mark stays.
  const short = open(true, 7);
  expect([short.fill(), short.untilRoom(), short.fill()]).toEqual([7, 4, 7]);
  const dropping = open(false);
  expect([dropping.fill(), dropping.untilRoom(), dropping.fill()]).toEqual([100, 50, 100]);
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
