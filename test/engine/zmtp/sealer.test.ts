import { expect, test } from "vitest";
import { Encoder } from "../../../src/engine/zmtp/codec/encoder.js";
import { InStream } from "../../../src/engine/zmtp/codec/in-stream.js";
import { OutQueue } from "../../../src/engine/zmtp/codec/out-queue.js";
import type { FrameCipher } from "../../../src/engine/zmtp/mechanism/mechanism.js";
import { Sealer } from "../../../src/engine/zmtp/sealer.js";
import fc from "../../support/properties.js";
import { decodeFrames, decodeStream, frameStream } from "./codec/support.js";

/** Sealed: a counter, the flags, the body with its bits turned over. Anything but the next counter is a fault. */
function toyCipher(): FrameCipher {
  let [sent, received] = [0, 0];
  return {
    sealedLength: (length) => length + 2,
    seal(flags, body, target, offset) {
      target[offset] = sent++ & 0xff;
      target[offset + 1] = flags;
      for (let i = 0; i < body.length; i++) target[offset + 2 + i] = (body[i] as number) ^ 0xff;
    },
    plainLength: (length) => length - 2,
    open(sealed, from, to, plain, at) {
      if (to - from < 2 || sealed[from] !== (received++ & 0xff))
        return { kind: "protocol", code: "ERR_ZMTP_CRYPTOGRAPHIC", message: "the counter is not the next" };
      for (let i = 2; i < to - from; i++) plain[at - 1 + i] = (sealed[from + i] as number) ^ 0xff;
      return sealed[from + 1] as number;
    },
  };
}

function queueOf(bytes: Buffer) {
  const [encoder, queue] = [new Encoder(), new OutQueue()];
  if (bytes.length === 0) return [];
  encoder.encodeRaw(bytes);
  queue.add(encoder, 0);
  return queue.take(Number.POSITIVE_INFINITY);
}

function receiver(maxMessageSize = -1) {
  const commands: string[] = [];
  const stream = new InStream(maxMessageSize, (body) => commands.push(body.toString("hex")));
  const sealer = new Sealer(toyCipher());
  const all = (): string[][] => {
    const messages: string[][] = [];
    while (stream.messages > 0) messages.push(stream.take().map((frame) => frame.toString("hex")));
    return messages;
  };
  return { stream, sealer, commands, all };
}

test("what one side seals the other opens, cut anywhere", () => {
  fc.assert(
    fc.property(
      fc.array(frameStream, { maxLength: 3 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (streams, borders) => {
        const sender = new Sealer(toyCipher());
        const wire = Buffer.concat(streams.map((bytes) => sender.seal(queueOf(bytes))));
        const { stream, sealer, commands, all } = receiver();
        const at = [...new Set(borders.map((border) => border % (wire.length + 1)))].sort((a, b) => a - b);
        let from = 0;
        for (const to of [...at, wire.length]) {
          expect(sealer.open(Buffer.from(wire.subarray(from, to)), stream)).toBeUndefined();
          from = to;
        }
        expect({ messages: all(), commands }).toEqual(decodeStream(Buffer.concat(streams)));
      },
    ),
    { numRuns: 800 },
  );
});

test("on the wire there are message frames only: flags 00, or LONG", () => {
  for (const bytes of fc.sample(frameStream, { numRuns: 50, seed: 3 })) {
    const wire = new Sealer(toyCipher()).seal(queueOf(bytes));
    expect(decodeFrames(wire).every(({ flags }) => flags === 0)).toBe(true);
    expect(decodeFrames(wire)).toHaveLength(decodeFrames(bytes).length);
  }
});

test("a broken seal is a fault, and what came whole before it stays", () => {
  const bytes = Buffer.from("000161000162000163", "hex");
  const wire = new Sealer(toyCipher()).seal(queueOf(bytes));
  wire[2 * 5 + 2] = 0x77; // The counter of the third.
  const { stream, sealer, all } = receiver();
  expect(sealer.open(wire, stream)).toMatchObject({ kind: "protocol" });
  expect(all()).toEqual([["61"], ["62"]]);
});

test("nothing is kept of a frame that began behind a command which ended the connection", () => {
  const sender = new Sealer(toyCipher());
  const stream: InStream = new InStream(-1, () => stream.cut());
  const sealer = new Sealer(toyCipher());
  const command = sender.seal(queueOf(Buffer.from("0402016b", "hex")));
  const begun = Buffer.from("0200000000000003e8000000", "hex");
  expect(sealer.open(Buffer.concat([command, begun]), stream)).toBeUndefined();
  expect(sealer.open(sender.seal(queueOf(Buffer.from("000161", "hex"))), stream)).toBeUndefined();
  expect(stream.messages).toBe(1);
});

test("reserved bits on the wire, and sizes past the limit, are faults as without encryption", () => {
  expect(receiver().sealer.open(Buffer.of(0x80, 0), receiver().stream)).toBe("reserved-bits");
  const large = Buffer.concat([Buffer.of(0, 101), Buffer.alloc(101)]);
  const { stream, sealer } = receiver(100);
  expect(sealer.open(new Sealer(toyCipher()).seal(queueOf(large)), stream)).toBe("too-long");
  const huge = receiver(100);
  expect(huge.sealer.open(Buffer.from("027fffffffffffffff", "hex"), huge.stream)).toBe("too-long");
});
