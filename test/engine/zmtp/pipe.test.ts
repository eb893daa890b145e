import { expect, test, vi } from "vitest";
import { Pipe, type PipeOptions } from "../../../src/engine/zmtp/pipe.js";
import { encodeFrame } from "./codec/support.js";

const nextTick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const frame = (text: string, flags = 0): Buffer => encodeFrame({ flags, body: Buffer.from(text) });
const PEER = { socketType: "PULL", identity: Buffer.alloc(0), commands: true };

function make(options: Partial<PipeOptions> = {}, outlives = true) {
  const owner = { pipeOnMessages: vi.fn(), pipeOnRoom: vi.fn(), pipeOnCommand: vi.fn() };
  const pipe = new Pipe(
    owner,
    {
      sendHighWaterMark: 4,
      receiveHighWaterMark: 4,
      maxMessageSize: -1,
      conflate: false,
      ...options,
    },
    "test://pipe",
    outlives,
  );
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

test("without a link it takes as many messages as its mark says; 0 is no mark", () => {
  expect(make().fill()).toBe(4);
  expect(make({ sendHighWaterMark: 1 }).fill()).toBe(1);
  expect(make({ sendHighWaterMark: 0 }).fill()).toBe(10_000);
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

test("a large batch is written without waiting for the turn's end", () => {
  const { pipe, link } = make();
  pipe.linked(link, PEER);
  pipe.send(Buffer.alloc(10_000), 0, undefined);
  expect(link.flush).not.toHaveBeenCalled();
  pipe.send(Buffer.alloc(130_000), 0, undefined);
  expect(link.flush).toHaveBeenCalledTimes(1);
});

test("a mute pipe tells of room once, when half of its queue has left", () => {
  const { pipe, link, owner, fill } = make({ sendHighWaterMark: 4 });
  link.blocked = true;
  pipe.linked(link, PEER);
  expect([fill(), pipe.mute]).toEqual([4, true]);
  pipe.relieved();
  expect(owner.pipeOnRoom).not.toHaveBeenCalled();
  link.blocked = false;
  link.flush();
  pipe.relieved();
  expect([owner.pipeOnRoom.mock.calls.length, pipe.mute]).toEqual([1, false]);
});

test("a pipe that was never mute tells nothing", () => {
  const { pipe, link, owner } = make();
  pipe.linked(link, PEER);
  pipe.send("x", 0, undefined);
  link.flush();
  expect(owner.pipeOnRoom).not.toHaveBeenCalled();
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

test("a receive mark of 0 never stops reading", () => {
  const { pipe, link, arrive } = make({ receiveHighWaterMark: 0 });
  pipe.linked(link, PEER);
  arrive(...Array.from({ length: 5_000 }, String));
  expect([pipe.in.messages, link.pause.mock.calls.length]).toEqual([5_000, 0]);
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

test("what waited when the link was lost goes to the next one; what was in flight is counted as lost", () => {
  const { pipe, link, written } = make();
  link.blocked = true;
  pipe.linked(link, PEER);
  pipe.send("gone", 0, undefined);
  pipe.out.take(1);
  pipe.send("kept", 0, undefined);
  expect(pipe.unlinked()).toBe(1);
  link.blocked = false;
  pipe.linked(link, PEER);
  pipe.flush();
  expect(written).toEqual(["\0\u0004kept"]);
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

test("half a message that a lost connection left is not continued by the next", () => {
  const { pipe, link } = make();
  pipe.linked(link, PEER);
  pipe.in.push(Buffer.concat([frame("whole"), frame("half", 1)]));
  pipe.unlinked();
  pipe.linked(link, PEER);
  pipe.in.push(frame("next"));
  expect([pipe.take(), pipe.take()].map((message) => message.map(String))).toEqual([["whole"], ["next"]]);
});

test("an ended pipe counts what it had, takes nothing, and gives what it received", () => {
  const { pipe, link, owner, arrive, fill } = make();
  link.blocked = true;
  pipe.linked(link, PEER);
  arrive("received");
  expect(fill()).toBe(4);
  expect([pipe.end(), pipe.end()]).toEqual([4, 0]);
  expect([pipe.hasRoom(), pipe.out.messages]).toEqual([false, 0]);
  pipe.relieved();
  expect(owner.pipeOnRoom).not.toHaveBeenCalled();
  expect(pipe.take().map(String)).toEqual(["received"]);
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

test("commands go first when a new connection has to hear them first", () => {
  const { pipe, link, written } = make();
  pipe.send("waits", 0, undefined);
  pipe.linked(link, PEER);
  pipe.sendFirst(Buffer.from("\u0004\u0001c", "latin1"));
  pipe.flush();
  expect(written.join("")).toBe("\u0004\u0001c\0\u0005waits");
});
