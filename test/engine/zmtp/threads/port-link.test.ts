/** A link over a MessagePort, whose posts arrive when the test lets them. */
import { expect, test, vi } from "vitest";
import { frameCost } from "../../../../src/core/memory.js";
import { type MessagePortLike, PortLink } from "../../../../src/engine/zmtp/threads/port-link.js";
import { HANG_UP_TIMEOUT } from "../../../../src/engine/zmtp/writer.js";
import fc, { forAll } from "../../../support/properties.js";
import { pipeOf, pipeOwner } from "../support/pipe-owner.js";

/** One end of a channel; `undefined` among what waits is the other's end. */
class FakePort implements MessagePortLike {
  onmessage: MessagePortLike["onmessage"] = null;
  onmessageerror: MessagePortLike["onmessageerror"] = null;
  readonly incoming: ({ readonly data: unknown } | undefined)[] = [];
  other: FakePort | undefined;
  closed = false;
  #onClose: () => void = () => undefined;

  postMessage(data: unknown): void {
    if (!this.closed) this.other?.incoming.push({ data });
  }

  addEventListener(_: "close", listener: () => void): void {
    this.#onClose = listener;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.other?.incoming.push(undefined);
  }

  /** Delivers the next post. @returns whether there was one */
  deliver(): boolean {
    if (this.closed || this.incoming.length === 0) return false;
    const event = this.incoming.shift();
    if (event !== undefined) this.onmessage?.(event);
    else {
      this.closed = true;
      this.#onClose();
    }
    return true;
  }
}

interface Marks {
  readonly send: number;
  readonly receive: number;
  readonly bytes?: number;
}

function side(port: FakePort, { send, receive, bytes = 0 }: Marks, theirs: Marks) {
  const owner = pipeOwner();
  const options = {
    sendHighWaterMark: send,
    receiveHighWaterMark: receive,
    sendHighWaterMarkBytes: bytes,
    receiveHighWaterMarkBytes: bytes,
  };
  const pipe = pipeOf(owner, options);
  const ends: string[] = [];
  const link = new PortLink(
    port,
    pipe,
    options,
    { receiveHighWaterMark: theirs.receive, receiveHighWaterMarkBytes: theirs.bytes ?? 0 },
    (reason) => {
      ends.push(reason);
      pipe.unlinked();
    },
  );
  pipe.linked(link, { socketType: "PAIR", identity: Buffer.alloc(0), commands: true });
  link.open();
  return { owner, pipe, link, port, ends, options };
}

function pair(one: Marks, two: Marks = one) {
  const [left, right] = [new FakePort(), new FakePort()];
  left.other = right;
  right.other = left;
  return [side(left, one, two), side(right, two, one)] as const;
}

type Side = ReturnType<typeof side>;

function settle(...sides: readonly Side[]): void {
  let moved = true;
  while (moved) {
    moved = false;
    for (const { port } of sides) while (port.deliver()) moved = true;
  }
}

function fill({ pipe }: Side, body: string | Buffer = "x"): number {
  let count = 0;
  for (; pipe.hasRoom() && count < 100_000; count++) pipe.send(body, 0, undefined);
  pipe.flush();
  return count;
}

function takeAll({ pipe }: Side): string[] {
  const all: string[] = [];
  while (pipe.in.messages > 0) all.push(String(pipe.take()));
  return all;
}

test("the marks in bytes are, too: what was flushed in earlier turns counts until it was taken", () => {
  const [one, two] = pair({ send: 1_000, receive: 1_000, bytes: 1_000 });
  let sent = 0;
  for (; one.pipe.hasRoom() && sent < 1_000; sent++) {
    one.pipe.send(Buffer.alloc(98), 0, undefined);
    one.pipe.flush();
  }
  expect([sent, one.link.aheadBytes]).toEqual([13, 13 * frameCost(98)]);
  settle(one, two);
  takeAll(two);
  settle(one, two);
  expect(fill(one, Buffer.alloc(98))).toBeGreaterThan(10);
});

test("what was posted before the end is received; what the other had posted is not", () => {
  const [one, two] = pair({ send: 10, receive: 10 });
  one.pipe.send("last", 0, undefined);
  two.pipe.send("too late", 0, undefined);
  two.pipe.flush();
  one.link.close("local");
  settle(one, two);
  expect([one.ends, two.ends]).toEqual([["local"], ["remote"]]);
  expect([takeAll(one), takeAll(two)]).toEqual([[], ["last"]]);
});

test("a half-closed link receives what the other had and has to send", () => {
  const [one, two] = pair({ send: 10, receive: 10 });
  two.pipe.send("on its way", 0, undefined);
  two.pipe.flush();
  one.pipe.send("last", 0, undefined);
  one.link.halfClose();
  two.pipe.send("waits", 0, undefined);
  settle(one, two);
  expect([one.ends, two.ends]).toEqual([["remote"], ["remote"]]);
  expect([takeAll(one), takeAll(two)]).toEqual([["on its way", "waits"], ["last"]]);
});

test("a half-closed link ends when the other thread has been silent for as long as other links wait", () => {
  vi.useFakeTimers();
  try {
    const [one, two] = pair({ send: 10, receive: 10 });
    one.link.halfClose();
    vi.advanceTimersByTime(HANG_UP_TIMEOUT - 1);
    two.pipe.send("busy until now", 0, undefined);
    two.pipe.flush();
    one.port.deliver();
    one.link.halfClose();
    vi.advanceTimersByTime(HANG_UP_TIMEOUT - 1);
    expect(one.ends).toEqual([]);
    vi.advanceTimersByTime(1);
    expect([one.ends, one.port.closed, takeAll(one)]).toEqual([["local"], true, ["busy until now"]]);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test("in every schedule nothing is lost, doubled or out of order, and the queue stays within both marks", () => {
  const mark = fc.integer({ min: 1, max: 9 });
  const step = fc.record({
    how: fc.constantFrom("send", "send", "flush", "deliver", "take", "takeAll"),
    who: fc.integer({ min: 0, max: 1 }),
    count: fc.integer({ min: 1, max: 12 }),
  });
  forAll(
    [fc.array(mark, { minLength: 4, maxLength: 4 }), fc.array(step, { maxLength: 80 })],
    { numRuns: 2_000, defaultRuns: 300 },
    (marks, steps) => {
      const [a = 1, b = 1, c = 1, d = 1] = marks;
      const sides = pair({ send: a, receive: b }, { send: c, receive: d });
      const most = [a + d, c + b];
      const sent = [0, 0];
      const got: string[][] = [[], []];
      const send = (who: number): boolean => {
        const { pipe } = sides[who] as Side;
        if (!pipe.hasRoom()) return false;
        pipe.send(String(sent[who]), 0, undefined);
        sent[who] = (sent[who] as number) + 1;
        return true;
      };
      for (const { how, who, count } of steps) {
        const [mine, theirs] = [sides[who] as Side, sides[1 - who] as Side];
        if (how === "send") for (let i = 0; i < count; i++) send(who);
        else if (how === "flush") mine.pipe.flush();
        else if (how === "deliver") mine.port.deliver();
        else if (how === "take" && mine.pipe.in.messages > 0) got[who]?.push(String(mine.pipe.take()));
        else if (how === "takeAll") got[who]?.push(...takeAll(mine));
        const waiting = (sent[who] as number) - (got[1 - who] as string[]).length;
        expect(waiting).toBeLessThanOrEqual(most[who] as number);
        expect(mine.link.ahead).toBeGreaterThanOrEqual(theirs.pipe.in.messages);
      }
      // No sender waits forever: when all was taken, there is room again.
      for (const who of [0, 1]) {
        const [mine, theirs] = [sides[who] as Side, sides[1 - who] as Side];
        mine.pipe.flush();
        settle(...sides);
        got[1 - who]?.push(...takeAll(theirs));
        settle(...sides);
        expect(mine.pipe.mute).toBe(false);
        expect(send(who)).toBe(true);
        mine.pipe.flush();
        settle(...sides);
        got[1 - who]?.push(...takeAll(theirs));
        expect(got[1 - who]).toEqual(Array.from({ length: sent[who] as number }, (_, i) => String(i)));
      }
    },
  );
});
