/** Contexts of messages: to which message each belongs, what bounds them, and that none waits for a peer that takes none. */
import { describe, expect, it, vi } from "vitest";
import { attachContext, receivedContext } from "../../../src/engine/message-context.js";
import {
  ContextQueue,
  contextArrived,
  MAX_WAITING_CONTEXT_BYTES,
  withContexts,
} from "../../../src/engine/zmtp/context-queue.js";
import { type Peer, Pipe } from "../../../src/engine/zmtp/pipe.js";
import { ReceiveBudget } from "../../../src/engine/zmtp/receive-budget.js";

const PEER: Peer = { socketType: "PULL", identity: Buffer.alloc(0), commands: true };
const TRACING = { ...PEER, carriesContext: true };

/** A pipe whose link writes what it is given when it is flushed. */
function make(conflate = false) {
  const effects = {
    pipeOnMessages: vi.fn(),
    pipeOnRoom: vi.fn(),
    pipeOnDetached: vi.fn(),
    pipeOnConflated: vi.fn(),
    pipeOnCommand: vi.fn(),
  };
  const marks = { sendHighWaterMark: 100, receiveHighWaterMark: 1_000 };
  const bytes = { sendHighWaterMarkBytes: 0, receiveHighWaterMarkBytes: 0, maxMessageSize: -1 };
  const pipe = new Pipe(
    effects,
    { ...marks, ...bytes, conflate },
    new ReceiveBudget(() => 0),
    "test://",
    true,
  );
  const link = {
    blocked: true,
    draining: false,
    ...{
      flush: vi.fn(),
      pause: vi.fn(),
      resume: vi.fn(),
      drain: vi.fn(),
      halfClose: vi.fn(),
      close: vi.fn(),
    },
  };
  const send = (text: string, context?: string): void => {
    const frames = [Buffer.from(text)];
    if (context !== undefined) attachContext(frames, Buffer.from(context));
    pipe.send(frames, 0, undefined);
  };
  const waiting = (of = pipe): string =>
    Buffer.concat(
      of.out
        .take(Number.POSITIVE_INFINITY)
        .map((each) => Buffer.from(each.bytes.subarray(each.start, each.end))),
    ).toString("latin1");
  const receive = (text: string): void => {
    pipe.in.push(Buffer.concat([Buffer.from([0, text.length]), Buffer.from(text)]));
    pipe.arrived();
  };
  const take = (): [string, string | undefined] => {
    const frames = pipe.take();
    return [String(frames[0]), receivedContext(frames)?.toString()];
  };
  return { pipe, link, send, waiting, receive, take };
}

const command = (context: string): string =>
  `\u0004${String.fromCharCode(6 + context.length)}\u0005TRACE${context}`;

describe("a context that is sent", () => {
  it("goes right before its message, to a peer that takes contexts", () => {
    const { pipe, link, send, waiting } = make();
    pipe.linked(link, TRACING);
    send("a", "one");
    send("b");
    send("c", "two");
    expect(waiting()).toBe(`${command("one")}\0\u0001a\0\u0001b${command("two")}\0\u0001c`);
    expect(pipe.out.bytes).toBe(0);
  });

  it("does not go to a peer that takes none, nor before there is one, nor with conflated messages", () => {
    const plain = make();
    plain.send("a", "one");
    plain.pipe.linked(plain.link, PEER);
    plain.send("b", "two");
    expect(plain.waiting()).toBe("\0\u0001a\0\u0001b");
    const { pipe, link, send, waiting } = make(true);
    pipe.linked(link, TRACING);
    send("a", "one");
    expect(waiting()).toBe("\0\u0001a");
  });

  it("does not wait for the next connection, whose peer may be another", () => {
    const { pipe, link, send, waiting } = make();
    pipe.linked(link, TRACING);
    for (const text of ["a", "b", "c"]) send(text, "one");
    pipe.unlinked();
    send("d", "two");
    pipe.linked(link, PEER);
    send("e", "three");
    expect(pipe.out.bytes).toBe(15);
    expect(waiting()).toBe("\0\u0001a\0\u0001b\0\u0001c\0\u0001d\0\u0001e");
  });

  it("does not move to another peer with its message", () => {
    const [from, to] = [make(), make()];
    from.pipe.linked(from.link, TRACING);
    to.pipe.linked(to.link, PEER);
    from.send("a", "one");
    from.pipe.moveTo([to.pipe]);
    expect(to.waiting()).toBe("\0\u0001a");
    expect(from.pipe.out.bytes).toBe(0);
  });

  it("is left out when it is too long", () => {
    const { pipe, link, send, waiting } = make();
    pipe.linked(link, TRACING);
    send("a", "x".repeat(1_025));
    send("b", "");
    expect(waiting()).toBe("\0\u0001a\0\u0001b");
    send("c", "x".repeat(1_024));
    expect(pipe.out.bytes).toBeGreaterThan(1_024);
  });
});

describe("a context that comes", () => {
  it("belongs to the next message, whatever waits before it and is taken meanwhile", () => {
    const { pipe, link, receive, take } = make();
    pipe.linked(link, TRACING);
    receive("a");
    contextArrived(pipe, Buffer.from("of b"));
    receive("b");
    expect(take()).toEqual(["a", undefined]);
    receive("c");
    contextArrived(pipe, Buffer.from("of d"));
    contextArrived(pipe, Buffer.from("of nothing"));
    receive("d");
    expect([take(), take(), take()]).toEqual([
      ["b", "of b"],
      ["c", undefined],
      ["d", "of d"],
    ]);
  });

  it("is ignored from a peer that did not announce it, when empty, and when too long", () => {
    const { pipe, link, receive, take } = make();
    contextArrived(undefined, Buffer.from("x"));
    pipe.linked(link, PEER);
    contextArrived(pipe, Buffer.from("x"));
    receive("a");
    pipe.unlinked();
    pipe.linked(link, TRACING);
    contextArrived(pipe, Buffer.alloc(0));
    contextArrived(pipe, Buffer.alloc(1_025));
    receive("b");
    expect([take(), take()]).toEqual([
      ["a", undefined],
      ["b", undefined],
    ]);
  });

  it("is ignored from a peer that takes none, where another one did before", () => {
    const { pipe, link, receive, take } = make();
    pipe.linked(link, TRACING);
    pipe.unlinked();
    pipe.linked(link, PEER);
    contextArrived(pipe, Buffer.from("x"));
    receive("a");
    expect(take()).toEqual(["a", undefined]);
  });

  it("does not outlive the message that was cut off, nor what is thrown away", () => {
    const { pipe, link, receive, take } = make();
    pipe.linked(link, TRACING);
    contextArrived(pipe, Buffer.from("of a"));
    receive("a");
    contextArrived(pipe, Buffer.from("of what never came"));
    pipe.unlinked();
    pipe.linked(link, TRACING);
    receive("b");
    expect([take(), take()]).toEqual([
      ["a", "of a"],
      ["b", undefined],
    ]);
    contextArrived(pipe, Buffer.from("of c"));
    receive("c");
    pipe.discard();
    receive("d");
    expect(take()).toEqual(["d", undefined]);
    expect(pipe.contexts?.bytes).toBe(0);
  });

  it("passes with messages that are taken as they came", () => {
    const { pipe, link, receive, take } = make();
    pipe.linked(link, TRACING);
    contextArrived(pipe, Buffer.from("of a"));
    receive("a");
    pipe.takeBatch(10);
    receive("b");
    expect(take()).toEqual(["b", undefined]);
  });

  it("is bounded in bytes for all that wait, and has room again when messages are taken", () => {
    const queue = new ContextQueue();
    const context = Buffer.alloc(1_024, 1);
    for (let i = 0; i < 10_000; i++) queue.add(i, context);
    expect(queue.bytes).toBe(MAX_WAITING_CONTEXT_BYTES);
    for (let i = 0; i < 100_000; i++) queue.add(20_000, context);
    expect(queue.bytes).toBe(MAX_WAITING_CONTEXT_BYTES);
    const frames = [Buffer.from("x")];
    queue.taken(frames);
    expect(receivedContext(frames)).toEqual(context);
    expect(queue.bytes).toBe(MAX_WAITING_CONTEXT_BYTES - 1_024);
  });

  it("is a copy: the chunk that it came in is not kept", () => {
    const queue = new ContextQueue();
    const chunk = Buffer.from("context and more");
    queue.add(0, chunk.subarray(0, 7));
    chunk.fill(0);
    const frames = [Buffer.from("x")];
    queue.taken(frames);
    expect(receivedContext(frames)?.toString()).toBe("context");
  });
});

it("is announced by both ends with the same version", () => {
  const metadata = (value: string) => new Map([["x-trace-context", Buffer.from(value)]]);
  const on = { carriesContext: true };
  expect(withContexts(PEER, on, metadata("1")).carriesContext).toBe(true);
  expect(withContexts(PEER, on, metadata("2")).carriesContext).toBeUndefined();
  expect(withContexts(PEER, on, new Map()).carriesContext).toBeUndefined();
  expect(withContexts(PEER, {}, metadata("1")).carriesContext).toBeUndefined();
});
