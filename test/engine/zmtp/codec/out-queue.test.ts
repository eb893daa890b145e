import { describe, expect, test } from "vitest";
import { FRAME_COST } from "../../../../src/core/memory.js";
import { Encoder, FIRST_SLAB_SIZE } from "../../../../src/engine/zmtp/codec/encoder.js";
import { OutQueue } from "../../../../src/engine/zmtp/codec/out-queue.js";
import fc, { forAll } from "../../../support/properties.js";
import { decodeStream } from "./support.js";

const ALL = Number.POSITIVE_INFINITY;

function make() {
  const [encoder, queue] = [new Encoder(), new OutQueue()];
  const send = (...frames: (string | Uint8Array)[]): void => {
    encoder.encode(frames.length === 1 ? (frames[0] as string) : frames, 0, undefined);
    queue.add(encoder, 1);
  };
  const command = (bytes: Uint8Array): void => {
    encoder.encodeRaw(bytes);
    queue.add(encoder, 0);
  };
  const inFlight = (): Buffer =>
    Buffer.concat(queue.inFlight.map(({ bytes, start, end }) => bytes.subarray(start, end)));
  return { encoder, queue, send, command, inFlight };
}

test("what takes the place of another keeps its memory, which nobody else gets meanwhile", () => {
  const { encoder, queue, send, inFlight } = make();
  const first = FIRST_SLAB_SIZE - 100;
  send(Buffer.alloc(first));
  // Its head is the last that fits the slab, which the first alone refers to.
  encoder.encode([Buffer.alloc(50, "a"), Buffer.alloc(200, "b")], 0, undefined);
  expect(queue.replace(encoder, 1)).toBe(1);
  const others = Array.from({ length: 3 }, () => make());
  for (const other of others) other.send(Buffer.alloc(FIRST_SLAB_SIZE - 20, "x"));
  expect([queue.messages, queue.cost]).toEqual([1, encoder.length + 2 * FRAME_COST]);
  queue.take(ALL);
  expect(decodeStream(inFlight()).messages).toEqual([["61".repeat(50), "62".repeat(200)]]);
});

describe("the queue", () => {
  test("memory handed over is not written again, although nothing waits any more", () => {
    const { encoder, queue, send } = make();
    send("first");
    const [segment] = queue.take(ALL);
    queue.handOver();
    expect(queue.messages).toBe(0);
    const before = Buffer.from(segment?.bytes.subarray(segment.start, segment.end) as Uint8Array);
    send("second");
    expect(encoder.start).toBeGreaterThan(0);
    expect(
      Buffer.from(segment?.bytes.subarray(segment.start, segment.end) as Uint8Array).equals(before),
    ).toBe(true);
  });

  type Model = { name: number; command: boolean; size: number }[];

  test("every schedule of sends, writes, losses and clearings keeps the count and the order", () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ how: fc.constant("send"), size: fc.constantFrom(0, 10, 300, 20_000, 70_000) }),
      },
      { weight: 2, arbitrary: fc.record({ how: fc.constant("command"), size: fc.constant(0) }) },
      {
        weight: 5,
        arbitrary: fc.record({
          how: fc.constantFrom("take", "confirm", "confirm", "lose", "clearWaiting", "clear"),
          size: fc.constantFrom(1, 1_000, 100_000),
        }),
      },
    );
    forAll([fc.array(step, { maxLength: 60 })], { numRuns: 600, defaultRuns: 110 }, (steps) => {
      const { queue, send, command, inFlight } = make();
      let waiting: Model = [];
      let flying: Model = [];
      let name = 0;
      const messages = (model: Model): number => model.filter((item) => !item.command).length;
      for (const { how, size } of steps) {
        name += 1;
        const id = Buffer.alloc(4);
        id.writeUInt32BE(name);
        if (how === "send") {
          send(id, Buffer.alloc(size));
          waiting.push({ name, command: false, size });
        } else if (how === "command") {
          command(Buffer.concat([Buffer.of(4, 4), id]));
          waiting.push({ name, command: true, size });
        } else if (how === "take") {
          queue.take(size);
          const { messages: got, commands } = decodeStream(inFlight());
          const count = got.length + commands.length;
          flying.push(...waiting.splice(0, count - flying.length));
          expect(got.map(([first]) => Number.parseInt(first as string, 16))).toEqual(
            flying.filter((item) => !item.command).map((item) => item.name),
          );
          expect(commands.map((text) => Number.parseInt(text, 16))).toEqual(
            flying.filter((item) => item.command).map((item) => item.name),
          );
        } else if (how === "confirm") {
          queue.confirm();
          flying = [];
        } else if (how === "lose") {
          expect(queue.confirm()).toBe(messages(flying));
          flying = [];
        } else if (how === "clearWaiting") {
          expect(queue.clearWaiting()).toBe(messages(waiting));
          waiting = [];
        } else {
          expect(queue.clear()).toBe(messages(waiting) + messages(flying));
          waiting = [];
          flying = [];
        }
        expect(queue.messages).toBe(messages(waiting) + messages(flying));
        expect(queue.bytes === 0).toBe(waiting.length === 0);
        expect(queue.frames).toBe(2 * messages(waiting));
      }
    });
  });
});
