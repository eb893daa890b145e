import { expect, test } from "vitest";
import type { OutgoingFrame, OutgoingMessage } from "../../../../src/engine/engine.js";
import { BY_REFERENCE, copying, Encoder, SLAB_SIZE } from "../../../../src/engine/zmtp/codec/encoder.js";
import { OutQueue } from "../../../../src/engine/zmtp/codec/out-queue.js";

import fc from "../../../support/properties.js";
import { decodeFrames, encodeFrame } from "./support.js";

/** What the encoder holds, as bytes. */
function bytesOf(encoder: Encoder): Buffer {
  if (encoder.parts === undefined)
    return Buffer.from(encoder.slab.bytes.subarray(encoder.start, encoder.end));
  return Buffer.concat(encoder.parts.map(({ bytes, start, end }) => bytes.subarray(start, end)));
}

function expected(frames: readonly OutgoingFrame[]): Buffer {
  return Buffer.concat(
    frames.map((frame, i) =>
      encodeFrame({ flags: i < frames.length - 1 ? 1 : 0, body: Buffer.from(frame as string) }),
    ),
  );
}

/** Each of another content, so that a byte in the wrong place shows. */
let seed = 0;
function filled(size: number): Buffer {
  seed += 1;
  return Buffer.alloc(size, seed % 251);
}

const frame = fc.oneof(
  { weight: 4, arbitrary: fc.nat(300).map(filled) },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 120 }) },
  { weight: 1, arbitrary: fc.integer({ min: 5_000, max: BY_REFERENCE - 1 }).map(filled) },
  { weight: 1, arbitrary: fc.integer({ min: BY_REFERENCE - 1, max: 2 * SLAB_SIZE }).map(filled) },
);

const make = () => ({ encoder: new Encoder(), queue: new OutQueue() });

test("a message is the frames' bytes one after the other, whatever their sizes and whatever came before", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          frames: fc.array(frame, { minLength: 1, maxLength: 8 }),
          prefix: fc.option(fc.array(frame, { minLength: 1, maxLength: 2 }), { freq: 3, nil: undefined }),
          drop: fc.boolean(),
          leave: fc.boolean(),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      (messages) => {
        const { encoder, queue } = make();
        const wire: Buffer[] = [];
        const left: Buffer[] = [];
        for (const { frames, prefix, drop, leave } of messages) {
          const single = prefix === undefined && frames.length === 1;
          const message = (single ? frames[0] : frames) as OutgoingMessage;
          encoder.encode(message, 0, prefix);
          const bytes = expected([...(prefix ?? []), ...frames]);
          expect(bytesOf(encoder).equals(bytes)).toBe(true);
          expect(encoder.length).toBe(bytes.length);
          // A publisher without subscribers encodes what nobody takes.
          if (!drop) {
            queue.add(encoder, 1);
            wire.push(bytes);
          }
          if (leave) {
            left.push(...queue.take(Number.POSITIVE_INFINITY).map(copyOf));
            queue.confirm();
          }
        }
        left.push(...queue.take(Number.POSITIVE_INFINITY).map(copyOf));
        queue.confirm();
        encoder.close();
        expect(Buffer.concat(left).equals(Buffer.concat(wire))).toBe(true);
      },
    ),
    { numRuns: 400, defaultRuns: 80 },
  );
});

function copyOf({ bytes, start, end }: { bytes: Uint8Array; start: number; end: number }): Buffer {
  return Buffer.from(bytes.subarray(start, end));
}

test("a body goes by reference from 16 KiB on, and is copied below", () => {
  const encoder = new Encoder();
  const large = filled(BY_REFERENCE);
  encoder.encode(large, 0, undefined);
  expect(encoder.parts?.some(({ bytes }) => bytes === large)).toBe(true);
  const small = filled(BY_REFERENCE - 1);
  encoder.encode(small, 0, undefined);
  expect(encoder.parts).toBeUndefined();
  const before = Buffer.from(bytesOf(encoder));
  small.fill(0);
  expect(bytesOf(encoder).equals(before)).toBe(true);
});

test("encoders that come and go never share memory that waits", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ who: fc.nat(3), how: fc.constantFrom("send", "send", "send", "leave", "end") }), {
        maxLength: 150,
      }),
      (steps) => {
        const pairs = Array.from({ length: 4 }, () => ({
          encoder: new Encoder(),
          queue: new OutQueue(),
          waits: [] as Buffer[],
        }));
        for (const { who, how } of steps) {
          const pair = pairs[who] as (typeof pairs)[number];
          if (how === "send") {
            const body = filled(9_000);
            pair.encoder.encode([body, body], 0, undefined);
            pair.queue.add(pair.encoder, 1);
            pair.waits.push(body, body);
            continue;
          }
          const out = Buffer.concat(pair.queue.take(Number.POSITIVE_INFINITY).map(copyOf));
          const got = decodeFrames(out).map(({ body }) => body);
          expect(got.length).toBe(pair.waits.length);
          expect(got.every((body, i) => pair.waits[i]?.equals(body) === true)).toBe(true);
          pair.queue.confirm();
          pair.waits.length = 0;
          if (how === "end") {
            pair.encoder.close();
            pair.encoder = new Encoder();
          }
        }
      },
    ),
    { numRuns: 150, defaultRuns: 30 },
  );
});

test("a message is copied though another one was within its call, and not after it", () => {
  const encoder = new Encoder();
  const body = filled(BY_REFERENCE);
  const isCopied = (): boolean => {
    encoder.encode(body, 0, undefined);
    return encoder.parts?.at(-1)?.bytes !== body;
  };
  expect(
    copying(() => {
      copying(isCopied);
      return isCopied();
    }),
  ).toBe(true);
  expect(isCopied()).toBe(false);
});
