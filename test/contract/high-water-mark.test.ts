import { expect, it } from "vitest";
import { RUNTIME } from "../support/engines.js";
import { watch } from "../support/settled.js";
import { describeTransports } from "./support/engines.js";
import { arrives, collect, turn } from "./support/wait.js";

describeTransports("high-water marks", (world) => {
  /**
   * Sends until the socket is mute and stays so.
   *
   * @param least what it has to take: while it has not, a busy machine gets more time
   * @returns how many were taken
   */
  async function fill(
    socket: { trySend(message: (string | Buffer)[]): boolean },
    body: Buffer,
    least = 0,
  ): Promise<number> {
    let taken = 0;
    for (let idle = 0; idle < (taken < least ? 1_000 : 10); ) {
      if (socket.trySend([String(taken), body])) {
        taken += 1;
        idle = 0;
      } else {
        idle += 1;
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      if (taken > 50_000) throw new Error("no high-water mark in sight");
    }
    return taken;
  }

  it("stop a sender at the two marks, plus what the kernel holds; nothing is lost after a pause", async () => {
    const [sendHighWaterMark, receiveHighWaterMark] = [20, 30];
    const [push, pull] = [world.push({ sendHighWaterMark }), world.pull({ receiveHighWaterMark })];
    await world.link(pull, push);
    await push.ready({ timeout: 4_000 });
    // Large frames, so that a kernel's buffers hold few of them.
    const body = Buffer.alloc(world.inProcess ? 10 : 262_144, "x");
    const marks = sendHighWaterMark + receiveHighWaterMark;
    // Room is reported again when half of the send queue has gone.
    const least = world.inProcess ? marks : marks - sendHighWaterMark / 2;
    const taken = await fill(push, body, least);
    if (world.inProcess) expect(taken).toBe(marks);
    else {
      expect(taken).toBeGreaterThanOrEqual(least);
      expect(taken).toBeLessThan(marks + 100);
    }
    const waiting = push.send([String(taken), body]);
    const received: number[] = [];
    while (received.length <= taken) received.push(Number((await pull.receive({ timeout: 8_000 }))[0]));
    await waiting;
    expect(received).toEqual(Array.from({ length: taken + 1 }, (_, i) => i));
  });

  it("bound what a receiver reads ahead of its program", async () => {
    const pull = world.pull({ receiveHighWaterMark: 4 });
    const push = world.push({ sendHighWaterMark: 4 });
    await world.link(pull, push);
    await push.ready({ timeout: 4_000 });
    await arrives("first", push, pull);
    const taken = await fill(push, Buffer.alloc(world.inProcess ? 1 : 262_144));
    // libzmq reads ahead of the program.
    const ahead = world.engine === "libzmq" ? 4 : 0;
    // In one process sender and receiver have one queue, of both marks.
    // Bun reads up to 512 KiB at once, the end of the fourth message and the fifth.
    const most = world.inProcess ? 8 : RUNTIME === "bun" ? 5 : 4;
    expect(pull.stats().receiveQueued).toBeLessThanOrEqual(most);
    if (world.inProcess) expect(taken).toBeLessThanOrEqual(8 + ahead);
  });

  it("0 means no limit", async () => {
    const push = world.push({ sendHighWaterMark: 0 });
    const pull = world.pull({ receiveHighWaterMark: 0 });
    await world.link(pull, push);
    await push.ready({ timeout: 4_000 });
    let refused = 0;
    for (let i = 0; i < 20_000; i++) if (!push.trySend(String(i))) refused += 1;
    expect(refused).toBe(0);
    expect((await collect(pull, 20_000)).at(-1)).toBe("19999");
  });

  it("count for each peer: one that does not read leaves room for the others", async () => {
    const marks = { receiveHighWaterMark: 3 };
    const [push, idle, busy] = [world.push({ sendHighWaterMark: 3 }), world.pull(marks), world.pull(marks)];
    await world.link(push, idle, busy);
    const reading = watch(collect(busy, 200));
    while (reading.state === "pending") if (!push.trySend(Buffer.alloc(65_536))) await turn();
    expect(reading.state).toBe("fulfilled");
  });
});
