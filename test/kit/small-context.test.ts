/** Patterns in a Context whose messages are bounded: what is too large fails by itself, and the rest goes on. */
import { describe, expect, test } from "vitest";
import { Context, Dealer, Router } from "../../src/index.js";
import { SendQueue } from "../../src/kit/sockets.js";
import * as patterns from "../../src/patterns/index.js";
import { until, within } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";

const AT = "tcp://127.0.0.1:*";
const PROTOCOLS = ["auto", "0.1", "0.2"] as const;
const track = closeAfterEach();

const large = () => [Buffer.alloc(700), Buffer.alloc(700)];
const small = () => ({ socketOptions: { context: new Context({ maxMessageSize: 1_000 }) } });
const handler = ([body]: readonly Buffer[]): Buffer[] =>
  String(body) === "large" ? large() : [Buffer.from("ok")];
/** An end of Majordomo takes batches, of up to 32,768 bytes. */
const medium = () => ({ socketOptions: { context: new Context({ maxMessageSize: 40_000 }) } });
const larger = () => [Buffer.alloc(28_000), Buffer.alloc(28_000)];
const reply = ([body]: readonly Buffer[]): Buffer[] =>
  String(body) === "large" ? larger() : [Buffer.from("ok")];
function throwLarge(): never {
  throw Object.assign(new Error("too much"), { data: "d".repeat(60_000) });
}
/** A reply's bytes, or the error's code and reason. */
const outcome = (call: Promise<readonly Buffer[]>): Promise<string> =>
  within(
    call.then(
      (reply) => `${Buffer.concat(reply).length}`,
      (error: { code: string; reason?: string }) => [error.code, error.reason ?? []].flat().join(" "),
    ),
    "the call's end",
  );

test.each([
  ["auto", "at once", reply],
  ["auto", "later", async (body: Buffer[]) => reply(body)],
  ["0.1", "later", async (body: Buffer[]) => reply(body)],
  ["0.2", "at once", reply],
] as const)("a Majordomo worker's answer that is too large is an error, and the next is not (%s, %s)", async (protocol, _, handle) => {
  const endpoint = await track(new patterns.MajordomoBroker()).bind(AT);
  const failed: unknown[] = [];
  const worker = track(new patterns.MajordomoWorker(endpoint, "s", handle, { protocol, ...medium() }));
  worker.events.on("handler:failed", ({ error }) => failed.push(error));
  const client = track(new patterns.MajordomoClient(endpoint, { timeout: 8_000, retries: 0 }));
  expect(await outcome(client.request("s", "large"))).toBe("ERR_SERVICE worker-failed");
  expect(await outcome(client.request("s", "x"))).toBe("2");
  expect(failed).toMatchObject([{ code: "EINVAL" }]);
});

test.each([
  ["at once", (): never => throwLarge()],
  ["later", async (): Promise<never> => throwLarge()],
])("a Majordomo worker's error whose data is too large is one without data (%s)", async (_, handle) => {
  const endpoint = await track(new patterns.MajordomoBroker()).bind(AT);
  const worker = track(new patterns.MajordomoWorker(endpoint, "s", handle, medium()));
  worker.events.on("handler:failed", () => undefined);
  const client = track(new patterns.MajordomoClient(endpoint, { timeout: 8_000, retries: 0 }));
  for (let i = 0; i < 2; i++)
    expect(await outcome(client.request("s", "x"))).toBe("ERR_SERVICE worker-failed");
});

test.each(
  PROTOCOLS,
)("a Majordomo client's request that is too large is refused, now or when a broker is there (%s)", async (protocol) => {
  const broker = track(new patterns.MajordomoBroker());
  const endpoint = await broker.bind(AT);
  track(new patterns.MajordomoWorker(endpoint, "s", reply));
  const client = track(new patterns.MajordomoClient(endpoint, { timeout: 8_000, protocol, ...medium() }));
  for (let i = 0; i < 2; i++) {
    const calls = [client.request("s", "x"), client.request("s", larger()), client.request("s", "x")];
    expect(await Promise.all(calls.map(outcome))).toEqual(["2", "EINVAL", "2"]);
  }
  expect(client.stats()).toMatchObject({ failed: 2, answered: 4 });
});

test.each(PROTOCOLS)("a Majordomo broker passes on what came in, whatever it adds (%s)", async (protocol) => {
  const endpoint = await track(new patterns.MajordomoBroker(medium())).bind(AT);
  track(new patterns.MajordomoWorker(endpoint, "s", (body) => body, { protocol }));
  const client = track(new patterns.MajordomoClient(endpoint, { timeout: 8_000, protocol }));
  for (let bytes = 39_900; bytes <= 39_960; bytes += 5)
    expect(await outcome(client.request("s", Buffer.alloc(bytes)))).toBe(String(bytes));
});

describe.each(["simple", "paranoid"] as const)("Pirates (%s)", (dialect) => {
  async function begin(options: object = {}): Promise<{ frontend: string; backend: string }> {
    const queue = track(
      dialect === "simple" ? new patterns.LoadBalancer(options) : new patterns.PirateQueue(options),
    );
    return { frontend: await queue.bind("frontend", AT), backend: await queue.bind("backend", AT) };
  }

  test("a worker's reply that is too large is an error, and the next is not", async () => {
    const { frontend, backend } = await begin();
    const worker = track(new patterns.PirateWorker(backend, handler, { dialect, ...small() }));
    const failed: unknown[] = [];
    worker.events.on("handler:failed", ({ error }) => failed.push(error));
    const client = track(new patterns.LoadBalancerClient(frontend, { timeout: 8_000 }));
    expect(await outcome(client.request("large"))).toBe("ERR_SERVICE worker-failed");
    expect(await outcome(client.request("x"))).toBe("2");
    expect(failed).toMatchObject([{ code: "EINVAL" }]);
  });

  test("a broker passes on what came in, whatever it adds, and goes on when a peer sends too much", async () => {
    const { frontend, backend } = await begin(small());
    track(new patterns.PirateWorker(backend, ([body]) => [body as Buffer], { dialect }));
    const client = track(new patterns.LoadBalancerClient(frontend, { timeout: 8_000 }));
    for (let bytes = 900; bytes < 990; bytes += 5)
      expect(await outcome(client.request(Buffer.alloc(bytes)))).toBe(String(bytes));
    expect(await outcome(client.request(large()))).toBe("ERR_SERVICE broker-lost");
    expect(await outcome(client.request("x"))).toBe("1");
  });
});

test.each([
  ["PirateClient", 1, patterns.PirateClient],
  ["FreelanceFailoverClient", 1, patterns.FreelanceFailoverClient],
  ["FreelanceShotgunClient", 2, patterns.FreelanceShotgunClient],
  ["FreelanceClient", 3, patterns.FreelanceClient],
  ["LoadBalancerClient", 1, patterns.LoadBalancerClient],
] as const)("a %s refuses what is too large, now or when a server is there, and asks the next", async (_, model, Client) => {
  const endpoint = await track(new patterns.FreelanceServer(handler, { model })).bind(AT);
  const client = track(
    new (Client as typeof patterns.PirateClient)(endpoint, { timeout: 8_000, ...small() }),
  );
  for (let i = 0; i < 2; i++) {
    const calls = [client.request(large()), client.request("x")];
    expect(await Promise.all(calls.map(outcome))).toEqual(["EINVAL", "2"]);
  }
  expect(client.stats()).toMatchObject({ requests: 4, replies: 2, pending: 0, pendingBytes: 0 });
});

test("a Freelance server goes on when a request leaves no room for an answer, nor for an error", async () => {
  const server = track(new patterns.FreelanceServer(() => Buffer.alloc(100), small()));
  const endpoint = await server.bind(AT);
  server.events.on("handler:failed", () => undefined);
  const hostile = track(new Dealer());
  hostile.connect(endpoint);
  await hostile.send([Buffer.alloc(990, "c"), "x"]);
  await until(() => server.stats().unroutable === 1, "the answer that fits nowhere");
  const client = track(new patterns.FreelanceClient(endpoint, { timeout: 8_000 }));
  expect(await outcome(client.request("x"))).toBe("100");
});

test("a Freelance server's error that is too large is cut", async () => {
  const handle = (): never => {
    throw Object.assign(new Error("e".repeat(2_000)), { expose: true });
  };
  const options = { socketOptions: { context: new Context({ maxMessageSize: 1_500 }) } };
  const server = track(new patterns.FreelanceServer(handle, options));
  server.events.on("handler:failed", () => undefined);
  const client = track(new patterns.FreelanceClient(await server.bind(AT), { timeout: 8_000 }));
  expect(await outcome(client.request("x"))).toBe("ERR_SERVICE worker-failed");
});

test("a Pirate worker that can send neither answer nor error is as one that starts again", async () => {
  const queue = track(new Router());
  const endpoint = await queue.bind(AT);
  const worker = track(new patterns.PirateWorker(endpoint, () => "an answer", small()));
  worker.events.on("handler:failed", () => undefined);
  const [id, ready] = await within(queue.receive(), "READY");
  await queue.send([id as Buffer, Buffer.alloc(992, "a"), "", "x"]);
  const [again, command] = await within(queue.receive(), "READY again");
  expect([again, command]).toEqual([id, ready]);
  await queue.send([id as Buffer, "a", "", "x"]);
  expect(String((await within(queue.receive(), "an answer")).at(-1))).toBe("an answer");
});

test("a Clone client's value that is too large is refused, now or when a server is there", async () => {
  const server = track(new patterns.CloneServer());
  const source = new ListedEndpoints([]);
  const context = new Context({ maxMessageSize: 1_000 });
  const client = track(new patterns.CloneClient(source, { context, timeout: 8_000 }));
  const set = (bytes: number): Promise<string> =>
    outcome(client.set("k", Buffer.alloc(bytes)).then(() => [client.get("k") as Buffer]));
  const calls = [set(1), set(2_000), set(3)];
  source.set(await server.bind(AT));
  expect(await Promise.all(calls)).toEqual(["1", "EINVAL", "3"]);
  expect(await set(2_000)).toBe("EINVAL");
  expect(await set(5)).toBe("5");
  expect(client.stats()).toMatchObject({ aborted: 2, inFlight: 0 });
});

test("a sequenced publisher's message that is too large is refused, and is no gap", async () => {
  const publisher = track(new patterns.SequencedPublisher(small()));
  const subscriber = track(new patterns.SequencedSubscriber());
  subscriber.subscribe("t");
  subscriber.connect(await publisher.bind(AT));
  await publisher.waitForSubscribers();
  expect(publisher.publish("t", "a")).toBe(1);
  expect(() => publisher.publish("t", large())).toThrow(expect.objectContaining({ code: "EINVAL" }));
  expect(() => publisher.publish("other", large())).toThrow(expect.objectContaining({ code: "EINVAL" }));
  expect(publisher.publish("t", "b")).toBe(2);
  for (const sequence of [1, 2])
    expect((await within(subscriber.receive(), "a message")).sequence).toBe(sequence);
  expect(subscriber.stats().gaps).toBe(0);
  expect(publisher.stats()).toMatchObject({ topics: 1, kept: 2, published: 2 });
});

test("a sequenced subscriber asks for messages of a topic that its context has hardly room for", async () => {
  const publisher = track(new patterns.SequencedPublisher());
  const { socketOptions } = small();
  const subscriber = track(new patterns.SequencedSubscriber({ socketOptions, replayOptions: socketOptions }));
  subscriber.connect(await publisher.bind(AT), await publisher.bindReplay(AT));
  const range = { publisher: publisher.id, topic: Buffer.alloc(990), stream: 1, from: 1, to: 2 };
  expect(await within(subscriber.replay(range), "the end")).toMatchObject({ outcome: "gone", missing: 2 });
});

test("a message that is too large is refused while others wait for room, and they are not lost", async () => {
  const context = new Context({ maxMessageSize: 1_000 });
  const dealer = track(new Dealer({ context, sendHighWaterMark: 1 }));
  const queue = new SendQueue(dealer);
  for (const text of ["1", "2"]) void queue.send([text]);
  expect(queue.length).toBe(2);
  expect(() => queue.send(large())).toThrow(expect.objectContaining({ code: "EINVAL" }));
  const router = track(new Router());
  dealer.connect(await router.bind(AT));
  for (const text of ["1", "2"]) expect(String((await within(router.receive(), "it"))[1])).toBe(text);
});
