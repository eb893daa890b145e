import { expect, test } from "vitest";
import { Encoder } from "../../../../src/engine/zmtp/codec/encoder.js";
import { OutQueue, Segment } from "../../../../src/engine/zmtp/codec/out-queue.js";
import { FrameReader } from "../../../../src/engine/zmtp/mechanism/sealer.js";
import fc from "../../../support/properties.js";
import { decodeFrames, frameStream } from "./support.js";

const segmentOf = (bytes: Uint8Array): Segment => new Segment(undefined, bytes, 0, bytes.length, 0, 0, true);
const asText = (frames: readonly { flags: number; body: Uint8Array }[]): string[] =>
  frames.map(({ flags, body }) => `${flags}:${Buffer.from(body).toString("hex")}`);

test("frames come whole out of segments cut anywhere, each read whenever", () => {
  fc.assert(
    fc.property(
      frameStream,
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.boolean(),
      (bytes, borders, atOnce) => {
        const at = [...new Set(borders.map((border) => border % (bytes.length + 1)))].sort((a, b) => a - b);
        const segments: Segment[] = [];
        let from = 0;
        for (const to of [...at, bytes.length]) {
          segments.push(segmentOf(Buffer.from(bytes.subarray(from, to))));
          from = to;
        }
        const reader = new FrameReader();
        const frames = atOnce
          ? asText(reader.read(segments))
          : segments.flatMap((segment) => {
              const read = asText(reader.read([segment]));
              segment.bytes.fill(0xee); // Its memory is used again.
              return read;
            });
        expect(frames).toEqual(asText(decodeFrames(bytes)));
      },
    ),
    { numRuns: 1_500, defaultRuns: 150 },
  );
});

test("what the queue gives, a large body by reference, too, comes out frame by frame", () => {
  const [encoder, queue, reader] = [new Encoder(), new OutQueue(), new FrameReader()];
  const sizes = [0, 1, 255, 256, 16_383, 16_384, 70_000, 262_144, 3];
  const bodies = sizes.map((size, i) => Buffer.alloc(size, i + 1));
  encoder.encode(bodies, 0, undefined);
  queue.add(encoder, 1);
  const frames = reader.read(queue.take(1));
  expect(frames.map(({ flags, body }) => [flags, body.length, body[0]])).toEqual(
    bodies.map((body, i) => [i < bodies.length - 1 ? 1 : 0, body.length, body[0]]),
  );
  expect(frames.some(({ body }) => body.buffer === (bodies[6] as Buffer).buffer)).toBe(true);
});
