import { describe, expect, test, vi } from "vitest";
import { FRAME_COST, MAX_FRAMES } from "../../../../src/core/memory.js";
import { BATCHES } from "../../../../src/engine/frame-batch.js";
import { InStream } from "../../../../src/engine/zmtp/codec/in-stream.js";
import fc, { forAll } from "../../../support/properties.js";
import { decodeFrames, decodeStream, encodeFrame, frameStream } from "./support.js";

function make(maxMessageSize = -1) {
  const commands: string[] = [];
  const stream = new InStream(maxMessageSize, (body) => commands.push(body.toString("hex")));
  const take = (): string[] => stream.take().map((frame) => frame.toString("hex"));
  const takeAll = (): string[][] => {
    const all: string[][] = [];
    while (stream.messages > 0) all.push(take());
    return all;
  };
  return { stream, commands, take, takeAll };
}

/** Cuts bytes into chunks of memory of their own, as a kernel would give them. */
function cut(bytes: Buffer, borders: readonly number[]): Buffer[] {
  const at = [...new Set(borders.map((border) => border % (bytes.length + 1)))].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const to of [...at, bytes.length]) {
    chunks.push(Buffer.from(bytes.subarray(from, to)));
    from = to;
  }
  return chunks;
}

/** The messages of a stream: where each ends, and what it costs, without commands in its middle. */
function messageCosts(bytes: Buffer): { end: number; cost: number }[] {
  const messages: { end: number; cost: number }[] = [];
  let cost = 0;
  for (const { flags, start, end } of decodeFrames(bytes)) {
    if ((flags & 4) !== 0) continue;
    cost += end - start + FRAME_COST;
    if ((flags & 1) !== 0) continue;
    messages.push({ end, cost });
    cost = 0;
  }
  return messages;
}

/** What the message costs that is not whole yet, of the first `length` bytes of a stream. */
function arriving(bytes: Buffer, length: number): number {
  let cost = 0;
  for (const { flags, start, end } of decodeFrames(bytes)) {
    if (start >= length) break;
    if (end > length) return cost + length - start;
    if ((flags & 4) !== 0) continue;
    cost = (flags & 1) === 0 ? 0 : cost + end - start + FRAME_COST;
  }
  return cost;
}

const frame = (text: string): Buffer => encodeFrame({ flags: 0, body: Buffer.from(text) });

describe("the stream", () => {
  test("it knows what the frames that wait cost, and those that are arriving, however they come and go", () => {
    const step = fc.record({
      border: fc.nat(),
      how: fc.nat(3),
      taken: fc.nat(3),
      as: fc.constantFrom("one", "encoded", "many"),
    });
    fc.assert(
      fc.property(frameStream, fc.array(step, { maxLength: 30 }), (bytes, steps) => {
        const { stream, take } = make();
        const costs = messageCosts(bytes);
        let [from, whole] = [0, 0];
        const at = steps.map(({ border }) => border % (bytes.length + 1)).sort((a, b) => a - b);
        for (const [i, { how, taken: most, as }] of steps.entries()) {
          const chunk = Buffer.from(bytes.subarray(from, at[i]));
          from = at[i] as number;
          const memory = how === 0 ? stream.memory() : undefined;
          if (memory !== undefined && memory.length >= chunk.length) {
            memory.set(chunk);
            stream.filled(chunk.length);
          } else if (how === 1) stream.pushShared(chunk, chunk.length);
          else stream.push(chunk);
          for (let n = 0; n < most && stream.messages > 0; n++) {
            if (as === "one") take();
            else if (as === "encoded") stream.takeBatch(BATCHES, 2, undefined);
            else stream.takeMany({ messages: [], bytes: 0, cost: 0 }, 2, 1_000, undefined, undefined);
          }
          const come = costs.filter(({ end }) => end <= from);
          const gone = come.length - stream.messages;
          whole = come.slice(gone).reduce((sum, { cost }) => sum + cost, 0);
          expect(stream.cost).toBe(whole);
          expect(stream.unfinished).toBe(arriving(bytes, from));
        }
        stream.cut();
        expect([stream.cost, stream.unfinished]).toEqual([whole, 0]);
        stream.clear();
        expect([stream.cost, stream.unfinished]).toEqual([0, 0]);
      }),
      { numRuns: 1_000, defaultRuns: 120 },
    );
  });

  test("frames of one message are counted, empty ones, too", () => {
    const { stream } = make();
    const more = Buffer.alloc(2 * MAX_FRAMES);
    for (let i = 0; i < more.length; i += 2) more[i] = 1;
    expect(stream.push(more)).toBeUndefined();
    expect(stream.push(Buffer.of(1, 0))).toBe("too-many-frames");
    expect(stream.messages).toBe(0);
  });

  test("when a connection is lost, whole messages stay and the rest is no part of the next connection's", () => {
    forAll(
      [frameStream, frameStream, fc.nat(), fc.array(fc.nat(), { maxLength: 8 })],
      { numRuns: 800, defaultRuns: 100 },
      (one, two, at, borders) => {
        const { stream, takeAll } = make();
        const first = one.subarray(0, at % (one.length + 1));
        for (const chunk of cut(Buffer.from(first), borders)) stream.push(chunk);
        const { messages: whole } = stream;
        stream.cut();
        expect(stream.messages).toBe(whole);
        for (const chunk of cut(two, borders)) expect(stream.push(chunk)).toBeUndefined();
        const kept = decodeStream(one).messages.slice(0, whole);
        expect(takeAll()).toEqual([...kept, ...decodeStream(two).messages]);
      },
    );
  });

  test("clearing throws whole messages away; the one that is arriving goes on", () => {
    fc.assert(
      fc.property(frameStream, fc.nat(), fc.array(fc.nat(), { maxLength: 8 }), (bytes, at, borders) => {
        const { stream, takeAll } = make();
        const middle = at % (bytes.length + 1);
        for (const chunk of cut(Buffer.from(bytes.subarray(0, middle)), borders)) stream.push(chunk);
        const gone = stream.clear();
        expect(stream.messages).toBe(0);
        stream.push(Buffer.from(bytes.subarray(middle)));
        expect(takeAll()).toEqual(decodeStream(bytes).messages.slice(gone));
      }),
      { numRuns: 800, defaultRuns: 100 },
    );
  });
});

test("what is taken without decoding is the same messages, whole, in batches as long as asked for", () => {
  fc.assert(
    fc.property(
      frameStream,
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1 }),
      (bytes, borders, turns) => {
        const { stream, take } = make();
        for (const chunk of cut(bytes, borders)) expect(stream.push(chunk)).toBeUndefined();
        const expected = decodeStream(bytes).messages;
        const messages: string[][] = [];
        for (let turn = 0; stream.messages > 0; turn++) {
          const most = turns[turn % turns.length] as number;
          if (most === 0) {
            messages.push(take());
            continue;
          }
          const before = stream.messages;
          const run = stream.takeBatch(BATCHES, most, undefined);
          expect(run.messages).toBeGreaterThan(0);
          expect(run.messages).toBeLessThanOrEqual(most);
          expect(stream.messages).toBe(before - run.messages);
          const wire = Buffer.from(run.bytes.subarray(run.start, run.end));
          const decoded = decodeStream(wire);
          expect(decoded.commands).toEqual([]);
          expect(decoded.messages).toHaveLength(run.messages);
          expect(run.tally).toEqual({
            bodyBytes: decoded.messages.flat().join("").length / 2,
            frames: decoded.messages.flat().length,
            mostFrames: Math.max(...decoded.messages.map((message) => message.length)),
          });
          expect(run.decode().map((frames) => frames.map((frame) => frame.toString("hex")))).toEqual(
            decoded.messages,
          );
          messages.push(...decoded.messages);
        }
        expect(messages).toEqual(expected);
      },
    ),
    { numRuns: 1_000, defaultRuns: 120 },
  );
});

const largeStream = fc
  .array(
    fc.oneof(
      frameStream,
      fc.integer({ min: 15_000, max: 90_000 }).map((size) => frame("L".repeat(size))),
    ),
    {
      maxLength: 5,
    },
  )
  .map((parts) => Buffer.concat(parts));

test("what comes in memory that is overwritten at once, or straight into a large frame, is the same stream", () => {
  fc.assert(
    fc.property(largeStream, fc.array(fc.nat(), { maxLength: 20 }), (bytes, borders) => {
      const { stream, commands, takeAll } = make();
      const shared = Buffer.alloc(bytes.length);
      for (const chunk of cut(bytes, borders)) {
        for (let from = 0; from < chunk.length; ) {
          const memory = stream.memory();
          const count = Math.min(chunk.length - from, memory?.length ?? shared.length);
          if (memory !== undefined) {
            memory.set(chunk.subarray(from, from + count));
            expect(stream.filled(count)).toBeUndefined();
          } else {
            chunk.copy(shared, 0, from, from + count);
            expect(stream.pushShared(shared, count)).toBeUndefined();
            shared.fill(0xff);
          }
          from += count;
        }
      }
      expect({ messages: takeAll(), commands }).toEqual(decodeStream(bytes));
    }),
    { numRuns: 500, defaultRuns: 100 },
  );
});

test("a read into a large frame brings small messages and commands behind it, and what is wrong with them", () => {
  const { stream, commands, takeAll } = make();
  const large = frame("L".repeat(100_000));
  const behind = [frame("a"), Buffer.from([4, 1, 7]), frame("b"), large, Buffer.from([0x80, 0])];
  const wire = Buffer.concat([large, ...behind]);
  const shared = Buffer.alloc(65_536);
  let fault: string | undefined;
  // As the kernel would that has all of it: as much at once as there is memory for.
  for (let at = 0; at < wire.length && fault === undefined; ) {
    const memory = stream.memory();
    const length = wire.copy(memory ?? shared, 0, at);
    fault = memory === undefined ? stream.pushShared(shared, length) : stream.filled(length);
    at += length;
  }
  expect(fault).toBe("reserved-bits");
  expect(commands).toEqual(["07"]);
  expect(takeAll().map(([text]) => (text as string).length / 2)).toEqual([100_000, 1, 1, 100_000]);
});

test("a frame of more than a mebibyte for whose first the process has no memory ends the connection, and throws nothing", () => {
  const MIB = 1_048_576;
  const large = (size: number): Buffer => {
    const header = Buffer.alloc(9, 2);
    header.writeBigUInt64BE(BigInt(size), 1);
    return header;
  };
  const { stream } = make();
  const spy = vi.spyOn(Buffer, "allocUnsafeSlow").mockImplementation(() => {
    throw new RangeError("Array buffer allocation failed");
  });
  try {
    expect(stream.push(large(100 * MIB))).toBe("no-memory");
    const behind = make().stream;
    expect(behind.push(Buffer.concat([Buffer.of(1, 0), large(MIB / 2), Buffer.alloc(100)]))).toBe(
      "no-memory",
    );
  } finally {
    spy.mockRestore();
  }
});
