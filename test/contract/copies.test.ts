/** Sending with `copy`: one piece of memory for all messages, written again as soon as each call has returned. */
import { expect, it } from "vitest";
import type { Pull } from "../../src/index.js";
import { describeTransports } from "./support/engines.js";
import { turn } from "./support/wait.js";

/** In a slab, by reference, more than a read, more than a mebibyte. */
const SIZES = [10, 5_000, 20_000, 300_000, 1_100_000];

describeTransports("messages that are copied when they are sent", (world) => {
  async function expectAll(pull: Pull, size: number, count: number): Promise<void> {
    const wrong: number[] = [];
    for (let i = 0; i < count; i++) {
      const [head, body] = (await pull.receive({ timeout: 8_000 })) as [Buffer, Buffer];
      if (Number(head) !== i || !body.equals(Buffer.alloc(size, (i % 251) + 1))) wrong.push(i);
    }
    expect(wrong).toEqual([]);
  }

  it.each(SIZES)("of %i bytes are what was in the memory when they were sent", async (size) => {
    // Some wait in the socket, some in the call.
    const push = world.push({ sendHighWaterMark: 3 });
    const pull = world.pull({ receiveHighWaterMark: 3 });
    await world.link(pull, push);
    const count = size > 100_000 ? 12 : 60;
    const memory = Buffer.alloc(size);
    const sends: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      memory.fill((i % 251) + 1);
      const message = [String(i), memory];
      if (sends.length > 0 || !push.trySend(message, { copy: true }))
        sends.push(push.send(message, { copy: true }));
    }
    memory.fill(0);
    await turn();
    await Promise.all([expectAll(pull, size, count), ...sends]);
  });

  it("reach several subscribers", async () => {
    const publisher = world.publisher();
    const subscribers = [world.subscriber(), world.subscriber(), world.subscriber()];
    for (const subscriber of subscribers) {
      subscriber.subscribe("");
      await world.link(publisher, subscriber);
    }
    await publisher.waitForSubscribers({ count: subscribers.length });
    const memory = Buffer.alloc(100_000);
    for (let i = 1; i <= 20; i++) {
      memory.fill(i);
      await publisher.send(memory, { copy: true });
    }
    memory.fill(0);
    for (const subscriber of subscribers)
      for (let i = 1; i <= 20; i++) {
        const [body] = (await subscriber.receive({ timeout: 8_000 })) as [Buffer];
        expect(body.equals(Buffer.alloc(100_000, i))).toBe(true);
      }
  });
});
