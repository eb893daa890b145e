/** A turn's messages above the mark: none is refused while the system takes them. */
import { describe, expect, it } from "vitest";
import { World } from "../../contract/support/world.js";

const COUNT = 3_000;

describe.each(["tcp", "ipc", "ws", "tls", "wss"] as const)("a burst over %s", (transport) => {
  const world = new World("zmtp", transport);

  it("reaches a subscriber whole, above the high-water mark", async () => {
    const publisher = world.publisher();
    const subscriber = world.subscriber({ receiveHighWaterMark: 0 });
    await world.link(publisher, subscriber);
    subscriber.subscribe("");
    await publisher.waitForSubscribers({ count: 1 });
    for (let i = 0; i < COUNT; i++) publisher.trySend(`${i}`);
    for (let i = 0; i < COUNT; i++) {
      const [frame] = await subscriber.receive({ timeout: 8_000 });
      expect(String(frame)).toBe(`${i}`);
    }
  });
});
