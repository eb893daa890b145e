import { expect, test } from "vitest";
import { Encoder } from "../../../../src/engine/zmtp/codec/encoder.js";
import { OutQueue } from "../../../../src/engine/zmtp/codec/out-queue.js";
import { framesOf } from "../../../../src/engine/zmtp/mechanism/sealer.js";
import fc from "../../../support/properties.js";

const size = fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(16_383, 16_384, 70_000, 262_144));

test("what the queue gives, a large body by reference, too, comes out frame by frame", () => {
  fc.assert(
    fc.property(fc.array(fc.array(size, { minLength: 1, maxLength: 9 }), { maxLength: 5 }), (messages) => {
      const [encoder, queue] = [new Encoder(), new OutQueue()];
      const bodies = messages.map((sizes) => sizes.map((length, i) => Buffer.alloc(length, i + 1)));
      for (const frames of bodies) {
        encoder.encode(frames, 0, undefined);
        queue.add(encoder, 1);
      }
      const frames = [];
      while (queue.length > 0) {
        frames.push(...framesOf(queue.take(1)).map(({ flags, body }) => [flags, body.length, body[0]]));
        queue.confirm();
      }
      expect(frames).toEqual(
        bodies.flatMap((all) =>
          all.map((body, i) => [i < all.length - 1 ? 1 : 0, body.length, body[0]] as const),
        ),
      );
    }),
    { numRuns: 500, defaultRuns: 60 },
  );
});

test("a large body is read where the program has it", () => {
  const [encoder, queue] = [new Encoder(), new OutQueue()];
  const body = Buffer.alloc(70_000);
  encoder.encode(["head", body], 0, undefined);
  queue.add(encoder, 1);
  expect(framesOf(queue.take(1)).some((frame) => frame.body.buffer === body.buffer)).toBe(true);
});
