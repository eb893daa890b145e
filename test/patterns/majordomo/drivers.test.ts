/** Broker, workers and clients together, over real sockets; and what a handler gets in addition to the body. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { json, Router } from "../../../src/index.js";
import {
  MajordomoBroker,
  type MajordomoBrokerOptions,
  MajordomoClient,
  type MajordomoClientOptions,
  type MajordomoHandler,
  MajordomoWorker,
  type MajordomoWorkerOptions,
} from "../../../src/patterns/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { held } from "../../kit/services.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { gate } from "../../support/gate.js";
import { abortListeners } from "../../support/settled.js";

const track = closeAfterEach();

async function broker(options?: MajordomoBrokerOptions): Promise<MajordomoBroker & { endpoint: string }> {
  const made = track(new MajordomoBroker(options));
  return Object.assign(made, { endpoint: await made.bind("tcp://127.0.0.1:*") });
}

const PROTOCOLS = ["auto", "0.1", "0.2"] as const;

describe.each(PROTOCOLS)("a client of protocol %s", (protocol) => {
  it.each(PROTOCOLS)("is answered by a worker of %s, errors included", async (other) => {
    const { endpoint } = await broker();
    const handler = ([body]: Buffer[]): Buffer[] => {
      if (String(body) === "bad") throw Object.assign(new Error("no such fish"), { expose: true });
      return [body as Buffer, Buffer.alloc(0), Buffer.from("!")];
    };
    track(new MajordomoWorker(endpoint, "echo", handler, { protocol: other, concurrency: 4 }));
    const client = track(new MajordomoClient(endpoint, { protocol }));
    const replies = await Promise.all(Array.from({ length: 40 }, (_, i) => client.request("echo", `${i}`)));
    expect(replies.map((reply) => reply.map(String).join("|"))).toEqual(replies.map((_, i) => `${i}||!`));
    expect(await failure(client.request("echo", "bad"))).toMatchObject({
      code: "ERR_SERVICE",
      reason: "worker-failed",
      message: "echo: no such fish",
    });
    expect(String(await client.request("echo", "after"))).toBe("after,,!");
  });
});

it.each([
  ["a client", "auto", "0.1"],
  ["a worker", "0.1", "auto"],
] as const)("an answer in pieces is an error where %s speaks 0.1, and one without pieces is not", async (_, worker, client) => {
  const { endpoint } = await broker();
  const handler = async function* ([text]: Buffer[]): AsyncGenerator<string, string> {
    if (String(text) === "pieces") yield* ["a", "b"];
    return "end";
  };
  const working = track(new MajordomoWorker(endpoint, "some", handler, { protocol: worker }));
  const asking = track(new MajordomoClient(endpoint, { protocol: client, retries: 0 }));
  expect(String(await asking.request("some", "x"))).toBe("end");
  expect(await failure(asking.request("some", "pieces"))).toMatchObject({
    reason: "invalid-reply",
    message: "some: The answer has pieces, which MDP 0.1 does not have.",
  });
  expect(String(await asking.request("some", "x"))).toBe("end");
  await until(() => working.stats().running === 0, "the end of the handler");
});

it("gives pieces as they come, and ends the generator when the reader leaves", async () => {
  const { endpoint } = await broker();
  const ended: string[] = [];
  async function* count([most]: Buffer[], { signal }: { signal: AbortSignal }) {
    try {
      for (let i = 1; i <= Number(most); i++) {
        yield String(i);
        await new Promise((resolve) => setImmediate(resolve));
        if (signal.aborted) return undefined;
      }
    } finally {
      ended.push(signal.aborted ? "aborted" : "done");
    }
    return undefined;
  }
  track(new MajordomoWorker(endpoint, "count", count));
  const client = track(new MajordomoClient(endpoint));
  const pieces: string[] = [];
  for await (const piece of client.stream("count", "3")) pieces.push(String(piece));
  expect(pieces).toEqual(["1", "2", "3"]);
  expect((await client.request("count", "3")).map(String)).toEqual(["1", "2", "3"]);
  for await (const piece of client.stream("count", "1000000")) if (String(piece) === "2") break;
  expect(String(await client.request("count", "1"))).toBe("1");
  expect(ended).toEqual(["done", "done", "aborted", "done"]);
});

it("carries typed values, and refuses what does not pass the schema at either end", async () => {
  const { endpoint } = await broker();
  const requestCodec = json(z.object({ width: z.number() }));
  const replyCodec = json(z.object({ area: z.number() }));
  const codecs = { requestCodec, replyCodec };
  track(new MajordomoWorker(endpoint, "area", async ({ width }) => ({ area: width * width }), codecs));
  const client = track(new MajordomoClient(endpoint, codecs));
  expect((await client.request("area", { width: 3 })).area).toBe(9);
  const wrong = { width: "three" } as unknown as { width: number };
  expect((await failure(client.request("area", wrong))).code).toBe("ERR_INVALID_MESSAGE");
  const raw = track(new MajordomoClient(endpoint));
  expect(await failure(raw.request("area", "no JSON"))).toMatchObject({ reason: "invalid-request" });
});

it("reports to the client why there is no answer: no service, overloaded, stopping, aborted, late", async () => {
  const { endpoint } = await broker({ waitForService: false, maxQueue: 1 });
  const client = track(new MajordomoClient(endpoint));
  expect(await failure(client.request("nobody", "x"))).toMatchObject({ reason: "no-service" });
  const { passed: never, open: begun } = gate();
  const worker = new MajordomoWorker(endpoint, "slow", (_, { signal }) => {
    begun();
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  });
  track(worker);
  await within(new Promise((resolve) => worker.events.on("broker:joined", resolve)), "the event");
  while (String(await client.request("mmi.service", "slow")) !== "200");
  const abort = new AbortController();
  const first = client.request("slow", "x", { signal: abort.signal });
  await never;
  const second = client.request("slow", "x", { timeout: 300, retries: 0 });
  expect(await failure(client.request("slow", "x"))).toMatchObject({ reason: "overloaded" });
  expect(await failure(second)).toMatchObject({ code: "ETIMEDOUT" });
  abort.abort();
  expect(await failure(first)).toMatchObject({ code: "ABORT_ERR" });
  await expect.poll(() => worker.stats().cancelled).toBeGreaterThan(0);
  expect(client.stats()).toMatchObject({ failed: 2, timedOut: 1, cancelled: 1, inFlight: 0 });
});

describe("a broker whose connections end, long before its silence would mean anything", () => {
  const patient = { heartbeatInterval: 60_000 };

  it.each(PROTOCOLS)("is left by a client of protocol %s, with what it was asked", async (protocol) => {
    const first = await broker(patient);
    const second = await broker(patient);
    const { handler: silent, started } = held();
    track(new MajordomoWorker(first.endpoint, "echo", silent, patient));
    track(new MajordomoWorker(second.endpoint, "echo", (request) => request, patient));
    const options = { ...patient, protocol, timeout: 600_000 };
    const client = track(new MajordomoClient([first.endpoint, second.endpoint], options));
    const reply = client.request("echo", "x");
    await within(started, "the request is in flight");
    await first.close({ linger: 0 });
    expect(String(await within(reply, "the second broker's answer"))).toBe("x");
  });
});

it("closing drains: what is in flight is answered, what comes is refused", async () => {
  const made = await broker();
  const { handler, started, open: finish } = held();
  const worker = track(new MajordomoWorker(made.endpoint, "slow", handler));
  const client = track(new MajordomoClient(made.endpoint));
  const inHand = client.request("slow", "x");
  await started;
  const left = new Promise((resolve) => worker.events.on("broker:left", resolve));
  const closing = made.close({ linger: 5_000 });
  expect(await failure(client.request("slow", "y"))).toMatchObject({ reason: "stopping" });
  finish();
  expect(String(await inHand)).toBe("x");
  await closing;
  expect(await within(left, "the end")).toMatchObject({ reason: "disconnect" });
});

it("a peer that breaks the protocol is an event and a count; the others go on", async () => {
  const made = await broker();
  track(new MajordomoWorker(made.endpoint, "echo", (request) => request));
  const client = track(new MajordomoClient(made.endpoint));
  await client.request("echo", "before");
  const hostile = track(new Router());
  const fault = new Promise((resolve) => made.events.on("peer:invalid", resolve));
  hostile.connect(made.endpoint, { routingId: "broker" });
  await hostile.ready();
  for (const junk of [
    [""],
    ["", "MDPW01"],
    ["", "MDPW01", "\x03", "tag"],
    ["SHLW01\x07", "tag"],
    ["x", "y", "z"],
  ]) {
    await hostile.send(["broker", ...junk]);
  }
  await within(fault, "the event");
  expect(String(await client.request("echo", "after"))).toBe("after");
  while (made.stats().faults < 5) await client.request("echo", "again");
});

it.each([undefined, null, 7, "", "x".repeat(256)])("a service called %s is refused", async (name) => {
  const client = track(new MajordomoClient("tcp://127.0.0.1:1"));
  const service = name as string;
  expect(await failure(client.request(service, "x"))).toMatchObject({ code: "EINVAL" });
  expect(() => client.stream(service, "x")).toThrow(expect.objectContaining({ code: "EINVAL" }) as Error);
  expect(client.stats()).toMatchObject({ requests: 0, pending: 0 });
});

const tell: MajordomoHandler = (_request, { headers, deadline, attempt, id }) =>
  JSON.stringify({
    headers,
    left: deadline === undefined ? null : deadline.getTime() - Date.now(),
    attempt,
    id,
  });

/** A worker that tells what its handler gets, and a client. */
async function begin(options: { worker?: MajordomoWorkerOptions; client?: MajordomoClientOptions } = {}) {
  const { endpoint } = await broker();
  await track(new MajordomoWorker(endpoint, "work", tell, options.worker)).ready();
  return { client: track(new MajordomoClient(endpoint, options.client)) };
}

it("a handler has the client's headers, its deadline and the attempt", async () => {
  const { client } = await begin();
  const headers = { trace: "a-1", größe: "ü", empty: "" };
  const got = JSON.parse(String(await client.request("work", "x", { headers, timeout: 5_000 })));
  expect(got).toMatchObject({ headers, attempt: 1, id: expect.stringMatching(/^[0-9a-f]{32}$/) });
  expect(got.left).toBeGreaterThan(0);
  expect(got.left).toBeLessThanOrEqual(5_001);
  const without = JSON.parse(String(await client.request("work", "x", { timeout: -1 })));
  expect(without).toMatchObject({ headers: {}, left: null, attempt: 1 });
});

it("a plain worker serves a request with headers, and a plain client has no headers or deadline", async () => {
  const plain = await begin({ worker: { protocol: "0.1" } });
  const got = await plain.client.request("work", "x", { headers: { trace: "c" } });
  expect(JSON.parse(String(got))).toMatchObject({ headers: {}, left: null, attempt: 1 });
  const asked = await begin({ client: { protocol: "0.2" } });
  expect(JSON.parse(String(await asked.client.request("work", "x")))).toMatchObject({
    headers: {},
    attempt: 1,
  });
  expect(await failure(asked.client.request("work", "x", { headers: { trace: "d" } }))).toMatchObject({
    code: "NOT_SUPPORTED",
  });
});

it("an answer in pieces that fails as it is asked for leaves nothing on its signal", async () => {
  const { client } = await begin({ client: { protocol: "0.2" } });
  await client.request("work", "x");
  const { signal } = new AbortController();
  const pieces = client.stream("work", "x", { headers: { trace: "d" }, signal });
  expect(abortListeners(signal)).toBe(0);
  expect(await failure(pieces.next())).toMatchObject({ code: "NOT_SUPPORTED" });
});

it.each([
  [{ trace: 5 }, "trace must be a text"],
  [[], "an object"],
  [{ "": "x" }, "1 to 255"],
  [{ trace: "x".repeat(8_193) }, "8192"],
  [Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`n${n}`, "12345678"])), "8192"],
])("headers that cannot be right are refused: %#", async (headers, message) => {
  const { client } = await begin();
  const refused = await failure(client.request("work", "x", { headers: headers as Record<string, string> }));
  expect(refused).toMatchObject({ code: "EINVAL", message: expect.stringContaining(message) });
});
