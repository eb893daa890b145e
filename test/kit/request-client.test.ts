/** The retrying client: what a listener or a socket does in the middle of an attempt. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Reply, Router } from "../../src/index.js";
import { errorReply } from "../../src/kit/errors.js";
import {
  BinaryStarClient,
  FreelanceFailoverClient,
  FreelanceServer,
  PirateClient,
  PirateQueue,
} from "../../src/patterns/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";

/** Nobody listens there: 9 is the port that discards. */
const NOBODY = ["tcp://127.0.0.1:9", "tcp://127.0.0.1:10"] as const;

type Pair = readonly [string, string];
type Client = PirateClient | FreelanceFailoverClient | BinaryStarClient;

const kept = closeAfterEach();
const uncaught: unknown[] = [];
const note = (error: unknown): void => void uncaught.push(error);

beforeEach(() => {
  process.on("uncaughtException", note);
});
afterEach(() => {
  process.off("uncaughtException", note);
  expect(uncaught.splice(0)).toEqual([]);
});

describe.each([
  ["PirateClient", () => new PirateClient(NOBODY, { attemptTimeout: 50, retries: 3, retryDelay: 0 })],
  ["FreelanceFailoverClient", () => new FreelanceFailoverClient(NOBODY, { attemptTimeout: 50, retries: 3 })],
  ["BinaryStarClient", () => new BinaryStarClient(NOBODY, { attemptTimeout: 50, timeout: 2_000 })],
] as const)("a listener of `request:retried` of a %s", (_, create) => {
  function firstRetry(client: Client, action: () => void): void {
    (client as PirateClient).events.once("request:retried", action);
  }

  test("may abort the call: the next one has its own attempts", async () => {
    const client = kept(create());
    const controller = new AbortController();
    firstRetry(client, () => controller.abort());
    const first = client.request("first", { signal: controller.signal });
    const second = client.request("second", { timeout: 300 });
    await expect(first).rejects.toMatchObject({ code: "ABORT_ERR" });
    const { attempts } = client.stats();
    expect(attempts).toBe(2);
    await expect(second).rejects.toMatchObject({ code: "ETIMEDOUT" });
    expect(client.stats()).toMatchObject({ requests: 2, cancelled: 1, failed: 1, pending: 0 });
  });

  test("may close the client", async () => {
    const client = kept(create());
    firstRetry(client, () => void client.close());
    await expect(client.request("first")).rejects.toMatchObject({ code: "EAGAIN" });
    await client.close();
    expect(client.stats()).toMatchObject({ attempts: 1, cancelled: 1, pending: 0 });
  });
});

test.each([
  ["PirateClient", (endpoints: Pair) => new PirateClient([...endpoints])],
  ["FreelanceFailoverClient", (endpoints: Pair) => new FreelanceFailoverClient([...endpoints])],
  ["BinaryStarClient", (endpoints: Pair) => new BinaryStarClient(endpoints)],
] as const)("a %s whose requests have less time than an attempt asks the next server after one that did not answer at all", async (_, create) => {
  const [silent, server] = [kept(new Router()), kept(new Reply())];
  const endpoints = [await silent.bind("tcp://127.0.0.1:*"), await server.bind("tcp://127.0.0.1:*")] as const;
  const client = kept(create(endpoints));
  const failed = client.request("first", { timeout: 100 });
  await expect(failed).rejects.toMatchObject({ code: "ETIMEDOUT" });
  const answered = client.request("second", { timeout: 10_000, attemptTimeout: 10_000 });
  const request = await server.receive();
  expect(request.map(String)).toEqual(["second"]);
  await server.send("reply");
  expect(String(await answered)).toContain("reply");
});

test("a call asks each server once in a round at once, rests between rounds, and fails after its last attempt", async () => {
  const endpoints = [...NOBODY];
  const client = kept(new FreelanceFailoverClient(endpoints, { retryDelay: 40, maxRetryDelay: 60 }));
  const retried: { readonly attempt: number; readonly delay: number; readonly reason: string }[] = [];
  client.events.on("request:retried", (event) => retried.push(event));
  const failed = client.request("x", { retries: 5 });
  await expect(failed).rejects.toMatchObject({
    code: "ETIMEDOUT",
    message: expect.stringContaining("6 attempts"),
  });
  expect(retried.map(({ attempt, reason }) => `${attempt} ${reason}`)).toEqual(
    [1, 2, 3, 4, 5].map((attempt) => `${attempt} disconnected`),
  );
  const delays = retried.map(({ delay }) => delay);
  const [first, second, third, fourth, fifth] = delays as [number, number, number, number, number];
  expect([first, third >= 20 && third <= 40, fifth >= 30 && fifth <= 60]).toEqual([0, true, true]);
  expect([second >= 20 && second <= 40, fourth >= 30 && fourth <= 60]).toEqual([true, true]);
  expect(client.stats()).toMatchObject({ attempts: 6, retries: 5, failed: 1, pending: 0 });
});

describe("a server that stops", () => {
  const ANY = "tcp://127.0.0.1:*";

  test("sends its calls on: a queue's to the next queue, and to its client the error after the last attempt", async () => {
    const [queue, server] = [kept(new PirateQueue()), kept(new Reply())];
    const endpoints = [await queue.bind("frontend", ANY), await server.bind(ANY)];
    const [client, only] = [kept(new PirateClient(endpoints)), kept(new PirateClient(endpoints))];
    const reasons: string[] = [];
    client.events.on("request:retried", ({ reason }) => reasons.push(reason));
    const [answered, failed] = [client.request("x"), only.request("y", { retries: 0 })];
    await expect.poll(() => queue.stats().queued).toBe(2);
    failed.catch(() => undefined);
    void queue.close({ linger: 50 });
    expect((await server.receive()).map(String)).toEqual(["x"]);
    await server.send("reply");
    expect(String(await answered)).toBe("reply");
    expect(reasons).toEqual(["stopping"]);
    await expect(failed).rejects.toMatchObject({ code: "ERR_SERVICE", reason: "stopping" });
    expect(only.stats()).toMatchObject({ failed: 1, pending: 0 });
  });

  test("and is the only one is asked again when a silent one would be, as it may be back", async () => {
    const server = kept(new Reply());
    const client = kept(new PirateClient(await server.bind(ANY), { attemptTimeout: 120, retryDelay: 0 }));
    const delays: number[] = [];
    client.events.on("request:retried", ({ delay }) => delays.push(delay));
    const call = client.request("x");
    await server.receive();
    await server.send(errorReply("stopping"));
    await server.receive();
    await server.send("reply");
    expect([String(await call), delays]).toEqual(["reply", [120]]);
  });

  test("sends its calls on: a Freelance server's to the next server", async () => {
    const servers = ["a", "b"].map((name) => kept(new FreelanceServer(() => name, { model: 1 })));
    const endpoints = await Promise.all(servers.map((each) => each.bind(ANY)));
    const client = kept(new FreelanceFailoverClient(endpoints));
    expect(String(await client.request("x"))).toBe("a");
    await servers[0]?.drain();
    expect(String(await client.request("y"))).toBe("b");
  });
});

test("a list that changes while a call rests does not send it back to the server that failed last", async () => {
  const server = kept(new Reply());
  const endpoint = await server.bind("tcp://127.0.0.1:*");
  void (async () => {
    for await (const frames of server) await server.send(frames);
  })();
  const [first, second] = ["tcp://127.0.0.1:9", "tcp://127.0.0.1:7"];
  const source = new ListedEndpoints([first, second]);
  const client = kept(new FreelanceFailoverClient(source, { retryDelay: 1_000 }));
  const asked: string[] = [];
  client.events.on("request:retried", (event) => {
    asked.push(event.endpoint);
    if (event.delay > 0) source.set(endpoint, second);
  });
  expect(String(await client.request("x", { retries: 3 }))).toContain("x");
  expect(asked).toEqual([first, second]);
});

test("a call whose servers have all left the list waits for others, whatever attempts it has", async () => {
  const source = new ListedEndpoints([NOBODY[0]]);
  const client = kept(new PirateClient(source, { attemptTimeout: 20, retries: 1, retryDelay: 0 }));
  client.events.once("request:retried", () => source.set());
  const call = client.request("x");
  await expect.poll(() => client.stats().retries).toBe(2);
  expect(client.stats()).toMatchObject({ attempts: 2, failed: 0, pending: 1 });
  const server = kept(new Reply());
  source.set(await server.bind("tcp://127.0.0.1:*"));
  await server.receive();
  await server.send("reply");
  expect(String(await call)).toBe("reply");
});

test("a client that a listener closes because of an endpoint for other sockets asks nobody", async () => {
  const source = new ListedEndpoints([]);
  const client = kept(new PirateClient(source, { attemptTimeout: 50, retries: 3 }));
  const ready = client.ready();
  const call = client.request("x");
  const refused = new Promise<void>((resolve) =>
    client.events.on("endpoint:refused", () => {
      void client.close();
      resolve();
    }),
  );
  source.set("udp://127.0.0.1:9");
  await refused;
  await expect(Promise.all([ready, call])).rejects.toMatchObject({ code: "EAGAIN" });
  await client.close();
  expect(client.stats()).toMatchObject({ attempts: 0, cancelled: 1 });
});
