import { expect, it } from "vitest";
import type { EventOfType } from "../../src/index.js";
import { describeEngines, describeTransports } from "./support/engines.js";
import { failure, nextEvent, texts, within } from "./support/wait.js";

describeEngines("plain REQ", (world) => {
  it("REP passes a request without a delimiter over, and serves the next", async () => {
    const [reply, dealer] = await world.linked(world.reply(), world.dealer());
    const invalid: EventOfType<"invalid">[] = [];
    reply.events.on("invalid", (event) => invalid.push(event));
    for (const message of ["no delimiter", ["two", "frames"], ["", "good"]]) await dealer.send(message);
    expect(texts(await reply.receive({ timeout: 8_000 }))).toEqual(["good"]);
    await reply.send("answer");
    expect(texts(await dealer.receive({ timeout: 8_000 }))).toEqual(["", "answer"]);
    // libzmq throws such requests away without a word.
    if (world.engine === "libzmq") return;
    expect(reply.stats()).toMatchObject({ received: 1, invalid: { frames: 2, codec: 0, schema: 0 } });
    expect(invalid).toMatchObject(
      Array(2).fill({ reason: "frames", error: { code: "ERR_INVALID_MESSAGE" } }),
    );
    // None of them is owed an answer: the turn is right.
    expect((await failure(reply.send("nobody", { timeout: 20 }))).code).toBe("EFSM");
  });

  it("a loop whose replies are sent later gets each request", async () => {
    const [reply, ...requests] = await world.linked(world.reply(), world.request(), world.request());
    const asked: string[] = [];
    const loop = (async () => {
      for await (const frames of reply) {
        asked.push(...texts(frames));
        setImmediate(() => void reply.send(frames));
      }
    })();
    for (let n = 0; n < 3; n++) {
      await Promise.all(requests.map((request, i) => request.send(`${n} ${i}`)));
      for (const [i, request] of requests.entries())
        expect(texts(await within(request.receive(), "a reply"))).toEqual([`${n} ${i}`]);
    }
    expect(asked.length).toBe(6);
    await reply.close();
    await loop;
  });

  it("a send out of turn is refused at once, a receive at its time-out, and nothing has changed", async () => {
    const [reply, request] = await world.linked(world.reply(), world.request());
    const EFSM = { code: "EFSM" };
    const calls = [
      () => request.receive({ timeout: 0 }),
      () => request.receiveMany({ timeout: 5 }),
      () => reply.send("nobody asked"),
    ];
    for (const call of calls) expect(await failure(call())).toMatchObject(EFSM);
    expect(reply.trySend("nobody asked")).toBe(false);
    await request.send("question");
    expect(await failure(request.send("another"))).toMatchObject(EFSM);
    const frames = await reply.receive();
    expect(await failure(reply.receive({ timeout: 5 }))).toMatchObject(EFSM);
    await reply.send(frames);
    expect(await failure(reply.send("twice"))).toMatchObject(EFSM);
    expect(texts(await request.receive())).toEqual(["question"]);
  });

  it("a relaxed one that gave requests up has to send again once it has its reply", async () => {
    const [request, reply] = [world.request({ relaxed: true, correlate: true }), world.reply()];
    await world.link(reply, request);
    await request.send("given up");
    await request.send("asked");
    for (let i = 0; i < 2; i++) await reply.send(await reply.receive());
    expect(texts(await request.receive())).toEqual(["asked"]);
    expect((await failure(request.receive({ timeout: 0 }))).code).toBe("EFSM");
  });

  it("calls made ahead, in turn, wait for each other", async () => {
    const [request, reply] = [world.request(), world.reply()];
    // Nobody is there yet.
    const calls = ["one", "two", "three"].map((word) => [request.send(word), request.receive()] as const);
    await world.link(reply, request);
    for (let i = 0; i < 3; i++) {
      const asked = reply.receive();
      const answered = asked.then((frames) => reply.send(frames));
      await within(answered, "an answer");
    }
    await Promise.all(calls.map(([sent]) => within(sent, "a send")));
    const answers = await Promise.all(calls.map(([, received]) => within(received, "a reply")));
    expect(answers.map(texts)).toEqual([["one"], ["two"], ["three"]]);
  });

  it("REP drops a reply whose asker is gone, and goes on", async () => {
    const [gone, request, reply] = [world.request(), world.request(), world.reply()];
    await world.link(reply, gone);
    await gone.send("hello");
    await reply.receive({ timeout: 8_000 });
    const left = nextEvent(reply, "peer:leave");
    await gone.close({ linger: 0 });
    await left;
    await reply.send("to nobody");
    request.connect(reply.lastEndpoint as string);
    await request.send("again");
    expect(texts(await reply.receive({ timeout: 8_000 }))).toEqual(["again"]);
  });
});

describeTransports("REQ and REP", (world) => {
  it("a large reply that waits for its request is received, and the turn is right", async () => {
    const [reply, request] = await world.linked(world.reply(), world.request());
    const large = Buffer.alloc(300_000, "x");
    for (const isEarly of [false, true]) {
      const serving = [reply.receive(), reply.send(large)];
      const early = isEarly ? request.receive({ timeout: 8_000 }) : undefined;
      await request.send(large);
      await Promise.all(serving);
      expect((await (early ?? request.receive({ timeout: 8_000 })))[0]).toEqual(large);
    }
    // It is no receive's turn, but there is no peer. (That of libzmq goes later.)
    if (world.engine === "libzmq") return;
    request.disconnect(request.lastEndpoint as string);
    expect((await failure(request.send("next", { timeout: 20 }))).code).toBe("EAGAIN");
  });
});
