/** How Majordomo's ends begin and end: bind, ready, drain, close, and what each door refuses. */
import { describe, expect, it } from "vitest";
import { Router } from "../../../src/index.js";
import {
  MajordomoBroker,
  type MajordomoCallOptions,
  MajordomoClient,
  type MajordomoRequestContext,
  MajordomoWorker,
} from "../../../src/patterns/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { held } from "../../kit/services.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { gate } from "../../support/gate.js";

const track = closeAfterEach();

async function begin(): Promise<{ broker: MajordomoBroker; endpoint: string; client: MajordomoClient }> {
  const broker = track(new MajordomoBroker());
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  return { broker, endpoint, client: track(new MajordomoClient(endpoint)) };
}

it("bind gives each of several endpoints that are bound at once", async () => {
  const broker = track(new MajordomoBroker());
  const endpoints = ["inproc://life-a", "inproc://life-b", "tcp://127.0.0.1:*"];
  const bound = await Promise.all(endpoints.map((endpoint) => broker.bind(endpoint)));
  expect(bound).toEqual([...endpoints.slice(0, 2), expect.stringMatching(/^tcp:.*:\d+$/)]);
});

it("ready rejects when its time is over, when the end closes, and after that", async () => {
  const client = track(new MajordomoClient("tcp://127.0.0.1:9"));
  const worker = track(new MajordomoWorker("tcp://127.0.0.1:9", "echo", (frames) => frames));
  for (const end of [client, worker]) {
    expect(await failure(end.ready({ timeout: 5 }))).toMatchObject({ code: "ETIMEDOUT" });
    expect(await failure(end.ready({ timeOut: 5 } as object))).toMatchObject({ code: "EINVAL" });
    const waits = failure(end.ready());
    await end.close();
    expect(await waits).toMatchObject({ code: "EAGAIN" });
    expect(await failure(end.ready())).toMatchObject({ code: "EBADF" });
  }
});

describe("drain", () => {
  it("of a client finishes its calls and takes no more", async () => {
    const { endpoint, client } = await begin();
    const { handler, started, open: finish } = held();
    track(new MajordomoWorker(endpoint, "slow", handler));
    const call = client.request("slow", "body");
    await within(started, "the handler runs");
    const drained = client.drain();
    expect(await failure(client.request("slow", "more"))).toMatchObject({ code: "EAGAIN" });
    expect(await failure(client.drain({ timeout: 5 }))).toMatchObject({ code: "ETIMEDOUT" });
    finish();
    expect(String(await call)).toBe("body");
    await within(drained, "drained");
    await client.close();
    expect(await failure(client.request("slow", "more"))).toMatchObject({ code: "EBADF" });
  });

  it("of a worker ends its handlers and takes no more", async () => {
    const { endpoint, client } = await begin();
    const { handler, started, open: finish } = held();
    const worker = track(new MajordomoWorker(endpoint, "slow", handler));
    const call = client.request("slow", "body");
    await within(started, "the handler runs");
    const drained = worker.drain();
    const other = track(new MajordomoWorker(endpoint, "slow", () => "the other"));
    await other.ready();
    finish();
    expect(String(await call)).toBe("body");
    await within(drained, "drained");
    for (let i = 0; i < 3; i++) expect(String(await client.request("slow", "more"))).toBe("the other");
  });

  const plain = ["0.1", "0.2"] as const;
  it.each(plain)("of a worker leaves a broker of MDP/%s, and does not come back", async (protocol) => {
    const { broker, endpoint, client } = await begin();
    const { handler, started, open: finish } = held();
    const worker = track(new MajordomoWorker(endpoint, "slow", handler, { protocol, reconnectInterval: 1 }));
    await worker.ready();
    await until(() => broker.stats().workers === 1, "the worker's READY");
    const call = client.request("slow", "body");
    await within(started, "the handler runs");
    const drained = worker.drain();
    const waiting = client.request("slow", "more");
    finish();
    expect(String(await call)).toBe("body");
    await within(drained, "drained");
    await until(() => broker.stats().workers === 0, "the connection is gone");
    track(new MajordomoWorker(endpoint, "slow", () => "the other", { protocol }));
    expect(String(await within(waiting, "its answer"))).toBe("the other");
    for (let i = 0; i < 3; i++) expect(String(await client.request("slow", "more"))).toBe("the other");
    expect([worker.closed, broker.stats().workers, worker.stats().requests]).toEqual([false, 1, 1]);
  });
});

const PROTOCOLS = ["auto", "0.1", "0.2"] as const;
it.each(
  PROTOCOLS,
)("a handler's signal is aborted when its worker closes or loses its broker (%s)", async (protocol) => {
  for (const end of ["worker", "broker"] as const) {
    const { broker, endpoint, client } = await begin();
    const { passed: started, open: start } = gate();
    const { passed: aborted, open: abort } = gate();
    const handler = async (_: Buffer[], { signal }: MajordomoRequestContext): Promise<string> => {
      signal.addEventListener("abort", abort);
      start();
      await aborted;
      return "";
    };
    const worker = track(new MajordomoWorker(endpoint, "slow", handler, { protocol }));
    const plain = track(new MajordomoClient(endpoint, { protocol: "0.1" }));
    void (protocol === "auto" ? plain : client).request("slow", "body").catch(() => undefined);
    await within(started, "the handler");
    void (end === "worker" ? worker : broker).close({ linger: 0 });
    await within(aborted, `the signal when the ${end} closes`);
  }
});

it.each([
  [{ timout: 5 }, "did you mean timeout"],
  [{ timeout: "5" }, "timeout"],
  [{ timeout: -2 }, "timeout"],
  [{ retries: 0.5 }, "retries"],
  [null, "an object"],
  [[], "an object"],
])("a call refuses %j", async (options, message) => {
  const client = track(new MajordomoClient("tcp://127.0.0.1:9"));
  const given = options as MajordomoCallOptions;
  const refusal = { code: "EINVAL", message: expect.stringContaining(message) };
  expect(await failure(client.request("echo", "x", given))).toMatchObject(refusal);
  expect(() => client.stream("echo", "x", given)).toThrow(message);
  expect(client.stats().requests).toBe(0);
});

it("bounds the bytes of requests without an answer, and counts those that its close ends", async () => {
  const client = track(new MajordomoClient("tcp://127.0.0.1:9", { maxPendingBytes: 100 }));
  const first = failure(client.request("nobody", Buffer.alloc(90)));
  expect(await failure(client.request("nobody", Buffer.alloc(11)))).toMatchObject({
    code: "ERR_TOO_MANY_PENDING",
  });
  await client.close();
  expect(await first).toMatchObject({ code: "EAGAIN" });
  expect(client.stats()).toMatchObject({ requests: 1, cancelled: 1, pending: 0, inFlight: 0 });
});

it("says whose bound an answer is past", async () => {
  const { endpoint } = await begin();
  const client = track(new MajordomoClient(endpoint, { maxAnswerBytes: 1_000 }));
  track(
    new MajordomoWorker(endpoint, "long", async function* () {
      for (let i = 0; i < 10; i++) yield Buffer.alloc(500);
    }),
  );
  expect(await failure(client.request("long", "x"))).toMatchObject({
    reason: "too-large",
    message: expect.stringContaining("maxAnswerBytes"),
  });
});

it("a worker that is sent away connects again after its reconnectInterval, also where other messages came with the DISCONNECT", async () => {
  const broker = track(new Router());
  const times = { heartbeatInterval: 60_000, reconnectInterval: 10 };
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  track(new MajordomoWorker(endpoint, "echo", (frames) => frames, { protocol: "0.2", ...times }));
  const [peer] = await broker.receive();
  // DISCONNECT between two heartbeats.
  for (const command of [5, 6, 5]) broker.trySend([peer as Buffer, "MDPW02", Buffer.of(command)]);
  const [again, , ready] = await broker.receive();
  expect([again?.equals(peer as Buffer), ready]).toEqual([false, Buffer.of(1)]);
});
