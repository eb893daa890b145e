import { describe, expect, test, vi } from "vitest";
import { Encoder } from "../../../../src/engine/zmtp/codec/encoder.js";
import { InStream } from "../../../../src/engine/zmtp/codec/in-stream.js";
import { OutQueue } from "../../../../src/engine/zmtp/codec/out-queue.js";
import type { CurveBox } from "../../../../src/engine/zmtp/mechanism/curve-box.js";
import { Sealer } from "../../../../src/engine/zmtp/mechanism/curve-cipher.js";
import fc, { forAll } from "../../../support/properties.js";
import { decodeFrames, decodeStream, encodeFrame, frameStream } from "../codec/support.js";
import { LIBSODIUM, NOBLE } from "./support.js";

/** A side of CURVE whose short frames go through libsodium's memory, or one whose frames do not. */
function sealerOf(box: CurveBox, isServer: boolean, key = 7): Sealer {
  return new Sealer(box, Buffer.alloc(32, key), isServer, 2, Buffer.alloc(8));
}

function queueOf(bytes: Buffer) {
  const [encoder, queue] = [new Encoder(), new OutQueue()];
  if (bytes.length === 0) return [];
  encoder.encodeRaw(bytes);
  queue.add(encoder, 0);
  return queue.take(Number.POSITIVE_INFINITY);
}

function seal(sealer: Sealer, plain: Buffer): Buffer {
  return Buffer.concat(
    sealer.seal(queueOf(plain)).map(({ bytes, start, end }) => bytes.subarray(start, end)),
  );
}

function receiver(maxMessageSize = -1) {
  const commands: string[] = [];
  const stream = new InStream(maxMessageSize, (body) => commands.push(body.toString("hex")));
  const sealer = sealerOf(NOBLE, true);
  const all = (): string[][] => {
    const messages: string[][] = [];
    while (stream.messages > 0) messages.push(stream.take().map((frame) => frame.toString("hex")));
    return messages;
  };
  return { stream, sealer, commands, all };
}

/** What a side that reads got of a stream of frames. */
interface Opened extends ReturnType<typeof decodeStream> {
  readonly fault: unknown;
}

/** Gives a sealer a wire in pieces. */
function openPieces(sealer: Sealer, wire: Buffer, cuts: readonly number[]): Opened {
  const { stream, commands, all } = receiver();
  let fault: unknown;
  for (const [i, from] of [0, ...cuts].entries()) {
    fault ??= sealer.open(Buffer.from(wire.subarray(from, cuts[i] ?? wire.length)), stream);
  }
  return { messages: all(), commands, fault };
}

test("on the wire there are message frames only: flags 00, or LONG", () => {
  for (const bytes of fc.sample(frameStream, { numRuns: 50, seed: 3 })) {
    const wire = seal(sealerOf(NOBLE, false), bytes);
    expect(decodeFrames(wire).every(({ flags }) => flags === 0)).toBe(true);
    expect(decodeFrames(wire)).toHaveLength(decodeFrames(bytes).length);
  }
});

test("nothing is kept of a frame that began behind a command which ended the connection", () => {
  const sender = sealerOf(NOBLE, false);
  const stream: InStream = new InStream(-1, () => stream.cut());
  const sealer = sealerOf(NOBLE, true);
  const command = seal(sender, Buffer.from("0402016b", "hex"));
  const begun = Buffer.from("0200000000000003e8000000", "hex");
  expect(sealer.open(Buffer.concat([command, begun]), stream)).toBeUndefined();
  expect(sealer.open(seal(sender, Buffer.from("000161", "hex")), stream)).toBeUndefined();
  expect(stream.messages).toBe(1);
});

test("reserved bits on the wire, and sizes past the limit, are faults as without encryption", () => {
  expect(receiver().sealer.open(Buffer.of(0x80, 0), receiver().stream)).toBe("reserved-bits");
  const large = Buffer.concat([Buffer.of(0, 101), Buffer.alloc(101)]);
  const { stream, sealer } = receiver(100);
  expect(sealer.open(seal(sealerOf(NOBLE, false), large), stream)).toBe("too-long");
  const huge = receiver(100);
  expect(huge.sealer.open(Buffer.from("027fffffffffffffff", "hex"), huge.stream)).toBe("too-long");
});

test("what earlier frames of a message leave of the limit bounds the next one before it has come", () => {
  const body = Buffer.alloc(150_000);
  const plain = Buffer.concat([encodeFrame({ flags: 1, body }), encodeFrame({ flags: 0, body })]);
  const wire = seal(sealerOf(NOBLE, false), plain);
  const { stream, sealer } = receiver(200_000);
  expect(sealer.open(wire.subarray(0, 160_000), stream)).toBe("too-long");
});

test("a frame for whose text the process has no memory is a fault, and throws nothing", () => {
  const wire = seal(sealerOf(NOBLE, false), encodeFrame({ flags: 0, body: Buffer.alloc(150_000) }));
  const { stream, sealer } = receiver();
  const allocate = Buffer.allocUnsafeSlow;
  const spy = vi.spyOn(Buffer, "allocUnsafeSlow").mockImplementation((size) => {
    if (size === 150_009) throw new RangeError("Array buffer allocation failed");
    return allocate(size);
  });
  try {
    expect(sealer.open(wire, stream)).toBe("no-memory");
  } finally {
    spy.mockRestore();
  }
});

describe.each([
  ["sealed in a cipher's own memory, opened frame by frame", LIBSODIUM, NOBLE],
  ["sealed frame by frame, opened in a cipher's own memory", NOBLE, LIBSODIUM],
  ["both in it", LIBSODIUM, LIBSODIUM],
] as const)("%s:", (_, one, other) => {
  const opened = (wire: Buffer, cuts: readonly number[]): Opened =>
    openPieces(sealerOf(other, true), wire, cuts);

  test("what one side seals the other opens, cut anywhere", () => {
    forAll(
      [fc.array(frameStream, { maxLength: 3 }), fc.array(fc.nat(), { maxLength: 12 })],
      { numRuns: 300, defaultRuns: 40 },
      (streams, borders) => {
        const sender = sealerOf(one, false);
        const wire = Buffer.concat(streams.map((bytes) => seal(sender, bytes)));
        const cuts = [...new Set(borders.map((at) => at % (wire.length + 1)))].sort((a, b) => a - b);
        expect(opened(wire, cuts)).toEqual({ ...decodeStream(Buffer.concat(streams)), fault: undefined });
      },
    );
  });

  test("frames that do not fit it together, with long ones between", () => {
    const sizes = [
      ...Array<number>(4_000).fill(0), // 140,000 bytes sealed, 8,000 plain.
      ...[70_000, 3, 32_768, 32_769, 32_768, 200, 255, 256, 32_768],
      ...Array<number>(300).fill(60),
    ];
    const frames = sizes.map((size, i) => ({ flags: 0, body: Buffer.alloc(size, i) }));
    const plain = Buffer.concat(frames.map((frame) => encodeFrame(frame)));
    const wire = seal(sealerOf(one, false), plain);
    const expected = decodeStream(plain).messages.join();
    for (const cuts of [[], [1, 2, 3, 40, 41, 65_536, 131_072, 196_608]]) {
      const { messages, fault } = opened(wire, cuts);
      expect(fault).toBeUndefined();
      expect(messages.length).toBe(sizes.length);
      expect(messages.join() === expected).toBe(true);
    }
  });

  test("a damaged frame is a fault, and those before it stay", () => {
    const frames = Array.from({ length: 8 }, (_, i) => ({ flags: 0, body: Buffer.alloc(40 * i, i) }));
    const plain = Buffer.concat(frames.map((frame) => encodeFrame(frame)));
    const wire = seal(sealerOf(one, false), plain);
    const whole = decodeStream(plain).messages;
    for (const [i, { body, end }] of decodeFrames(wire).entries()) {
      for (const at of [end - body.length, end - body.length + 8, end - 17, end - 1]) {
        const damaged = Buffer.from(wire);
        damaged.writeUInt8(damaged.readUInt8(at) ^ 0x80, at);
        const { messages, fault } = opened(damaged, []);
        expect(fault).toMatchObject({ kind: "protocol" });
        expect(messages).toEqual(whole.slice(0, i));
      }
    }
  });

  test("a sealed frame too short for a box is a fault", () => {
    for (const length of [0, 1, 7, 32]) {
      const wire = Buffer.concat([Buffer.of(0, length), Buffer.from("\x07MESSAGE"), Buffer.alloc(32)]);
      expect(opened(wire.subarray(0, 2 + length), []).fault).toMatchObject({ kind: "protocol" });
    }
  });
});

test("connections take turns in the memory that their ciphers share", () => {
  const body = (i: number) => Buffer.from([0, 3, 0x61, 0x62, i]);
  const pairs = [1, 2, 3].map((key) => {
    const side = (isServer: boolean) => sealerOf(LIBSODIUM, isServer, key);
    return { sender: side(false), ...receiver(), sealer: side(true) };
  });
  for (let i = 0; i < 3; i++) {
    const wires = pairs.map(({ sender }) => seal(sender, body(i)));
    for (const [at, { sealer, stream }] of pairs.entries()) {
      expect(sealer.open(wires[at] as Buffer, stream)).toBeUndefined();
    }
  }
  for (const { all } of pairs) expect(all()).toEqual([["616200"], ["616201"], ["616202"]]);
});
