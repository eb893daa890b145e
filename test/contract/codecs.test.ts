import { expect, it } from "vitest";
import * as z from "zod";
import { type Codec, json, msgpack, type Pair, text } from "../../src/index.js";
import { describeEngines, describeTransports } from "./support/engines.js";
import { failure, thrown, until } from "./support/wait.js";

const WAIT = { timeout: 8_000 };
const Reading = z.object({ sensor: z.string(), value: z.number() });

describeTransports("codecs", (world) => {
  const cases: [string, () => Codec<unknown>, unknown[]][] = [
    ["text", () => text() as Codec<unknown>, ["", "ü € 🐟", "x".repeat(100_000)]],
    ["json", () => json(), [null, 0, "", [], { a: [1, { b: null }] }]],
    ["msgpack", () => msgpack(), [null, -1.5, "x", [], { a: [1, { b: null }] }, Buffer.from([1, 2])]],
  ];
  it.each(cases)("%s: values come out as they went in", async (_, codec, values) => {
    const [pull, push] = await world.linked(world.pull({ codec: codec() }), world.push({ codec: codec() }));
    for (const value of values) {
      await push.send([value]);
      expect(await pull.receive(WAIT)).toEqual([value]);
      if (Array.isArray(value)) continue;
      await push.send(value);
      expect(push.trySend(value)).toBe(true);
      expect(await pull.receiveMany({ max: 1, ...WAIT })).toEqual([[value]]);
      expect((await pull.messages().next()).value).toEqual([value]);
    }
    expect(pull.stats().invalid).toEqual({ frames: 0, codec: 0, schema: 0, full: 0, tooLarge: 0 });
  });

  it("a message that fails is an event and a count, never an exception; the loop goes on", async () => {
    const [pull, push] = await world.linked(world.pull({ codec: json(Reading) }), world.push());
    const seen: [string, string][] = [];
    pull.events.on("invalid", ({ reason, error }) => seen.push([reason, error.code]));
    const good = { sensor: "a", value: 1 };
    const values: unknown[] = [];
    const loop = (async () => {
      for await (const [value] of pull) if (values.push(value) === 3) break;
    })();
    await push.send(JSON.stringify(good));
    await push.send("{not json");
    await push.send(Buffer.from([0xff, 0xfe]));
    await push.send(JSON.stringify({ sensor: 5, value: "x" }));
    await push.send(["two", "frames"]);
    await push.send(JSON.stringify(good));
    await push.send("");
    await push.send(JSON.stringify(good));
    await loop;
    expect(values).toEqual([good, good, good]);
    expect(pull.stats()).toMatchObject({ received: 3, invalid: { codec: 3, schema: 1, frames: 1 } });
    await until(() => seen.length === 5, "five events");
    expect(seen.map(([reason]) => reason)).toEqual(["codec", "codec", "schema", "frames", "codec"]);
    expect(seen.every(([, code]) => code === "ERR_INVALID_MESSAGE")).toBe(true);
  });

  it("a value that the codec or its schema refuses is not sent", async () => {
    const push = world.push({ codec: json(Reading) });
    const pull = world.pull({ codec: json(Reading) });
    await world.link(pull, push);
    for (const value of [{ sensor: "a" }, { sensor: 1, value: 1 }, null, "x", [1, 2]] as never[]) {
      expect((await failure(push.send(value))).code).toBe("ERR_INVALID_MESSAGE");
      expect(thrown(() => push.trySend(value)).code).toBe("ERR_INVALID_MESSAGE");
    }
    expect(push.stats().sent).toBe(0);
    await push.send({ sensor: "a", value: 1 });
    expect(await pull.receive(WAIT)).toEqual([{ sensor: "a", value: 1 }]);
  });

  it("PUB and SUB: the topic stays a frame, the value is typed", async () => {
    const publisher = world.publisher({ codec: msgpack(Reading) });
    const subscriber = world.subscriber({ codec: msgpack(Reading) });
    const raw = world.subscriber();
    await world.link(publisher, subscriber, raw);
    subscriber.subscribe("room");
    raw.subscribe("room");
    await publisher.waitForSubscribers({ topic: "room/1", count: 2, timeout: 4_000 });
    await publisher.send(["kitchen", { sensor: "k", value: 0 }]);
    await publisher.send(["room/1", { sensor: "a", value: 20.5 }]);
    const [topic, { value }] = await subscriber.receive(WAIT);
    expect([String(topic), value]).toEqual(["room/1", 20.5]);
    expect((await raw.receive(WAIT)).length).toBe(2);
    for (const message of [
      ["room"],
      ["a", "b", { sensor: "a", value: 1 }],
      { sensor: "a", value: 1 },
    ] as never[])
      expect((await failure(publisher.send(message))).code).toBe("ERR_INVALID_MESSAGE");
  });

  it("ROUTER and DEALER: routing ids and envelope stay frames", async () => {
    const router = world.router({ codec: json(Reading) });
    const dealer = world.dealer({ codec: json(Reading), routingId: "d" });
    await world.link(router, dealer);
    await dealer.send({ sensor: "a", value: 1 });
    const [id, reading] = (await router.receive(WAIT)) as unknown as [Buffer, { value: number }];
    expect([String(id), reading.value]).toEqual(["d", 1]);
    await router.send([id, { sensor: "b", value: 2 }]);
    expect(await dealer.receive(WAIT)).toEqual([{ sensor: "b", value: 2 }]);
    const request = world.request({ codec: json(Reading) });
    request.connect(router.lastEndpoint as string);
    const answer = request.request({ sensor: "q", value: 3 }, WAIT);
    const [from, ...rest] = await router.receive(WAIT);
    // The delimiter in another form of an empty frame.
    await router.send([from, ...(rest.slice(0, -2) as Buffer[]), null, { sensor: "r", value: 4 }]);
    expect(await answer).toEqual([{ sensor: "r", value: 4 }]);
  });

  it("REQ, REP and PAIR: values both ways", async () => {
    const request = world.request({ codec: json<number>() });
    const reply = world.reply({ codec: json<number>() });
    await world.link(reply, request);
    const answer = request.request(20, WAIT);
    const [question] = await reply.receive(WAIT);
    await reply.send(question * 2);
    expect(await answer).toEqual([40]);
    const pairs = [1, 2].map(() => world.pair({ codec: text() })) as [Pair<string>, Pair<string>];
    await world.link(...pairs);
    await pairs[0].send("a");
    await pairs[1].send("b");
    expect([await pairs[1].receive(WAIT), await pairs[0].receive(WAIT)]).toEqual([["a"], ["b"]]);
  });
});

describeEngines("schemas", (world) => {
  it("a refused value of a secret field is not reported", async () => {
    const codec = json(z.object({ password: z.string().min(20) }));
    const push = world.push({ codec });
    const error = await failure(push.send({ password: "hunter2" }));
    expect(`${error.message} ${JSON.stringify(error.cause)}`).not.toContain("hunter2");
  });
});
