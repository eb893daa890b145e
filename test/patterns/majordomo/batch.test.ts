/** Small messages of one turn leave as one, and come out as what they were; what leaves a connection, and when it ends. */
import { describe, expect, it, vi } from "vitest";
import { Context, Dealer, Router } from "../../../src/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/index.js";
import { Batcher, BatchingDealer } from "../../../src/patterns/majordomo/batch.js";
import {
  type Answer,
  Body,
  Dialect,
  encode,
  type Request,
} from "../../../src/patterns/majordomo/protocol.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { ENGINES } from "../../support/engines.js";
import { gate } from "../../support/gate.js";
import {
  answerOf,
  batchOf,
  deliveryOf,
  framesOf,
  idOf,
  NO_ID,
  readAtBroker,
  readAtClient,
  readAtWorker,
  readyOf,
  replyTo,
  requestOf,
} from "./messages.js";

const PEER = Buffer.from("peer");
const SERVICE = Buffer.from("echo");

const requests = (...bodies: string[]): Request[] =>
  bodies.map((body, i) => requestOf(i + 1, { service: SERVICE, oldest: 1, body: Body.of([body]) }));
const answered = (delivery: Request): Answer => replyTo(delivery, true, 0, "a");
const bodyOf = (message: object): string => String((message as { body: Body }).body.frames[0]);

/** A batcher of requests, what it has sent, and the end of the turn. */
function batcher() {
  const sent: { peer: number; bodies: string[]; frames: number }[] = [];
  let flush = (): void => undefined;
  const batches = new Batcher<number, Request>(
    "client",
    (peer, message, _, count) => {
      const frames = message.map((frame) => Buffer.from(frame as Buffer));
      const bodies = readAtBroker([PEER, ...frames]).map(bodyOf);
      expect(bodies).toHaveLength(count);
      sent.push({ peer, bodies, frames: frames.length });
    },
    (end) => {
      flush = end;
    },
  );
  return { batches, said: () => sent.splice(0), end: () => flush() };
}

describe("what is gathered", () => {
  it("is apart for each peer, service and upper half of the number, and in the order of its first ones", () => {
    const { batches, said, end } = batcher();
    const [a, b] = requests("a", "b") as [Request, Request];
    batches.add(1, a);
    batches.add(2, requestOf(9, { body: Body.of(["other peer"]) }));
    batches.add(1, { ...b, service: Buffer.from("other") });
    batches.add(1, { ...b, ...idOf(2 ** 32) });
    batches.add(1, b);
    end();
    expect(said().map(({ peer, bodies }) => [peer, ...bodies])).toEqual([
      [1, "a", "b"],
      [2, "other peer"],
      [1, "b"],
      [1, "b"],
    ]);
  });

  it("leaves before a message to the same peer that goes alone, and not before others", () => {
    const { batches, said } = batcher();
    batches.add(1, requestOf(1));
    batches.add(2, requestOf(1));
    expect(batches.add(1, requestOf(2, { headers: Buffer.of(1) }))).toBe(false);
    batches.flush(1);
    expect(batches.add(1, requestOf(2, { body: Body.of(["x".repeat(1_025)]) }))).toBe(false);
    expect(batches.add(1, requestOf(2, { body: Body.of(["x", "y"]) }))).toBe(false);
    expect(batches.add(1, requestOf(2, { dialect: Dialect.Mdp01, ...NO_ID }))).toBe(false);
    expect(said().map(({ peer }) => peer)).toEqual([1]);
  });

  it("is bounded in members, bytes and peers", () => {
    const { batches, said, end } = batcher();
    for (let i = 1; i <= 513; i++) batches.add(1, requestOf(i, { service: SERVICE }));
    end();
    expect(said().map(({ bodies }) => bodies.length)).toEqual([512, 1]);
    for (let i = 1; i <= 16; i++)
      batches.add(1, requestOf(i, { service: SERVICE, body: Body.of([Buffer.alloc(1_000)]) }));
    end();
    expect(said().map(({ bodies }) => bodies.length)).toEqual([15, 1]);
    for (let peer = 1; peer <= 65; peer++) batches.add(peer, requestOf(1));
    expect(said().map(({ peer }) => peer)).toEqual([1]);
  });

  it("loses no other member when the memory of one is gone before the second", () => {
    const { batches } = batcher();
    const [a, b, c] = requests("a", "b", "c") as [Request, Request, Request];
    const gone = { ...a, body: Body.of([new Uint8Array(new ArrayBuffer(4)) as Buffer]) };
    batches.add(1, gone);
    structuredClone(0, { transfer: [(gone.body.frames[0] as Buffer).buffer as ArrayBuffer] });
    for (const next of [b, c]) expect(() => batches.add(1, next)).toThrow(TypeError);
    const next = batcher();
    next.batches.add(1, b);
    next.batches.add(1, c);
    next.end();
    expect(next.said()).toEqual([{ peer: 1, bodies: ["b", "c"], frames: 3 }]);
  });

  it.each([
    ["deliveries that are a second attempt", deliveryOf(1, { attempt: 2 })],
    ["deliveries of a plain client", deliveryOf(1, NO_ID)],
    ["pieces of an answer", answerOf(1, { final: false, body: Body.of(["x"]) })],
    ["the end of pieces", replyTo(deliveryOf(1), true, 1, "x")],
  ] as const)("has no %s", (_, message) => {
    const nothing = (): void => undefined;
    const batches = new Batcher("worker", nothing, nothing);
    expect(batches.add(1, message)).toBe(false);
  });
});

it("a batch is read as its messages: at a worker, at a client, and answers of a worker at a broker", () => {
  const members = [1, 2].map((i) => deliveryOf(i, { ...idOf(2 ** 33 + i), oldest: 2 ** 33, time: i }));
  const read = readAtWorker(batchOf("worker", members));
  expect(read.map(bodyOf)).toEqual(["1", "2"]);
  expect(read).toMatchObject(
    members.map(({ number, sequence, oldest, time }) => ({ number, sequence, oldest, time, attempt: 1 })),
  );
  const answers = [1, 2].map((i) => answerOf(i, { body: Body.of([`${i}!`]) }));
  const told = readAtClient(batchOf("client", answers));
  expect(told.map(bodyOf)).toEqual(["1!", "2!"]);
  expect(told).toMatchObject(answers.map(({ number }) => ({ number, final: true, pieces: 0 })));
  const replies = read.map((delivery) => replyTo(delivery as Request, true, 0, "é"));
  const heard = readAtBroker([PEER, ...batchOf("worker", replies)]);
  expect(heard.map(bodyOf)).toEqual(["é", "é"]);
  expect(heard).toMatchObject([{ number: 1 }, { number: 2 }]);
});

describe("a malformed batch is one fault, and none of it is handled:", () => {
  const good = batchOf("client", requests("a", "bb"));
  const [head, index, bodies] = good as [Buffer, Buffer, Buffer];
  it.each([
    ["without an index", [head], "body"],
    ["without bodies", [head, index], "body"],
    ["with a further frame", [...good, bodies], "body"],
    ["with an empty index", [head, Buffer.alloc(0), Buffer.alloc(0)], "body"],
    ["with a part of an entry", [head, index.subarray(1), bodies], "body"],
    ["with fewer bytes than its lengths", [head, index, bodies.subarray(1)], "body"],
    ["with more", [head, index, Buffer.concat([bodies, bodies])], "body"],
    ["of too many members", [head, Buffer.alloc(14 * 513), Buffer.alloc(0)], "body"],
    ["whose id is cut off", [head.subarray(0, 20), index, bodies], "id"],
  ] as const)("%s", (_, frames, reason) => {
    expect(readAtBroker([PEER, ...frames])).toMatchObject([{ kind: "fault", reason }]);
  });

  it("of replies, with the dialect of the worker that is sent away; at a client, and at a worker", () => {
    const twice = [deliveryOf(1), deliveryOf(2)];
    const [replies, entries] = batchOf("worker", twice.map(answered)) as [Buffer, Buffer];
    expect(readAtBroker([PEER, replies, entries])).toMatchObject([{ kind: "fault", worker: Dialect.Shoal }]);
    const both = [1, 2].map((i) => answerOf(i, { body: Body.of(["a"]) }));
    const [answers] = batchOf("client", both) as [Buffer];
    expect(readAtClient([answers, entries])).toMatchObject([{ kind: "fault" }]);
    const [deliveries] = batchOf("worker", twice) as [Buffer];
    expect(readAtWorker([deliveries, entries, Buffer.from("a")])).toMatchObject([{ kind: "fault" }]);
  });
});

const track = closeAfterEach();

describe("over sockets", () => {
  const brokerOf = (): Promise<string> => track(new MajordomoBroker()).bind("tcp://127.0.0.1:*");

  it("requests of one turn come to a worker in one message, and its answers to their callers", async () => {
    const endpoint = await brokerOf();
    const worker = track(new Dealer());
    worker.connect(endpoint);
    await worker.send(encode("worker", readyOf("w", 9)));
    const client = track(new MajordomoClient(endpoint));
    await client.ready();
    const asked = ["a", "b", "c"].map((body) => client.request("echo", body, { timeout: 20_000 }));
    const given = readAtWorker(await worker.receive());
    expect(given.map(bodyOf)).toEqual(["a", "b", "c"]);
    const replies = given.map((delivery) => replyTo(delivery as Request, true, 0, `${bodyOf(delivery)}!`));
    await worker.send(batchOf("worker", replies));
    expect((await Promise.all(asked)).map(String)).toEqual(["a!", "b!", "c!"]);
  });

  it("a worker's answers of one turn come to the client in one message", async () => {
    const endpoint = await brokerOf();
    const echo = ([body]: Buffer[]): Buffer => body as Buffer;
    const worker = track(new MajordomoWorker(endpoint, "echo", echo, { concurrency: 9 }));
    await worker.ready();
    const client = track(new Dealer());
    client.connect(endpoint);
    await client.send(batchOf("client", requests("a", "b", "c")));
    expect(readAtClient(await client.receive()).map(bodyOf)).toEqual(["a", "b", "c"]);
  });

  it("a malformed one is no vote of a client at a gate", async () => {
    const admitted: Buffer[][] = [];
    const admit = (message: Buffer[]): boolean => admitted.push(message) > 0;
    const broker = track(
      new MajordomoBroker({ gate: { admit, isServing: () => true, passTo: () => undefined } }),
    );
    const client = track(new Dealer());
    client.connect(await broker.bind("tcp://127.0.0.1:*"));
    const invalid = new Promise((resolve) => broker.events.on("peer:invalid", resolve));
    const [head, index] = batchOf("client", requests("a", "b")) as [Buffer, Buffer];
    await client.send([head, index, Buffer.from("abc")]);
    expect(await invalid).toMatchObject({ reason: "body" });
    expect(admitted).toEqual([]);
    await client.send(batchOf("client", requests("a", "b")));
    await vi.waitFor(() => expect(broker.stats().queued).toBe(2));
    expect(admitted).toHaveLength(1);
  });

  it("each request gets its own answer, whatever its size and form, from handlers of any speed", async () => {
    const endpoint = await brokerOf();
    for (const name of ["w1", "w2"]) {
      const echo = async (frames: Buffer[]): Promise<(Buffer | string)[]> => {
        const first = frames[0] as Buffer;
        if (first.length % 3 === 1) await undefined;
        if (first.length % 50 === 7) await new Promise((resolve) => setImmediate(resolve));
        return first.length % 4 === 3 ? frames.map(String) : frames;
      };
      await track(new MajordomoWorker(endpoint, "echo", echo, { concurrency: 16, name })).ready();
    }
    const clients = [1, 2].map(() => track(new MajordomoClient(endpoint)));
    await Promise.all(clients.map((client) => client.ready()));
    const ask = async (client: MajordomoClient, who: number, round: number, i: number): Promise<void> => {
      const text = `${who} ${round} ${i} `.padEnd((i * 37) % 1_300, "xyz");
      const body = i % 11 === 0 ? [text, "second"] : i % 2 === 0 ? text : Buffer.from(text);
      const options = i % 13 === 0 ? { headers: { i: String(i) } } : {};
      const reply = await client.request("echo", body, { timeout: 30_000, ...options });
      expect(reply.map(String)).toEqual(i % 11 === 0 ? [text, "second"] : [text]);
    };
    for (let round = 0; round < 2; round++)
      await Promise.all(
        clients.flatMap((client, who) => Array.from({ length: 300 }, (_, i) => ask(client, who, round, i))),
      );
  });

  it.each([
    ["its sockets", { maxMessageSize: 32_767 }],
    ["its context", { context: new Context({ maxMessageSize: 32_767 }) }],
  ])("an end is refused whose messages may be smaller than a batch by the options of %s", (_, socketOptions) => {
    const endpoint = "tcp://127.0.0.1:9";
    const refused = "Option maxMessageSize must be at least 32768 here";
    expect(() => new MajordomoBroker({ socketOptions })).toThrow(refused);
    expect(() => new MajordomoClient(endpoint, { socketOptions })).toThrow(refused);
    expect(() => new MajordomoWorker(endpoint, "echo", () => "", { socketOptions })).toThrow(refused);
  });
});

/** Messages: more than a turn's receives take. */
const MANY = 20_000;

describe.each(ENGINES)("a client's connection, engine %s", (engine) => {
  /** It, its peer, and what it heard: numbers of answers, and "ended". */
  async function connection() {
    const context = new Context({ engine });
    const router = track(new Router({ context, sendHighWaterMark: 0 }));
    const heard: (number | "ended")[] = [];
    const { passed: ended, open: end } = gate();
    const dealer = new BatchingDealer(
      "client",
      await router.bind("tcp://127.0.0.1:*"),
      { context, receiveHighWaterMark: 0 },
      {
        arrived: (read) =>
          read((message) => heard.push(message.kind === "answer" ? message.number : Number.NaN)),
        ended: () => {
          heard.push("ended");
          end();
        },
      },
    );
    track({ close: () => dealer.close(0) });
    return { router, dealer, heard, ended };
  }

  it("sends a message alone after those that were gathered before it", async () => {
    const { router, dealer } = await connection();
    for (const number of [1, 2]) dealer.send(requestOf(number));
    dealer.send({ kind: "cancel", number: 1 });
    const [gathered, alone] = [await router.receive(), await router.receive()];
    expect(readAtBroker(gathered)).toMatchObject([{ number: 1 }, { number: 2 }]);
    expect(readAtBroker(alone)).toMatchObject([{ kind: "cancel", number: 1 }]);
  });

  it("ends once, after all that its peer has sent", async () => {
    const { router, dealer, heard, ended } = await connection();
    dealer.send(requestOf(1));
    const [peer] = (await router.receive()) as [Buffer];
    for (let number = 1; number <= MANY; number++) router.trySend(framesOf(peer, answerOf(number)));
    await router.close();
    await ended;
    expect([heard.length, heard.at(-1), heard.at(-2)]).toEqual([MANY + 1, "ended", MANY]);
  });
});
