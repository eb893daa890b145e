/** High-water marks that a program changes when connections stand: they hold at once, as in the package `zeromq`. */
import { describe, expect, it } from "vitest";
import { Context, Pull, Push } from "../../src/index.js";
import { until, within } from "./support/wait.js";
import { folder, inproc, own, PACKAGES, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

type Sending = { send(message: unknown): Promise<void>; sendTimeout: number };

/** How many messages a socket takes before it has no room. */
async function fill(socket: Sending, message: unknown, limit = 2_000): Promise<number> {
  socket.sendTimeout = 0;
  for (let taken = 0; taken < limit; taken++) {
    const refused = await socket.send(message).then(
      () => false,
      () => true,
    );
    if (refused) return taken;
  }
  return limit;
}

it.each(
  PACKAGES,
)("a program for zeromq on %s sets sendHighWaterMark after connect, where nobody is", async (_, zmq) => {
  const push = own(new zmq.Push({ linger: 0 }));
  push.connect("tcp://127.0.0.1:9");
  push.sendHighWaterMark = 3;
  expect(await fill(push, "x")).toBe(3);
  push.sendHighWaterMark = 2;
  expect(await fill(push, "x")).toBe(0);
});

// libzmq lets a full pipe alone until its peer reads, and inproc pipes keep their marks (docs/engines.md).
describe("the engine zmtp", () => {
  const context = new Context({ engine: "zmtp" });

  it.each([
    "tcp://127.0.0.1:9",
    inproc(),
  ])("lets sends to %s that wait go on when the mark is raised", async (endpoint) => {
    const push = own(new Push({ context, linger: 0, sendHighWaterMark: 1 }));
    push.connect(endpoint);
    await push.send("x");
    const second = push.send("y");
    expect(push.stats().pendingSends).toBe(1);
    push.sendHighWaterMark = 2;
    await within(second, "the second send");
    expect(push.writable).toBe(false);
  });

  it("adds up the marks of both ends of an inproc connection, whichever changes", async () => {
    const endpoint = inproc();
    const [push, pull] = [own(new Push({ context, linger: 0 })), own(new Pull({ context }))];
    await pull.bind(endpoint);
    push.connect(endpoint);
    push.sendHighWaterMark = 4;
    pull.receiveHighWaterMark = 6;
    expect(await fill(push, "x")).toBe(10);
    for (let i = 0; i < 10; i++) await pull.receive();
    push.sendHighWaterMark = 2;
    pull.receiveHighWaterMark = 3;
    expect(await fill(push, "x")).toBe(5);
    pull.receiveHighWaterMark = 5;
    expect(await fill(push, "x")).toBe(2);
  });

  it.each([
    "tcp",
    "ipc",
  ])("reads on over %s when the mark of a full receive queue is raised", async (transport) => {
    const pull = own(new Pull({ context, receiveHighWaterMark: 2 }));
    await pull.bind(transport === "tcp" ? "tcp://127.0.0.1:*" : `ipc://${folder}/marks`);
    const push = own(new Push({ context, linger: 0, sendHighWaterMark: 2, sendTimeout: 100 }));
    push.connect(pull.lastEndpoint as string);
    const body = Buffer.alloc(262_144);
    let sent = 0;
    // Until the kernel and both queues are full.
    for (;;) {
      const taken = await push.send(body).then(
        () => true,
        () => false,
      );
      if (!taken) break;
      sent += 1;
    }
    const { receiveQueued } = pull.stats();
    expect(receiveQueued).toBeLessThan(sent);
    pull.receiveHighWaterMark = sent + 1;
    await until(() => pull.stats().receiveQueued === sent, "all of it");
  });
});
