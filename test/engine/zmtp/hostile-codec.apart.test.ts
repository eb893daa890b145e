/** What a peer's bytes can do to the queues of one pipe, in memory: sizes, borders, and what is kept of them. */
import { describe, expect, it } from "vitest";
import { MAX_FRAMES } from "../../../src/core/frame-cost.js";
import { COMMAND, LONG_HEADER, MORE, readLongSize, writeHeader } from "../../../src/engine/frame.js";
import { Encoder } from "../../../src/engine/zmtp/codec/encoder.js";
import { InStream } from "../../../src/engine/zmtp/codec/in-stream.js";
import { OutQueue } from "../../../src/engine/zmtp/codec/out-queue.js";
import { collectGarbage } from "../../support/collect-garbage.js";

const MIB = 1_048_576;

function frame(flags: number, body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body as string);
  const head = Buffer.alloc(LONG_HEADER);
  return Buffer.concat([head.subarray(0, writeHeader(head, 0, flags, bytes.length)), bytes]);
}

function stream(maxMessageSize = -1, onCommand: (body: Buffer) => void = () => undefined): InStream {
  return new InStream(maxMessageSize, onCommand);
}

function texts(from: InStream): string[] {
  const all: string[] = [];
  while (from.messages > 0) all.push(from.take().join("|"));
  return all;
}

/** Bytes that are held when `make` is done, beyond those before. */
async function held(make: () => unknown): Promise<number> {
  const before = await settledMemory();
  const kept = make();
  const after = await settledMemory();
  expect(kept).toBeDefined();
  return after - before;
}

/** What is in use when collecting finds no more: freed buffers are given back by another thread, a little later. */
async function settledMemory(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let unchanged = 0; unchanged < 5; ) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const { heapUsed, external } = process.memoryUsage();
    unchanged = heapUsed + external < least - 4_096 ? 0 : unchanged + 1;
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

describe("a declared length", () => {
  it.each([
    ["2^63-1", "027fffffffffffffff"],
    ["2^64-1", "02ffffffffffffffff"],
    ["2^53", "020020000000000000"],
    ["2^32, whose low word is 0", "020000000100000000"],
    ["2^31", "020000000080000000"],
    ["one more than the limit", "020000000000010001"],
  ])("of %s is refused before anything is kept for it", (_, header) => {
    const one = stream(65_536);
    expect(one.push(Buffer.from(header, "hex"))).toBe("too-long");
    const split = stream(65_536);
    const bytes = Buffer.from(header, "hex");
    let fault: unknown;
    for (const byte of bytes) fault ??= split.push(Buffer.of(byte));
    expect(fault).toBe("too-long");
  });

  it("past what one Buffer holds is refused without a limit, too", () => {
    expect(stream(-1).push(Buffer.from("027fffffffffffffff", "hex"))).toBe("too-long");
    expect(stream(Number.MAX_SAFE_INTEGER).push(Buffer.from("02001fffffffffffff", "hex"))).toBe("too-long");
  });

  it("takes no memory before its bytes come, beyond one MiB", async () => {
    const size = await held(() => {
      const streams = Array.from({ length: 20 }, () => stream(64 * MIB));
      for (const each of streams) each.push(Buffer.from("020000000004000000", "hex"));
      return streams;
    });
    expect(size).toBeLessThan(21 * MIB);
  });

  it("is read high word first, and refused past 2^53", () => {
    expect(readLongSize(Buffer.from("001fffffffffffff", "hex"), 0)).toBe(Number.MAX_SAFE_INTEGER);
    expect(readLongSize(Buffer.from("0020000000000000", "hex"), 0)).toBe(Number.POSITIVE_INFINITY);
    expect(readLongSize(Buffer.from("8000000000000001", "hex"), 0)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("many small pieces", () => {
  it("of a long frame take its length, not an object each", async () => {
    const count = 200_000;
    const size = await held(() => {
      const one = stream(64 * MIB);
      one.push(Buffer.from("020000000003ffff00", "hex"));
      for (let i = 0; i < count; i++) one.push(new Uint8Array(1));
      return one;
    });
    expect(size).toBeLessThan(2 * MIB);
  });

  it("come out as the frame they were cut from", () => {
    const body = Buffer.alloc(3 * MIB + 17, "0123456789abcdefg");
    const bytes = Buffer.concat([frame(MORE, "first"), frame(0, body)]);
    const one = stream(64 * MIB);
    for (let at = 0; at < bytes.length; at += 65_521) {
      expect(one.push(Buffer.from(bytes.subarray(at, at + 65_521)))).toBeUndefined();
    }
    const [first, second] = one.take();
    expect([String(first), second?.equals(body)]).toEqual(["first", true]);
  });
});

describe("endless MORE frames", () => {
  it("end at the number of frames, empty ones included", () => {
    const one = stream();
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => frame(MORE, "")));
    let pushes = 0;
    let fault: unknown;
    while (fault === undefined && pushes < 100) {
      fault = one.push(Buffer.from(many));
      pushes += 1;
    }
    expect([fault, pushes]).toEqual(["too-many-frames", Math.ceil((MAX_FRAMES + 1) / 1_000)]);
    expect(one.messages).toBe(0);
  });

  it("end at the size of a message, which all its frames share", () => {
    const one = stream(1_000);
    expect(one.push(frame(MORE, "x".repeat(600)))).toBeUndefined();
    expect(one.push(frame(MORE, "x".repeat(400)))).toBeUndefined();
    expect(one.push(frame(0, "x"))).toBe("too-long");
  });

  it("do not keep the commands between them", async () => {
    const pings = Buffer.concat(Array.from({ length: 6_000 }, () => frame(COMMAND, "\u0004PING\0\0")));
    const size = await held(() => {
      const one = stream();
      for (let i = 0; i < 200; i++) one.push(Buffer.concat([frame(MORE, "x"), pings]));
      for (let i = 0; i < 200; i++) {
        // The same, where the commands' end is what a chunk begins with.
        const chunk = Buffer.concat([frame(COMMAND, Buffer.alloc(60_000)), frame(MORE, "x")]);
        one.push(chunk.subarray(0, 5));
        one.push(Buffer.from(chunk.subarray(5)));
      }
      return one;
    });
    expect(size).toBeLessThan(2 * MIB);
  });
});

describe("reserved bits", () => {
  it.each([0x08, 0x10, 0x20, 0x40, 0x80, 0xfd])("%i in a frame's flags are refused", (flags) => {
    expect(stream().push(Buffer.of(flags, 0))).toBe("reserved-bits");
    expect(stream().push(Buffer.of(flags | COMMAND, 1, 65))).toBe("reserved-bits");
    const split = stream();
    split.push(Buffer.of(flags));
    expect(split.push(Buffer.alloc(8))).toBe("reserved-bits");
  });
});

describe("commands between frames", () => {
  const bytes = Buffer.concat([
    frame(MORE, "a"),
    frame(COMMAND, "\u0004PINGxx"),
    frame(MORE, ""),
    frame(COMMAND | MORE, "\u0004PONG"),
    frame(0, "b"),
    frame(0, "c"),
    frame(COMMAND, ""),
  ]);

  it("are no part of the message, wherever the chunks end", () => {
    for (let at = 0; at <= bytes.length; at++) {
      const names: string[] = [];
      const one = stream(-1, (body) => names.push(String(body.subarray(1, 5))));
      expect(one.push(Buffer.from(bytes.subarray(0, at)))).toBeUndefined();
      expect(one.push(Buffer.from(bytes.subarray(at)))).toBeUndefined();
      expect(texts(one)).toEqual(["a||b", "c"]);
      expect(names).toEqual(["PING", "PONG", ""]);
    }
  });

  it("find the messages before them there, for a listener that takes them", () => {
    const taken: string[] = [];
    const one: InStream = stream(-1, () => taken.push(...texts(one)));
    one.push(
      Buffer.concat([frame(0, "1"), frame(COMMAND, "\u0001x"), frame(0, "2"), frame(COMMAND, "\u0001x")]),
    );
    expect(taken).toEqual(["1", "2"]);
    expect(one.messages).toBe(0);
  });

  it("may empty the queue, or end it, in the middle of a chunk", () => {
    for (const act of ["clear", "cut"] as const) {
      const one: InStream = stream(-1, () => void one[act]());
      one.push(Buffer.concat([frame(0, "1"), frame(COMMAND, "\u0001x"), frame(0, "2"), frame(0, "3")]));
      expect(texts(one)).toEqual(act === "clear" ? ["2", "3"] : ["1", "2", "3"]);
    }
  });
});

describe("a message that is still arriving", () => {
  it("stays whole when the messages before it are thrown away", () => {
    const bytes = Buffer.concat([frame(0, "old"), frame(MORE, "a"), frame(MORE, "b"), frame(0, "c")]);
    for (let at = 5; at < bytes.length; at++) {
      const one = stream();
      one.push(Buffer.from(bytes.subarray(0, at)));
      expect(one.clear()).toBe(1);
      one.push(Buffer.from(bytes.subarray(at)));
      expect(texts(one)).toEqual(["a|b|c"]);
    }
  });

  it("is gone with its connection, and the next one's messages are whole", () => {
    const bytes = Buffer.concat([frame(0, "old"), frame(MORE, "a"), frame(MORE, "b"), frame(0, "c")]);
    for (let at = 5; at < bytes.length; at++) {
      const one = stream();
      one.push(Buffer.from(bytes.subarray(0, at)));
      one.cut();
      one.push(frame(0, "new"));
      expect(texts(one)).toEqual(["old", "new"]);
    }
  });
});

describe("what waits to go out", () => {
  const large = (fill: string): Buffer => Buffer.alloc(200_000, fill);

  function queue(...messages: (Buffer[] | string)[]): { out: OutQueue; encoder: Encoder } {
    const encoder = new Encoder();
    const out = new OutQueue();
    for (const message of messages) {
      encoder.encode(message, 0, undefined);
      out.add(encoder, 1);
    }
    return { out, encoder };
  }

  function wire(out: OutQueue): Buffer {
    const segments = out.take(Number.POSITIVE_INFINITY);
    return Buffer.concat(segments.map(({ bytes, start, end }) => bytes.subarray(start, end)));
  }

  it("begins with a whole message when a connection was lost in the middle of one", () => {
    const { out } = queue("s", [large("1"), large("2"), large("3")], "next");
    out.take(262_144);
    expect(out.lose()).toBe(2);
    expect(wire(out)).toEqual(frame(0, "next"));
  });

  it("begins so wherever the link takes its part", () => {
    for (let most = 1; most < 900_000; most += 33_331) {
      const { out } = queue(
        "s",
        [large("1"), large("2")],
        "m",
        [large("3"), Buffer.from("4"), large("5")],
        "next",
      );
      out.take(most);
      const lost = out.lose();
      const left = new InStream(-1, () => undefined);
      expect(left.push(wire(out))).toBeUndefined();
      expect(left.messages + lost).toBe(5);
      const frames = [1, 2, 1, 3, 1].slice(lost);
      expect(frames.map(() => left.take().length)).toEqual(frames);
    }
  });

  it("leaves no half message in flight when only the newest is to be kept", () => {
    const { out, encoder } = queue([large("1"), large("2"), large("3")]);
    const sent = Buffer.concat(out.take(262_144).map(({ bytes, start, end }) => bytes.subarray(start, end)));
    out.clearWaiting();
    out.confirm();
    encoder.encode("newest", 0, undefined);
    out.add(encoder, 1);
    const peer = new InStream(-1, () => undefined);
    peer.push(Buffer.concat([sent, wire(out)]));
    expect(peer.take()).toHaveLength(3);
    expect(peer.take().map(String)).toEqual(["newest"]);
  });
});
