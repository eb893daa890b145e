import { expect, test } from "vitest";
import { Encoder } from "../../../../src/engine/zmtp/codec/encoder.js";
import { OutQueue } from "../../../../src/engine/zmtp/codec/out-queue.js";
import { framesOf } from "../../../../src/engine/zmtp/mechanism/sealer.js";

test("a large body is read where the program has it", () => {
  const [encoder, queue] = [new Encoder(), new OutQueue()];
  const body = Buffer.alloc(70_000);
  encoder.encode(["head", body], 0, undefined);
  queue.add(encoder, 1);
  expect(framesOf(queue.take(1)).some((frame) => frame.body.buffer === body.buffer)).toBe(true);
});
