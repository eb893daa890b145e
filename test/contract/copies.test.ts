/** Sending with `copy`: one piece of memory for all messages, written again as soon as each call has returned. */
import { expect, it } from "vitest";
import { Envelope, type Pull } from "../../src/index.js";
import { Client, Dish, Radio, Server } from "../../src/sockets/draft/index.js";
import { describeTransports, itIf } from "./support/engines.js";
import { failure, thrown, turn, untilReceived } from "./support/wait.js";

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

  /** Of every second message by `trySend`: bodies that one piece of memory had when each was sent. */
  async function sendEach(
    send: (body: Buffer) => Promise<void>,
    trySend: (body: Buffer) => boolean,
    receive: () => Promise<Buffer | undefined>,
  ): Promise<void> {
    const size = 20_000; // By reference, where it is not copied.
    const memory = Buffer.alloc(size);
    const sends: Promise<void>[] = [];
    for (let i = 1; i <= 20; i++) {
      memory.fill(i);
      if (i % 2 === 1) sends.push(send(memory));
      else expect(trySend(memory)).toBe(true);
    }
    memory.fill(0);
    await Promise.all(sends);
    for (let i = 1; i <= 20; i++) {
      let body = await receive();
      while (body?.length === 0) body = await receive(); // It was sent to learn that the receiver is there.
      expect(body?.equals(Buffer.alloc(size, i))).toBe(true);
    }
  }

  const copied = { copy: true };
  const refused = { copy: 1 as unknown as boolean };
  const waiting = { timeout: 8_000 };

  const itHasDrafts = itIf(world.engine, world.engine === "zmtp", "it has no draft sockets");

  itHasDrafts("reach a Server's client", async () => {
    const [server, client] = await world.linked(world.make(Server), world.make(Client));
    await client.send("here");
    const [, to] = await server.receive(waiting);
    await sendEach(
      (body) => server.send(body, { ...to, ...copied }),
      (body) => server.trySend(body, { ...to, ...copied }),
      async () => (await client.receive(waiting))[0],
    );
    expect(await failure(server.send("x", { ...to, ...refused }))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => server.trySend("x", { ...to, ...refused }))).toMatchObject({ code: "EINVAL" });
  });

  it("reach a Router's client", async () => {
    const [router, dealer] = await world.linked(world.router(), world.dealer());
    await dealer.send(["", "here"]);
    const { envelope } = Envelope.parse(await router.receive(waiting));
    await sendEach(
      (body) => router.reply(envelope, body, copied),
      (body) => router.trySend([envelope.routingId, "", body], copied),
      async () => (await dealer.receive(waiting))[1],
    );
    expect(await failure(router.reply(envelope, "x", refused))).toMatchObject({ code: "EINVAL" });
  });

  itHasDrafts("reach a Radio's group", async () => {
    const [radio, dish] = await world.linked(world.make(Radio), world.make(Dish));
    dish.join("group");
    const to = { group: "group" };
    await untilReceived(() => radio.send("", to), dish.receive(waiting));
    await sendEach(
      (body) => radio.send(body, { ...to, ...copied }),
      (body) => radio.trySend(body, { ...to, ...copied }),
      async () => (await dish.receive(waiting))[0],
    );
    expect(thrown(() => radio.trySend("x", { ...to, ...refused }))).toMatchObject({ code: "EINVAL" });
  });
});
