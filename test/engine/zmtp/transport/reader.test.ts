/** Where bytes that come are put. */
import { describe, expect, it } from "vitest";
import { InStream } from "../../../../src/engine/zmtp/codec/in-stream.js";
import type { PooledBuffer } from "../../../../src/engine/zmtp/codec/pooled-buffer.js";
import type { ByteStream } from "../../../../src/engine/zmtp/transport/byte-stream.js";
import { Reader, type Sink } from "../../../../src/engine/zmtp/transport/reader.js";
import { encodeFrame } from "../codec/support.js";

const socket = { on: () => undefined } as unknown as ByteStream;

/** What a sink got of reads that filled all they were given, from the second on, which is the first bulk read. */
function bulkReads(headroom: Sink["headroom"], count: number): { bytes: Buffer; pooled: PooledBuffer }[] {
  const got: { bytes: Buffer; pooled: PooledBuffer | undefined }[] = [];
  const reader = new Reader();
  reader.start(socket, {
    ...(headroom === undefined ? {} : { headroom }),
    sinkOnBytes: (bytes, _length, _kept, pooled) => void got.push({ bytes, pooled }),
    sinkOnEnd: () => undefined,
  });
  for (let i = 0; i <= count; i++) {
    const bytes = reader.onread.buffer();
    reader.onread.callback(bytes.length, bytes);
  }
  expect(got.shift()?.pooled).toBeUndefined();
  return got as { bytes: Buffer; pooled: PooledBuffer }[];
}

describe("a bulk read", () => {
  it("leaves as much room in front as its sink wants, in memory of its own", () => {
    const sizes: number[] = [];
    const reads = bulkReads((size) => {
      sizes.push(size);
      return 100;
    }, 3);
    expect(reads).toHaveLength(3);
    for (const { bytes, pooled } of reads) {
      expect(bytes.buffer).toBe(pooled.bytes.buffer);
      expect(bytes.byteOffset - pooled.bytes.byteOffset).toBe(100);
      expect(bytes.length).toBeGreaterThanOrEqual(sizes[0] as number);
    }
    expect(new Set(sizes)).toEqual(new Set([65_536]));
  });

  it("leaves none for others", () => {
    for (const { bytes, pooled } of bulkReads(undefined, 2)) expect(bytes).toBe(pooled.bytes);
  });
});

describe("large messages, of a kernel that has them all", () => {
  it.each([
    65_536, 1_048_576,
  ])("of %i bytes take one read each, and their beginnings alone are copied", (size) => {
    const messages = 40;
    const body = Buffer.alloc(size, "L");
    const message = (i: number): Buffer[] => [
      ...(i % 2 === 0 ? [] : [encodeFrame({ flags: 1, body: Buffer.from("topic") })]),
      encodeFrame({ flags: 0, body }),
    ];
    const wire = Buffer.concat(Array.from({ length: messages }, (_, i) => message(i)).flat());
    const stream = new InStream(-1, () => undefined);
    const reader = new Reader();
    let [direct, copied] = [0, 0];
    reader.start(socket, {
      readTarget: () => stream,
      sinkFilled: (length) => {
        direct += length;
        expect(stream.filled(length)).toBeUndefined();
      },
      sinkOnBytes: (bytes, length, kept, pooled) => {
        copied += length;
        const fault = kept ? stream.push(bytes, 0, length, pooled) : stream.pushShared(bytes, length);
        expect(fault).toBeUndefined();
      },
      sinkOnEnd: () => undefined,
    });
    let reads = 0;
    for (let at = 0; at < wire.length; reads++) {
      const target = reader.onread.buffer();
      const length = wire.copy(target, 0, at, Math.min(wire.length, at + target.length));
      reader.onread.callback(length, target);
      at += length;
    }
    expect(stream.messages).toBe(messages);
    // The first begins in a read of 64 KiB, and the read behind it is of 8 KiB, since nothing is known of the next.
    expect(reads).toBeLessThanOrEqual(messages + 2);
    expect([direct + copied, copied <= 65_536 + 8_192]).toEqual([wire.length, true]);
    for (let i = 0; i < messages; i++) {
      const frames = stream.take();
      expect([frames.length, frames.at(-1)?.equals(body)]).toEqual([1 + (i % 2), true]);
    }
    expect([stream.bytes, stream.unfinished]).toEqual([0, 0]);
  });
});
