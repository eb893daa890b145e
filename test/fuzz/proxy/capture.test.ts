/** A proxy with a capture, whatever its messages are: they pass whole and in order, and the tap has the same. */
import { expect, test } from "vitest";
import { Context, Pull, Push } from "../../../src/index.js";
import { StreamerProxy } from "../../../src/proxy/index.js";
import { hex, mutated } from "../messages.js";
import { Random, runs, SEED, told } from "../seed.js";

test("a captured message", async () => {
  const context = new Context({ engine: "zmtp" });
  const proxy = new StreamerProxy({
    frontend: { bind: "inproc://fuzz-in" },
    backend: { bind: "inproc://fuzz-out" },
    capture: { type: "push", bind: "inproc://fuzz-tap" },
    context,
  });
  await proxy.start();
  const [push, pull, tap] = [new Push({ context }), new Pull({ context }), new Pull({ context })];
  pull.connect("inproc://fuzz-out");
  tap.connect("inproc://fuzz-tap");
  push.connect("inproc://fuzz-in");
  const random = new Random(SEED);
  const count = runs(50, 30_000);
  const seed = [Buffer.from("topic"), Buffer.alloc(0), random.bytes(300)];
  try {
    for (let i = 0; i < count; i++) {
      const message = mutated(random, seed, [[random.bytes(random.below(70_000))], [Buffer.of(1)]]);
      if (message.length === 0) continue;
      await push.send(message);
      for (const socket of [pull, tap]) {
        const frames = await socket.receive({ timeout: 8_000 });
        expect(frames.map(hex)).toEqual(message.map(hex));
      }
    }
  } finally {
    await Promise.all([push, pull, tap].map((socket) => socket.close({ linger: 0 })));
    await proxy.close();
  }
  told("captured messages", count);
}, 600_000);
