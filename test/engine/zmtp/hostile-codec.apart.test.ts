/** What a peer's bytes can do to what a pipe receives, in memory. What they are read as: codec/in-stream.apart.test.ts. */
import { expect, it } from "vitest";
import { COMMAND, MORE } from "../../../src/engine/frame.js";
import { InStream } from "../../../src/engine/zmtp/codec/in-stream.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { encodeFrame } from "./codec/support.js";

const MIB = 1_048_576;

const frame = (flags: number, body: Uint8Array | string): Buffer =>
  encodeFrame({ flags, body: Buffer.from(body as string) });

function stream(maxMessageSize = -1, onCommand: (body: Buffer) => void = () => undefined): InStream {
  return new InStream(maxMessageSize, onCommand);
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

it("a declared length takes no memory before its bytes come, beyond one MiB", async () => {
  const size = await held(() => {
    const streams = Array.from({ length: 20 }, () => stream(64 * MIB));
    for (const each of streams) each.push(Buffer.from("020000000004000000", "hex"));
    return streams;
  });
  expect(size).toBeLessThan(21 * MIB);
});

it("many small pieces of a long frame take its length, not an object each", async () => {
  const count = 200_000;
  const size = await held(() => {
    const one = stream(64 * MIB);
    one.push(Buffer.from("020000000003ffff00", "hex"));
    for (let i = 0; i < count; i++) one.push(new Uint8Array(1));
    return one;
  });
  expect(size).toBeLessThan(2 * MIB);
});

it("endless MORE frames do not keep the commands between them", async () => {
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

it("commands between frames may empty the queue, or end it, in the middle of a chunk", () => {
  for (const act of ["clear", "cut"] as const) {
    const one: InStream = stream(-1, () => void one[act]());
    one.push(Buffer.concat([frame(0, "1"), frame(COMMAND, "\u0001x"), frame(0, "2"), frame(0, "3")]));
    const texts = Array.from({ length: one.messages }, () => String(one.take()));
    expect(texts).toEqual(act === "clear" ? ["2", "3"] : ["1", "2", "3"]);
  }
});
