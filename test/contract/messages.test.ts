import { expect, it } from "vitest";
import { describeTransports } from "./support/engines.js";
import { failure, texts, thrown } from "./support/wait.js";

const MIB = 1_048_576;
/** Around every limit of the wire form: one-byte sizes, libzmq's inline messages, the kernel's buffers. */
const SIZES = [0, 1, 2, 29, 30, 33, 34, 254, 255, 256, 257, 8_191, 8_192, 65_535, 65_536, 300_000, MIB];

/** Bytes that differ at every position and between sizes. */
function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = (size * 2_654_435_761 + 1) >>> 0;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

describeTransports("messages", (world) => {
  const linked = () => world.linked(world.pull({ receiveTimeout: 8_000 }), world.push());

  it("frames from 0 bytes to 1 MiB arrive as they were, alone and together", async () => {
    const [pull, push] = await linked();
    for (const size of SIZES) await push.send(pattern(size));
    for (const size of SIZES) {
      const [frame, ...more] = await pull.receive();
      expect(more).toEqual([]);
      expect(frame?.length).toBe(size);
      expect(frame?.equals(pattern(size))).toBe(true);
    }
    await push.send(SIZES.map(pattern));
    const frames = await pull.receive();
    expect(frames.map((frame) => frame.length)).toEqual(SIZES);
    expect(frames.every((frame, i) => frame.equals(pattern(SIZES[i] as number)))).toBe(true);
  });

  it("a message can be bytes in any form, a string, a number or null", async () => {
    const [pull, push] = await linked();
    const memory = new Uint8Array([49, 50, 51, 52, 53, 54, 55, 56]).buffer;
    const shared = new SharedArrayBuffer(2);
    new Uint8Array(shared).set([57, 48]);
    await push.send([
      new DataView(memory, 1, 2),
      new Uint16Array(memory, 2, 2),
      memory,
      shared,
      "\0 € 🐟",
      -1.5,
      null,
    ]);
    expect(texts(await pull.receive())).toEqual(["23", "3456", "12345678", "90", "\0 € 🐟", "-1.5", ""]);
  });

  it("bytes whose memory was transferred are refused, wherever they are in a message", async () => {
    const [pull, push] = await linked();
    await push.send([Buffer.alloc(0), new Uint8Array(0), new Uint16Array(0), new ArrayBuffer(0)]);
    const memory = new ArrayBuffer(8);
    const views = [new Uint8Array(memory), new Uint16Array(memory), new DataView(memory)];
    structuredClone(memory, { transfer: [memory] });
    for (const gone of views) {
      for (const message of [gone, [gone, "a"], ["a", gone], ["a", gone, Buffer.alloc(70_000)]]) {
        expect((await failure(push.send(message))).code).toBe("EINVAL");
        expect((await failure(push.send(message, { copy: true }))).code).toBe("EINVAL");
        expect(thrown(() => push.trySend(message)).code).toBe("EINVAL");
      }
    }
    expect(push.stats().sent).toBe(1);
    await push.send("fine");
    expect(texts(await pull.receive())).toEqual(["", "", "", ""]);
    expect(texts(await pull.receive())).toEqual(["fine"]);
  });
});
