/** Messages whose memory the program gives away: `transfer`. */
import { expect, it } from "vitest";
import { Envelope, type Pull, type Push } from "../../src/index.js";
import { Client, Dish, Radio, Server } from "../../src/sockets/draft/index.js";
import { describeTransports, itIf } from "./support/engines.js";
import { IN_PAGE } from "./support/page.js";
import { failure, thrown, untilReceived } from "./support/wait.js";

const GIVEN = { transfer: true };
const FROZEN = Object.freeze({ transfer: true });
const waiting = { timeout: 8_000 };

describeTransports("messages that are given away", (world) => {
  /** Over inproc within a thread the engine in TypeScript hands on the very frames. */
  const isSame = world.engine === "zmtp" && world.transport === "inproc";

  function expectFrame(received: unknown, sent: Buffer, text: string): void {
    expect(String(received)).toBe(text);
    expect(received === sent).toBe(isSame);
  }

  async function linked(mark = 1_000): Promise<[Push, Pull]> {
    const [pull, push] = await world.linked(
      world.pull({ receiveHighWaterMark: mark, receiveTimeout: 8_000 }),
      world.push({ sendHighWaterMark: mark }),
    );
    // The peer is there.
    await push.send("");
    await pull.receive();
    return [push, pull];
  }

  it("come whole and in order, among others that are not", async () => {
    const [push, pull] = await linked();
    const sent: (Buffer | string)[][] = [];
    const sends: Promise<void>[] = [];
    for (let i = 0; i < 300; i++) {
      const frames = [Buffer.from(`${i}`), "text", Buffer.alloc([0, 300, 20_000][i % 3] as number, 1)];
      sent.push(frames);
      const options = i % 4 === 0 ? undefined : i % 4 === 1 ? { copy: true } : GIVEN;
      if (sends.length > 0 || !push.trySend(frames, options)) sends.push(push.send(frames, options));
    }
    for (let i = 0; i < sent.length; i++) {
      const received = i % 2 === 0 ? await pull.receive() : ((await pull.receiveMany({ max: 1 }))[0] ?? []);
      const [head, text, body] = sent[i] as [Buffer, string, Buffer];
      expect([String(received[0]), String(received[1]), received[2]?.equals(body)]).toEqual([
        String(head),
        text,
        true,
      ]);
      expect(received[0] === head).toBe(isSame && i % 4 > 1);
    }
    await Promise.all(sends);
  });

  it("are the receiver's own in a batch, also when that is disposed", async () => {
    const [push, pull] = await linked();
    const bodies = Array.from({ length: 50 }, (_, i) => Buffer.from(`body ${i}`));
    const received: Buffer[] = [];
    for (const end of [20, 50]) {
      for (const body of bodies.slice(received.length, end)) await push.send(body, FROZEN);
      for await (const batch of pull.batches()) {
        for (const [body] of batch) received.push(isSame ? (body as Buffer) : Buffer.from(body as Buffer));
        batch[Symbol.dispose]();
        if (received.length === end) break;
      }
    }
    for (const [i, body] of received.entries()) expectFrame(body, bodies[i] as Buffer, `body ${i}`);
    expect(pull.stats()).toMatchObject({ received: 51, receiveQueued: 0 });
    expect(push.stats()).toMatchObject({ sent: 51, delivered: 51 });
  });

  it("wait for room as others do, and keep their order", async () => {
    const [push, pull] = await linked(2);
    const bodies = Array.from({ length: 40 }, (_, i) => Buffer.from(String(i)));
    const sends = bodies.map((body) => push.send(body, GIVEN));
    if (isSame) {
      // Both queues, of 2 each, and the others in calls that wait.
      expect(push.stats().pendingSends).toBe(36);
      expect(push.trySend(Buffer.from("x"), GIVEN)).toBe(false);
    }
    for (let i = 0; i < bodies.length; i++)
      expectFrame((await pull.receive())[0], bodies[i] as Buffer, String(i));
    await Promise.all(sends);
  });

  it("are bounded in bytes", async () => {
    if (!isSame) return;
    const [pull, push] = await world.linked(
      world.pull({ receiveHighWaterMarkBytes: 50_000 }),
      world.push({ sendHighWaterMarkBytes: 50_000 }),
    );
    let taken = 0;
    while (push.trySend(Buffer.alloc(10_000), FROZEN)) taken += 1;
    expect(taken).toBe(10);
    for (let i = 0; i < taken; i++) await pull.receive();
    expect(push.trySend(Buffer.alloc(10_000), FROZEN)).toBe(true);
  });

  it("reach a REP and its REQ, a ROUTER and its DEALER", async () => {
    const [reply, request] = await world.linked(world.reply(), world.request());
    const [question, answer] = [Buffer.from("question"), Buffer.from("answer")];
    await request.send(question, GIVEN);
    expectFrame((await reply.receive(waiting))[0], question, "question");
    await reply.send(answer, GIVEN);
    expectFrame((await request.receive(waiting))[0], answer, "answer");

    const [router, dealer] = await world.linked(world.router(), world.dealer());
    const [one, two, three] = [Buffer.from("one"), Buffer.from("two"), Buffer.from("three")];
    await dealer.send(["", one, two], GIVEN);
    const message = await router.receive(waiting);
    expectFrame(message[2], one, "one");
    expectFrame(message[3], two, "two");
    const { envelope } = Envelope.parse(message);
    await router.reply(envelope, three, GIVEN);
    expectFrame((await dealer.receive(waiting))[1], three, "three");
    expect(router.trySend([envelope.routingId, "", two], GIVEN)).toBe(true);
    expectFrame((await dealer.receive(waiting))[1], two, "two");
  });

  it("keep an envelope apart from what its receiver does to it", async () => {
    const [router, request] = await world.linked(world.router(), world.request({ correlate: true }));
    await request.send(Buffer.from("question"), GIVEN);
    const [id, number, delimiter] = (await router.receive(waiting)) as [Buffer, Buffer, Buffer];
    const reply = [id, Buffer.from(number), delimiter, Buffer.from("answer")];
    number.fill(0xff);
    await router.send(reply, GIVEN);
    expect(String((await request.receive(waiting))[0])).toBe("answer");
  });

  it("are memory of its own for each of several subscribers", async () => {
    const publisher = world.publisher();
    const subscribers = [world.subscriber(), world.subscriber()];
    for (const subscriber of subscribers) {
      subscriber.subscribe("a");
      await world.link(publisher, subscriber);
    }
    await publisher.waitForSubscribers({ topic: "a", count: 2 });
    const body = Buffer.from("body");
    await publisher.send([Buffer.from("b"), Buffer.from("not wanted")], GIVEN);
    await publisher.send([Buffer.from("a"), body], GIVEN);
    const [first, second] = await Promise.all(subscribers.map((each) => each.receive(waiting)));
    first?.[1]?.fill(0);
    expect(String(second?.[1])).toBe("body");
    second?.[1]?.fill(0);
    expect(second?.[1] === first?.[1]).toBe(false);
  });

  const itHasDrafts = itIf(world.engine, world.engine === "zmtp", "it has no draft sockets");

  itHasDrafts("reach a Server's client and a Radio's group", async () => {
    const [server, client] = await world.linked(world.make(Server), world.make(Client));
    const [here, there] = [Buffer.from("here"), Buffer.from("there")];
    await client.send(here, GIVEN);
    const [body, to] = await server.receive(waiting);
    expectFrame(body, here, "here");
    await server.send(there, { ...to, ...GIVEN });
    expectFrame((await client.receive(waiting))[0], there, "there");

    const [radio, dish] = await world.linked(world.make(Radio), world.make(Dish));
    dish.join("group");
    const send = () => radio.send(Buffer.from("x"), { group: "group", ...GIVEN });
    expect(String((await untilReceived(send, dish.receive(waiting)))[0])).toBe("x");
  });

  it("may be any kind of frame", async () => {
    const [push, pull] = await linked();
    const memory = new Uint8Array([9, 104, 105, 9]);
    await push.send(["é", 7, null, memory.subarray(1, 3), new Uint16Array([0x6968]).buffer], GIVEN);
    const received = await pull.receive();
    expect(received.every((frame) => Buffer.isBuffer(frame))).toBe(true);
    expect(received.map(String)).toEqual(["é", "7", "", "hi", "hi"]);
    await push.send(null, GIVEN);
    const [empty] = await pull.receive();
    // A receiver may do with it what it likes: the next is another.
    if (isSame) structuredClone(empty?.buffer, { transfer: [empty?.buffer as ArrayBuffer] });
    await push.send([null, "next"], GIVEN);
    expect((await pull.receive()).map(String)).toEqual(["", "next"]);
  });

  it("are refused where the option is wrong", async () => {
    const [push] = await linked();
    const wrong = { transfer: 1 as unknown as boolean };
    const both = { copy: true, transfer: true };
    // A page copies all, and knows the option by its name only.
    if (!IN_PAGE) {
      for (const options of [wrong, both]) {
        expect(await failure(push.send("x", options))).toMatchObject({ code: "EINVAL" });
        expect(thrown(() => push.trySend("x", options))).toMatchObject({ code: "EINVAL" });
      }
    }
    const pull = world.pull();
    expect(await failure(pull.receive(GIVEN as object))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => push.trySend("x", Object.freeze({ transfers: true }) as object))).toMatchObject({
      code: "EINVAL",
    });
  });
});
