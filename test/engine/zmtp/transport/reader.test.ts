/** Where bytes that come are put. */
import { describe, expect, it } from "vitest";
import type { PooledBuffer } from "../../../../src/engine/zmtp/codec/pooled-buffer.js";
import type { ByteStream } from "../../../../src/engine/zmtp/transport/byte-stream.js";
import { Reader, type Sink } from "../../../../src/engine/zmtp/transport/reader.js";

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
