/** `sendMany`: an array of messages by one promise. */
import { expect, it } from "vitest";
import type { Pull, Push, SendManyError } from "../../src/index.js";
import { describeTransports } from "./support/engines.js";
import { IN_PAGE } from "./support/page.js";
import { collect, texts, within } from "./support/wait.js";

const numbers = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => String(from + i));

async function refusal(promise: Promise<unknown>): Promise<SendManyError> {
  const error = await within(
    promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    ),
    "the refusal",
  );
  expect(error).toBeInstanceOf(Error);
  return error as SendManyError;
}

describeTransports("arrays of messages", (world) => {
  if (IN_PAGE) {
    it("are not sent by a page, which has no sendMany", () => undefined);
    return;
  }
  const isSame = world.engine === "zmtp" && world.transport === "inproc";

  async function linked(mark = 1_000): Promise<[Push, Pull]> {
    const [push, pull] = [
      world.push({ sendHighWaterMark: mark }),
      world.pull({ receiveHighWaterMark: mark, receiveTimeout: 8_000 }),
    ];
    await world.link(pull, push);
    await push.ready({ timeout: 8_000 });
    return [push, pull];
  }

  it("leave in their order, as there is room, in the middle of others", async () => {
    const [push, pull] = await linked(5);
    const all = numbers(3_000);
    const sent = [
      push.send(all[0] as string),
      push.sendMany(all.slice(1, 2_900)).then(async () => {
        await push.sendMany([]);
        for (const text of all.slice(2_900)) await push.send(text);
      }),
    ];
    expect(await collect(pull, all.length)).toEqual(all);
    await Promise.all(sent);
    expect(push.stats()).toMatchObject({ sent: all.length, delivered: all.length, pendingSends: 0 });
  });

  it("have any messages that send has, and those of the array at the call", async () => {
    const [push, pull] = await linked(1);
    const body = Buffer.alloc(100_000, "x");
    const messages = ["text", [null, 7, body], body, Buffer.alloc(0), ["last"]];
    const options = { timeout: 8_000, copy: true };
    const sending = push.sendMany(messages, options);
    // The call has all that it needs of them.
    options.timeout = 0;
    messages.fill("changed");
    const received: string[][] = [];
    for (let i = 0; i < 5; i++) received.push(texts(await pull.receive()));
    const text = String(body);
    expect(received).toEqual([["text"], ["", "7", text], [text], [""], ["last"]]);
    await sending;
  });

  it("are refused whole where one of them is invalid, or the call", async () => {
    const [push, pull] = await linked();
    const cases: [unknown, unknown][] = [
      [["good", [], "good"], undefined],
      [Object.assign(["good"], { 2: "good" }), undefined],
      [["good", Symbol("bad")], undefined],
      ["text", undefined],
      [Buffer.from("bytes"), undefined],
      [undefined, undefined],
      [["good"], { timeOut: 5 }],
      [["good"], { timeout: "soon" }],
      [["good"], { transfer: true, copy: true }],
      [["good"], "more"],
    ];
    for (const [messages, options] of cases)
      expect(await refusal(push.sendMany(messages as string[], options as object))).toMatchObject({
        code: "EINVAL",
        sent: 0,
      });
    const aborted = { signal: AbortSignal.abort() };
    expect(await refusal(push.sendMany(["good"], aborted))).toMatchObject({ code: "ABORT_ERR", sent: 0 });
    expect(push.stats()).toMatchObject({ sent: 0 });
    await push.sendMany(["only this"]);
    expect(await collect(pull, 1)).toEqual(["only this"]);
  });

  for (const [how, options] of [
    ["copied", { copy: true }],
    ["given away", { transfer: true }],
    ["as they are", {}],
  ] as const) {
    it(`that are ${how} end with the time-out, which says how many were sent`, async () => {
      const [push, pull] = await linked(4);
      const body = world.inProcess ? 100 : 262_144;
      // More than the queues and the system's buffers hold.
      const count = world.inProcess ? 200 : 80;
      const messages = numbers(count).map((text) => Buffer.from(text.padEnd(body)));
      const error = await refusal(push.sendMany(messages, { ...options, timeout: 50 }));
      expect(error).toMatchObject({ code: "EAGAIN" });
      if (world.inProcess) expect(error.sent).toBe(8);
      expect(error.sent).toBeGreaterThan(0);
      expect(error.sent).toBeLessThan(count);
      // One that began to wait counts as sent, and as dropped.
      const { sent, dropped } = push.stats();
      expect(sent - dropped.timeout).toBe(error.sent);
      const rest = push.sendMany(messages.slice(error.sent), { ...options, timeout: 8_000 });
      const received = await collect(pull, count);
      expect(received.map((text) => text.trim())).toEqual(numbers(count));
      await rest;
    });
  }

  it("wait no longer than the socket's sendTimeout, all together", async () => {
    const [push, pull] = await linked(1);
    push.sendTimeout = 150;
    // One leaves at a time: each alone would be in time.
    const slow = (async () => {
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 15));
        await pull.receive();
      }
    })().catch(() => undefined); // Until the end of the test.
    const body = Buffer.alloc(world.inProcess ? 10 : 2_000_000);
    const error = await refusal(push.sendMany(Array.from({ length: 500 }, () => body)));
    expect(error).toMatchObject({ code: "EAGAIN" });
    expect(error.sent).toBeLessThan(100);
    await pull.close();
    await slow;
  });

  it("end with the signal, and when the socket closes", async () => {
    const [push] = await linked(2);
    const abort = new AbortController();
    const body = Buffer.alloc(world.inProcess ? 10 : 262_144);
    const many = Array.from({ length: 300 }, () => body);
    const aborted = push.sendMany(many, { signal: abort.signal });
    abort.abort();
    const first = await refusal(aborted);
    expect(first).toMatchObject({ code: "ABORT_ERR" });
    expect(first.sent).toBeLessThan(300);
    const closing = refusal(push.sendMany(many));
    await push.close({ linger: 0 });
    expect((await closing).code).toMatch(/^(EAGAIN|EBADF)$/);
    expect(await refusal(push.sendMany(["late"]))).toMatchObject({ code: "EBADF", sent: 0 });
  });

  it("leave while their socket closes, within its linger", async () => {
    const [push, pull] = await linked(2);
    const all = numbers(100);
    const sending = push.sendMany(all.map((text) => text.padEnd(world.inProcess ? 10 : 262_144)));
    // The threads of libzmq may have taken all of them by now.
    if (world.engine === "zmtp") expect(push.stats().pendingSends).toBe(1);
    const closing = push.close();
    expect((await collect(pull, all.length)).map((text) => text.trim())).toEqual(all);
    await within(sending, "the others");
    expect(await within(closing, "close")).toEqual({ flushed: 100, discarded: 0, unknown: 0 });
  });

  it("pass as they are within a thread, where they are given away", async () => {
    const [push, pull] = await linked();
    const bodies = numbers(500).map((text) => Buffer.from(text));
    await push.sendMany(bodies, { transfer: true });
    const received: Buffer[] = [];
    while (received.length < bodies.length)
      received.push(...(await pull.receiveMany()).map(([body]) => body as Buffer));
    expect(received.map(String)).toEqual(bodies.map(String));
    expect(received.every((body, i) => (body === bodies[i]) === isSame)).toBe(true);
    expect(push.stats()).toMatchObject({ sent: 500, delivered: 500, bytesSent: 1_390 });
  });

  it("go to peers in turn", async () => {
    const push = world.push();
    const [one, other] = [world.pull({ receiveTimeout: 8_000 }), world.pull({ receiveTimeout: 8_000 })];
    const endpoint = await world.bind(push);
    one.connect(endpoint);
    other.connect(endpoint);
    // libzmq reports no peers over inproc, which connects within the call.
    if (world.engine === "zmtp" || !world.inProcess) await push.ready({ peers: 2, timeout: 8_000 });
    await push.sendMany(
      numbers(10).map((text) => Buffer.from(text)),
      { transfer: true },
    );
    const received = await Promise.all([collect(one, 5), collect(other, 5)]);
    expect(received.map((texts) => texts.map((text) => Number(text) % 2)).sort()).toEqual([
      [0, 0, 0, 0, 0],
      [1, 1, 1, 1, 1],
    ]);
  });

  it("keep to the rules of their socket", async () => {
    const [request, reply] = [world.request(), world.reply({ receiveTimeout: 8_000 })];
    await world.link(reply, request);
    expect(await refusal(request.sendMany(["one", "two"]))).toMatchObject({ code: "EFSM", sent: 1 });
    expect(texts(await reply.receive())).toEqual(["one"]);

    const router = world.router({ mandatory: true });
    const dealer = world.dealer({ routingId: "dealer", receiveTimeout: 8_000 });
    await world.link(router, dealer);
    await dealer.send("here");
    await router.receive({ timeout: 8_000 });
    const messages = ["dealer", "nobody", "dealer"].map((id) => [id, "body"] as [string, string]);
    expect(await refusal(router.sendMany(messages))).toMatchObject({ code: "EHOSTUNREACH", sent: 1 });
    expect(texts(await dealer.receive())).toEqual(["body"]);
  });
});
