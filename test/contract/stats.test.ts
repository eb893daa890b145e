import { expect, it } from "vitest";
import { describeTransports, describeWired, itIf } from "./support/engines.js";
import { arrives, collect, failure, nextEvent, until } from "./support/wait.js";

describeTransports("accounts", (world) => {
  it("messages and bytes are counted on both sides", async () => {
    const [pull, push] = await world.linked(world.pull(), world.push());
    const messages = [["a", "bc"], [""], ["üü", Buffer.alloc(1_000), null], [12.5]];
    const bytes = 3 + 0 + 4 + 1_000 + 0 + 4;
    for (const message of messages) await push.send(message);
    await collect(pull, messages.length);
    expect(push.stats()).toMatchObject({ sent: 4, delivered: 4, queued: 0, bytesSent: bytes });
    expect(pull.stats()).toMatchObject({ received: 4, bytesReceived: bytes, receiveQueued: 0 });
  });

  it("a snapshot does not change, and changing it changes nothing", async () => {
    const push = world.push({ sendTimeout: 0 });
    const before = push.stats();
    await failure(push.send("x", { timeout: 1 }));
    expect(before.dropped.timeout).toBe(0);
    (before.dropped as { timeout: number }).timeout = 99;
    expect(push.stats().dropped.timeout).toBe(1);
  });
});

describeWired("peers and reconnects", (world) => {
  const when = itIf(
    world.engine,
    ({ peerEvents }) => peerEvents.includes(world.transport),
    `knows no peers over ${world.transport}`,
  );

  when(
    "a connection made again after the server's restart is counted, and nothing sent is lost",
    async () => {
      const push = world.push({ reconnectInterval: 5 });
      let pull = world.pull();
      const endpoint = await world.link(pull, push);
      await push.ready({ timeout: 4_000 });
      const counts = push.stats().reconnects !== undefined; // libzmq does not.
      for (let round = 1; round <= 3; round++) {
        const left = nextEvent(push, "disconnect");
        await pull.close({ linger: 0 });
        expect((await left).address).toBe(endpoint);
        pull = world.pull();
        await pull.bind(endpoint);
        await arrives(`round ${round}`, push, pull);
        if (counts) await until(() => push.stats().reconnects === round, "the reconnect's count");
      }
    },
  );
});
